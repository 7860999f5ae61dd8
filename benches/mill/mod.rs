//! Records by the million, for benches of the store: made quickly, and taken by a judge who takes
//! everything.

use std::sync::{Arc, mpsc};

use mosaicd::base::{Role, RoleSet};
use mosaicd::store::{Entry, Judge, Judgement, Outcome, Vouched};
use mosaicd::wire::{Kind, PublicKey, Record, RecordRef, Timestamp};

/// Accepts everything, and tells of each record whether it was stored.
pub(crate) struct Yes {
    pub(crate) role: fn(Kind) -> Role,
    pub(crate) answers: mpsc::Sender<bool>,
}

impl Judge for Yes {
    type Context = ();

    fn judge(&mut self, record: RecordRef<'_>, (): &(), _: Timestamp) -> Judgement {
        Judgement::Store {
            roles: RoleSet::of((self.role)(record.kind())),
            vouched: Vouched::Master,
            submitter: None,
            held: false,
            charges: Vec::new(),
        }
    }

    fn stored(&mut self, _: &Record) {}

    fn publish(&mut self, _: &[Arc<Entry>]) {}

    fn announce(&mut self, _: &Arc<Entry>) -> usize {
        0
    }

    fn reply(&mut self, (): (), outcome: Outcome) {
        let stored = matches!(outcome, Outcome::Stored(_));
        self.answers
            .send(stored)
            .expect("the bench waits for every answer");
    }
}

/// The bytes of a record that was signed, with other values in its header. Hash and signature are
/// then arbitrary: the store does not look at them.
pub(crate) fn vary(
    signed: &Record,
    nanos: u64,
    kind: Kind,
    author: PublicKey,
    random: &mut Random,
) -> Vec<u8> {
    let mut bytes = signed.bytes().to_vec();
    bytes[..8].copy_from_slice(&nanos.to_be_bytes());
    for at in (8..48).step_by(8) {
        bytes[at..at + 8].copy_from_slice(&random.next().to_be_bytes());
    }
    bytes[48..56].copy_from_slice(&(random.next() | 1 << 63).to_be_bytes());
    bytes[56..64].copy_from_slice(&kind.to_bytes());
    bytes[64..96].copy_from_slice(author.as_bytes());
    bytes[96..128].copy_from_slice(author.as_bytes());
    bytes[128..136].copy_from_slice(&nanos.to_be_bytes());
    bytes
}

/// Numbers that are the same in every run, by splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("small");
        usize::try_from(self.next() % end).expect("small")
    }
}
