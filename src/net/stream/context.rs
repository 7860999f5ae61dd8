//! What a stream has to know of its connection and its server.

use std::future::Future;
use std::sync::Arc;

use crate::base::Role;
use crate::identity::Peer;
use crate::net::newcomers::Newcomers;
use crate::net::probing::{Arrival, Probing};
use crate::net::readers::Lane;
use crate::net::requester::Requester;
use crate::net::services::InfoSource;
use crate::net::sight::Sight;
use crate::net::toll::Toll;
use crate::session::Ticket;
use crate::wire::InfoReply;

/// What a stream has to know to carry out its session's actions.
pub(in crate::net) struct Context {
    pub(in crate::net) arrival: Arc<Arrival>,
    pub(in crate::net) requester: Arc<Requester>,
    pub(in crate::net) toll: Arc<Toll>,
    pub(in crate::net) info: Arc<dyn InfoSource>,
    pub(in crate::net) probing: Arc<dyn Probing>,
    pub(in crate::net) newcomers: Arc<dyn Newcomers>,
}

impl Context {
    /// Reports that the peer said HELLO, if it has a key.
    pub(in crate::net) fn greeted(&self) {
        if let Peer::Known(peer) = self.arrival.peer {
            self.newcomers.greeted(peer, self.requester.address());
        }
    }

    pub(in crate::net) fn sight(&self, bound: Option<Role>, app: Option<u32>) -> Sight {
        Sight {
            settings: Arc::clone(&self.arrival.settings),
            requester: Arc::clone(&self.requester),
            toll: Arc::clone(&self.toll),
            bound,
            app,
        }
    }

    /// The reply to an INFO request of a peer with a key, with what is kept for its master.
    pub(in crate::net) fn inform(
        &self,
        ticket: Ticket,
    ) -> impl Future<Output = (Ticket, InfoReply)> + Send + 'static {
        let info = Arc::clone(&self.info);
        let arrival = Arc::clone(&self.arrival);
        let requester = Arc::clone(&self.requester);
        async move {
            requester.refresh().await;
            let you = match requester.master() {
                Some(master) => {
                    let info = Arc::clone(&info);
                    let asked = requester
                        .readers()
                        .run(Lane::Short, move || info.of_user(&master));
                    asked.await.ok().flatten()
                }
                None => None,
            };
            let reply = InfoReply {
                you,
                ..info.info(&arrival)
            };
            (ticket, reply)
        }
    }
}
