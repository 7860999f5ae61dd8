//! Those who may become users: peers with a key that said HELLO, or that bring an invitation.

use std::net::IpAddr;

use super::ingest::Nowhere;
use super::probing::Answers;
use crate::identity::PeerKey;
use crate::wire::{Redeem, RedeemResult, ResultCode};

/// Makes users of peers.
pub trait Newcomers: Send + Sync {
    /// Takes note that a peer at the address `from` said HELLO which proved to hold that key: where
    /// registration is open, this registers it. Not of the handshake alone, which also comes of those who speak another
    /// protocol, or nothing at all.
    ///
    /// Called on an async worker, so it must not block.
    fn greeted(&self, peer: PeerKey, from: IpAddr);

    /// Whether [`register`](Self::register) may make a user of that peer, as far as is known without
    /// reading the store.
    ///
    /// Called on an async worker, so it must not block.
    fn may_register(&self, peer: PeerKey) -> bool;

    /// As [`greeted`](Self::greeted), for a peer that is about to be asked whether it speaks for a user: returns once
    /// that is settled.
    ///
    /// Blocks: it may read the store, and wait for a sync.
    fn register(&self, peer: PeerKey, from: IpAddr);

    /// Redeems an invitation for the master of that key, and answers once.
    ///
    /// Called on an async worker, so it must not block.
    fn redeem(&self, peer: PeerKey, redeem: Redeem, answers: Answers);
}

/// A server without a store has no users.
impl Newcomers for Nowhere {
    fn greeted(&self, _: PeerKey, _: IpAddr) {}

    fn may_register(&self, _: PeerKey) -> bool {
        false
    }

    fn register(&self, _: PeerKey, _: IpAddr) {}

    fn redeem(&self, _: PeerKey, _: Redeem, answers: Answers) {
        answers.redeemed(RedeemResult {
            result: ResultCode::Unauthorized,
            why: Some("this server has no users".to_owned()),
        });
    }
}
