//! What the owner of a listener tells its connections and streams.

use std::sync::Arc;

use tokio::sync::watch;

/// What every connection and stream has to know of the server at large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// The server is going down.
    pub(super) stopping: bool,
    /// How often the gate moved.
    pub(super) gate_moves: u64,
    /// How often somebody was banned.
    pub(super) bans: u64,
}

/// Steers a listener that runs elsewhere. Clones steer the same one.
#[derive(Clone, Debug)]
pub struct Control {
    signals: Arc<watch::Sender<Signals>>,
}

impl Control {
    pub(super) fn new() -> Self {
        let (signals, _) = watch::channel(Signals::default());
        Self {
            signals: Arc::new(signals),
        }
    }

    /// Asks the listener to stop: it takes no new connection, tells its streams that the server is
    /// going down, and gives them
    /// [`limits::STREAMS_SHUTDOWN_TIMEOUT`](crate::base::limits::STREAMS_SHUTDOWN_TIMEOUT) to
    /// finish. It has stopped when [`Listener::run`](super::Listener::run) returns. Calling it
    /// again changes nothing.
    pub fn shutdown(&self) {
        self.signals.send_modify(|signals| signals.stopping = true);
    }

    /// Tells every stream that the listener's [`Gate`](crate::policy::Gate) moved: requests on a
    /// role that is shut now are ended.
    pub fn gate_moved(&self) {
        self.signals.send_modify(|signals| {
            signals.gate_moves = signals.gate_moves.wrapping_add(1);
        });
    }

    /// Tells every connection that somebody was banned: those whose peer is kept out from now on
    /// say so and end.
    pub fn enforce_bans(&self) {
        self.signals.send_modify(|signals| {
            signals.bans = signals.bans.wrapping_add(1);
        });
    }

    pub(super) fn watch(&self) -> Watch {
        Watch {
            signals: self.signals.subscribe(),
            seen: Signals::default(),
        }
    }
}

/// One task's view of the signals.
#[derive(Debug)]
pub(super) struct Watch {
    signals: watch::Receiver<Signals>,
    seen: Signals,
}

/// A signal that a task was not told of yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The server is going down.
    Stopping,
    /// The gate moved, once or more.
    GateMoved,
    /// Somebody was banned.
    Banned,
}

impl Watch {
    /// Waits for a signal that this task was not told of; each is told once. Never resolves when
    /// nobody is left to send one.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Signal {
        loop {
            let now = *self.signals.borrow_and_update();
            if now.bans != self.seen.bans {
                self.seen.bans = now.bans;
                return Signal::Banned;
            }
            if now.gate_moves != self.seen.gate_moves {
                self.seen.gate_moves = now.gate_moves;
                return Signal::GateMoved;
            }
            if now.stopping && !self.seen.stopping {
                self.seen.stopping = true;
                return Signal::Stopping;
            }
            if self.signals.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A view for another task, which was told of nothing yet.
    pub(super) fn fresh(&self) -> Self {
        Self {
            signals: self.signals.clone(),
            seen: Signals::default(),
        }
    }

    /// Waits until the server is going down, whether or not this task was told before.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn stopping(&mut self) {
        if self.signals.wait_for(|now| now.stopping).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_signal_is_told_once_even_to_a_late_listener() {
        let control = Control::new();
        control.gate_moved();
        control.shutdown();
        control.gate_moved();
        control.enforce_bans();
        let mut watch = control.watch();
        assert_eq!(watch.next().await, Signal::Banned);
        assert_eq!(watch.next().await, Signal::GateMoved);
        assert_eq!(watch.next().await, Signal::Stopping);
        control.shutdown();
        control.gate_moved();
        assert_eq!(watch.next().await, Signal::GateMoved);
        watch.stopping().await;
        assert_eq!(watch.fresh().next().await, Signal::Banned);
    }
}
