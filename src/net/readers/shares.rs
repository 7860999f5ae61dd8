//! Shares of the pool: one for each address from which connections come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;

use crate::base::Network;
use crate::base::limits::{ADDRESS_READERS_MAX, ADDRESS_SCANS_MAX, LOOPBACK_SHARE_FACTOR};

/// What connections, or addresses, have of the pool.
#[derive(Debug)]
pub(super) struct Share {
    /// Short reads at a time.
    pub(super) short: Arc<Semaphore>,
    /// Pages of long reads that wait or are being read.
    pub(super) long: Arc<Semaphore>,
}

/// The shares of all addresses that have a connection.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    shares: Mutex<HashMap<Network, Weak<AddressShare>>>,
}

/// The share of one address; it is forgotten with its last connection.
#[derive(Debug)]
pub(super) struct AddressShare {
    pub(super) share: Share,
    network: Network,
    addresses: Arc<Addresses>,
}

impl Share {
    pub(super) fn new(short: usize, long: usize) -> Self {
        Self {
            short: Arc::new(Semaphore::new(short)),
            long: Arc::new(Semaphore::new(long)),
        }
    }

    /// That of the connections that come from `network`.
    fn of(network: Network) -> Self {
        let factor = if network.is_loopback() {
            LOOPBACK_SHARE_FACTOR
        } else {
            1
        };
        Self::new(factor * ADDRESS_READERS_MAX, factor * ADDRESS_SCANS_MAX)
    }
}

impl Addresses {
    /// The share of the address `ip`.
    pub(super) fn share_of(self: &Arc<Self>, ip: IpAddr) -> Arc<AddressShare> {
        let network = Network::of(ip);
        let mut shares = self.lock();
        if let Some(share) = shares.get(&network).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(AddressShare {
            share: Share::of(network),
            network,
            addresses: Arc::clone(self),
        });
        shares.insert(network, Arc::downgrade(&share));
        share
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Network, Weak<AddressShare>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressShare {
    fn drop(&mut self) {
        let mut shares = self.addresses.lock();
        // Another may have taken the place since the last handle to this one went.
        let is_ours = |share: &Weak<Self>| share.strong_count() == 0;
        if shares.get(&self.network).is_some_and(is_ours) {
            shares.remove(&self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_home_share_and_others_do_not() {
        let addresses = Arc::new(Addresses::default());
        let check = |left: &str, right: &str, expected: bool| {
            let share = |ip: &str| addresses.share_of(ip.parse().unwrap());
            let (one, other) = (share(left), share(right));
            assert_eq!(Arc::ptr_eq(&one, &other), expected, "{left} {right}");
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("2001:db8::1", "2001:db8::2:3:4:5", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        assert!(addresses.lock().is_empty(), "no connection is left");
    }
}
