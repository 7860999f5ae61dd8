//! Local addresses and their changes, from the kernel (evidence L1 and L2).
//!
//! | file | owns |
//! |------|------|
//! | `netlink.rs` | the sockets: listing what there is, and hearing of changes |
//! | `message.rs` | the bytes of a message, as far as they matter here |
//! | `facts.rs` | what the listed links, addresses and routes come to |
//!
//! The kernel tells of every change, but what it says about one is not put together here: any change
//! has everything listed anew. So a message that was lost does no harm, and there is one way alone in
//! which facts come about.

mod facts;
mod message;
mod netlink;

use std::io;

use thiserror::Error;
use tokio::time::{sleep, timeout};

use self::facts::Listing;
use self::message::Request;
use self::netlink::{Events, Netlink};
use super::evidence::LocalFacts;
use crate::base::limits;

/// Why the kernel does not tell about this machine's addresses.
#[derive(Debug, Error)]
pub enum InterfacesError {
    /// There is no netlink socket, or it broke.
    #[error("cannot use a netlink socket")]
    Socket(#[from] io::Error),
    /// The kernel refuses to list something.
    #[error("the kernel does not list {what}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel did not answer within [`INTERFACES_TIMEOUT`](limits::INTERFACES_TIMEOUT).
    #[error("the kernel does not list its addresses in time")]
    Timeout,
}

/// What the kernel says now about this machine's addresses and its ways out.
///
/// # Errors
/// [`InterfacesError`]: nothing is known then, which must not be taken for "no addresses".
///
/// # Panics
/// Outside of a tokio runtime.
///
/// # Cancel safety
/// Cancel safe.
pub async fn snapshot() -> Result<LocalFacts, InterfacesError> {
    timeout(limits::INTERFACES_TIMEOUT, list())
        .await
        .unwrap_or(Err(InterfacesError::Timeout))
}

/// Notices changes of links, addresses and routes.
#[derive(Debug)]
pub struct Watch {
    events: Events,
    /// Something changed after what was told last was listed.
    is_stale: bool,
    told: Option<LocalFacts>,
}

impl Watch {
    /// Watches from now on. A [`snapshot`] after this call has what happened before it;
    /// [`changed`](Self::changed) tells what happens later, and perhaps some of that again.
    ///
    /// # Errors
    /// [`InterfacesError::Socket`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start() -> Result<Self, InterfacesError> {
        Ok(Self {
            events: Events::subscribe()?,
            is_stale: false,
            told: None,
        })
    }

    /// Waits until the facts differ from those that this function told last, and tells them.
    ///
    /// Changes in a burst are one: the facts are read
    /// [`INTERFACES_SETTLE`](limits::INTERFACES_SETTLE) after the first of them. What changes and
    /// leaves the facts as they were is passed over; the first call has nothing to compare with and
    /// tells what it finds after a change of any kind.
    ///
    /// # Errors
    /// [`InterfacesError`]. The next call reads the facts again without waiting for a change.
    ///
    /// # Cancel safety
    /// Cancel safe: a change that was noticed is told by the next call.
    pub async fn changed(&mut self) -> Result<LocalFacts, InterfacesError> {
        loop {
            if !self.is_stale {
                self.events.next().await?;
                self.is_stale = true;
            }
            sleep(limits::INTERFACES_SETTLE).await;
            // What is taken off now is in the listing; what comes later is a change to come.
            self.events.drain()?;
            let facts = snapshot().await?;
            self.is_stale = false;
            if self.told.as_ref() != Some(&facts) {
                self.told = Some(facts.clone());
                return Ok(facts);
            }
        }
    }
}

async fn list() -> Result<LocalFacts, InterfacesError> {
    let mut listing = Listing::default();
    for _ in 0..limits::INTERFACES_TRIES_MAX {
        let mut netlink = Netlink::open()?;
        listing = Listing::default();
        let mut is_whole = true;
        for request in Request::ALL {
            is_whole &= netlink.list(request, |entry| listing.add(entry)).await?;
        }
        if is_whole {
            break;
        }
        // Something changed in the midst of it, and may have been missed. Where that happens every
        // time, it is taken as it is: the change is heard of, and read anew then.
    }
    Ok(listing.facts())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_snapshot_finds_the_loopback_address_on_its_interface() {
        let facts = snapshot().await.unwrap();
        let loopback = facts.addresses.iter().find(|a| a.ip == Ipv4Addr::LOCALHOST);
        let loopback = loopback.expect("127.0.0.1 is an address of this machine");
        assert_eq!(loopback.interface, "lo");
        assert!(loopback.is_usable);
    }

    #[tokio::test]
    async fn two_snapshots_of_an_unchanged_machine_are_equal() {
        // Other processes of the machine may change something between two snapshots, not always.
        for _ in 0..20 {
            if snapshot().await.unwrap() == snapshot().await.unwrap() {
                return;
            }
        }
        panic!("no two snapshots were equal");
    }

    #[tokio::test]
    async fn a_watch_can_be_started_by_anybody() {
        Watch::start().unwrap();
    }
}
