//! Who is asked and told in the tests of this folder.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use super::{Answers, Arrival, Probing};
use crate::net::testing::until;
use crate::wire::{BodyRefusal, Dialback, DialbackAck, ProbeRequest, ResultCode, Voucher};

/// Keeps what it is asked and told, for the test to look at and to answer.
#[derive(Default)]
pub(in crate::net) struct Prober {
    pub(in crate::net) told: Mutex<Vec<Told>>,
    pub(in crate::net) asked: Mutex<Vec<(Arrival, Asked, Answers)>>,
    /// What is said of the next connections.
    pub(in crate::net) is_cold: Mutex<bool>,
}

/// What a [`Prober`] was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::net) enum Told {
    Connected(usize, SocketAddr, Option<IpAddr>),
    Moved(IpAddr, IpAddr),
    Disconnected(IpAddr),
}

/// What a [`Prober`] was asked.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::net) enum Asked {
    Probe(ProbeRequest),
    Vouch(Voucher),
}

impl Prober {
    /// Takes out what was asked first, when it has come.
    pub(in crate::net) async fn next(&self) -> (Arrival, Asked, Answers) {
        until(|| !self.asked.lock().unwrap().is_empty()).await;
        self.asked.lock().unwrap().remove(0)
    }

    pub(in crate::net) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

impl Probing for Prober {
    fn connected(&self, socket: usize, remote: SocketAddr, local_ip: Option<IpAddr>) -> bool {
        self.tell(Told::Connected(socket, remote, local_ip));
        *self.is_cold.lock().unwrap()
    }

    fn moved(&self, from: IpAddr, to: IpAddr) {
        self.tell(Told::Moved(from, to));
    }

    fn disconnected(&self, remote: IpAddr) {
        self.tell(Told::Disconnected(remote));
    }

    fn probe(&self, arrival: &Arrival, request: ProbeRequest, answers: Answers) {
        let asked = (arrival.clone(), Asked::Probe(request), answers);
        self.asked.lock().unwrap().push(asked);
    }

    fn vouch(&self, arrival: &Arrival, voucher: Voucher, answers: Answers) {
        let asked = (arrival.clone(), Asked::Vouch(voucher), answers);
        self.asked.lock().unwrap().push(asked);
    }

    /// Knows every nonce but one that begins with a zero.
    fn dialback(&self, arrival: &Arrival, dialback: Dialback) -> Result<DialbackAck, BodyRefusal> {
        if dialback.nonce.as_bytes().starts_with(&[0]) {
            return Err(BodyRefusal {
                result: ResultCode::Invalid,
                why: "not ours".to_owned(),
            });
        }
        Ok(DialbackAck {
            nonce_hash: dialback.nonce.hash().into(),
            from: arrival.remote,
        })
    }
}
