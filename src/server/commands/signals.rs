//! The signals that end a command, and the one that makes the server read its configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals that ask a process to end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// # Errors
    /// What the system says.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for either signal.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, which asks for the configuration to be read again.
pub(super) struct Hangups(Signal);

impl Hangups {
    /// From here on the signal does not end the process any more.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the signal; those that came together count once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}
