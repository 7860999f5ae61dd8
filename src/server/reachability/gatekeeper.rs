//! What a verdict does: the gate of its listener opens or shuts, and everybody is told the same story.

use std::sync::Arc;

use super::status::GatedListener;
use crate::base::RoleSet;
use crate::net::Control;
use crate::reach::plan::Turn;
use crate::server::info::Info;
use crate::wire::Timestamp;

/// Opens and shuts the gates of a server as the self-check says.
///
/// The self-check owns it: where that ends, for whatever reason, the gates are shut.
pub(in crate::server) struct Gatekeeper {
    listeners: Vec<GatedListener>,
    control: Control,
    info: Arc<Info>,
}

impl Gatekeeper {
    /// The gatekeeper of `listeners`, in the order in which the network numbers them, of the
    /// network that `control` steers.
    pub(in crate::server) const fn new(
        listeners: Vec<GatedListener>,
        control: Control,
        info: Arc<Info>,
    ) -> Self {
        Self {
            listeners,
            control,
            info,
        }
    }

    /// Carries out what the self-check has come to about one listener.
    pub(in crate::server) fn turn(&self, turn: Turn) {
        let place = usize::from(turn.listener.0);
        let Some(listener) = self.listeners.get(place) else {
            return;
        };
        let Turn {
            verdict,
            is_open,
            why,
            endpoints,
            ..
        } = turn;
        let (bound, transport) = (listener.bound, listener.transport);
        if is_open {
            tracing::info!(%transport, %bound, %verdict, "reachability: open: {why}");
        } else {
            tracing::warn!(%transport, %bound, %verdict, "reachability: closed: {why}");
        }
        let open = if is_open {
            RoleSet::ALL
        } else {
            RoleSet::EMPTY
        };
        // Told before it opens and withdrawn before it shuts: nobody is sent to a shut door.
        self.info.verified(place, endpoints);
        listener.gate.set_open(open, &why, Timestamp::now());
        self.control.gate_moved();
    }
}

impl Drop for Gatekeeper {
    fn drop(&mut self) {
        for (place, listener) in self.listeners.iter().enumerate() {
            self.info.verified(place, Vec::new());
            let shut = listener
                .gate
                .set_open(RoleSet::EMPTY, ENDED, Timestamp::now());
            if !shut.is_empty() {
                tracing::warn!(bound = %listener.bound, "reachability: closed: {ENDED}");
            }
        }
        self.control.gate_moved();
    }
}

/// Why the gates are shut when the self-check has ended: the server goes down, or it failed.
const ENDED: &str = "UNKNOWN: the test of the reachability has ended";
