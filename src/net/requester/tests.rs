//! Whom peers speak for, as key schedules come in.

use super::*;
use crate::identity::PeerKey;
use crate::policy::testing::Person;
use crate::wire::{Attestation, KeyMarker, KeyScheduleBuilder, ListedKey, Timestamp};
use futures_util::FutureExt;
use std::net::Ipv4Addr;

/// Alice's word that she signs with Bob's key, or not any more.
fn schedule(nanos: u64, marker: KeyMarker) -> Record {
    let key = Attestation::sign(&Person::Bob.secret(), Person::Alice.key());
    KeyScheduleBuilder::new(Person::Alice.key())
        .list(marker, ListedKey::Signing(key))
        .unwrap()
        .into_record()
        .unwrap()
        .timestamp(Timestamp::from_nanos(nanos).unwrap())
        .sign(&Person::Alice.secret())
        .unwrap()
}

#[tokio::test]
async fn whose_key_it_is_is_looked_up_on_the_pool_once_and_then_told_from_what_is_at_hand() {
    let directory = Arc::new(Directory::new(Arc::new(NoSchedules)));
    let requester = |person: Person| {
        let peer = Peer::Known(PeerKey::for_tests(person.key()));
        let peer = (peer, Ipv4Addr::LOCALHOST.into());
        Requester::new(peer, Arc::clone(&directory), Readers::new())
    };
    let (stranger, bob) = (requester(Person::Stranger), requester(Person::Bob));
    for requester in [&stranger, &bob] {
        requester.refresh().await;
        assert_eq!(requester.master(), requester.key().copied());
    }
    for (nanos, marker, expected) in [
        (1, KeyMarker::ActiveSigning, Some(Person::Alice.key())),
        (2, KeyMarker::OutOfUse(None), None),
    ] {
        directory.learn(&schedule(nanos, marker));
        for requester in [&stranger, &bob] {
            assert!(!requester.is_fresh());
            // A thread would not be there yet.
            assert!(requester.refresh().now_or_never().is_some());
            assert!(requester.is_fresh());
        }
        assert_eq!(stranger.master(), Some(Person::Stranger.key()));
        assert_eq!(bob.master(), expected, "{marker:?}");
    }
}
