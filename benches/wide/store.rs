//! The store that is asked: many records by many authors, a part of them for their authors alone.

use std::path::Path;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use mosaicd::base::{Role, RoleSet};
use mosaicd::store::{Entry, Judge, Judgement, Outcome, Store, StoreOptions, Vouched, Writer};
use mosaicd::wire::{
    Kind, PublicKey, Record, RecordBuilder, RecordRef, Reference, SecretKey, Timestamp,
};

use crate::{PUBLIC_KINDS, private_kind, the_tag};

const AUTHORS: u16 = 500;

/// Accepts everything and counts the answers.
struct Yes(mpsc::Sender<()>);

impl Judge for Yes {
    type Context = ();

    fn judge(&mut self, record: RecordRef<'_>, (): &(), _: Timestamp) -> Judgement {
        let role = if record.kind() == private_kind() {
            Role::Application
        } else {
            Role::Outbox
        };
        Judgement::Store {
            roles: RoleSet::of(role),
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
        assert!(matches!(outcome, Outcome::Stored(_)), "every record is new");
        self.0.send(()).expect("the bench waits for every answer");
    }
}

/// What of the store the well-behaved client asks for.
pub(crate) struct Found {
    pub(crate) authors: Vec<PublicKey>,
    pub(crate) ids: Vec<Reference>,
}

/// Makes records by changing what differs in one that was signed; the store does not look at
/// hashes and signatures, and the clients here do not either.
pub(crate) fn fill(data: &Path, count: usize) -> Found {
    let options = StoreOptions {
        free_space_floor_bytes: 0,
        ..StoreOptions::default()
    };
    std::fs::create_dir_all(data).expect("a folder");
    let store = Store::open(&data.join("store"), options).expect("a store");
    let (sender, answers) = mpsc::channel();
    let writer = Writer::spawn(store.clone(), Yes(sender)).expect("a writer");
    let key = SecretKey::from_seed([1; 32]);
    let template = RecordBuilder::new(Kind::MICROBLOG_ROOT, key.public())
        .tags(the_tag())
        .payload(vec![b'x'; 100])
        .sign(&key)
        .expect("fits");
    let authors: Vec<_> = (0..AUTHORS).map(author).collect();
    let mut random = Random(1);
    let mut ids = Vec::new();
    let mut waiting = 0;
    for at in 0..count {
        let record = one(&template, &authors, at, &mut random);
        if at % 97 == 0 && record.view().kind() != private_kind() {
            ids.push(Reference::Id(record.id()));
        }
        writer.submit(record, ()).expect("the writer runs");
        waiting += 1;
        if waiting == 4_096 || at + 1 == count {
            answers.iter().take(waiting).for_each(drop);
            waiting = 0;
        }
    }
    writer.shutdown().expect("the judge does not panic");
    store.close().expect("a sound store");
    Found { authors, ids }
}

fn author(number: u16) -> PublicKey {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(seed).public()
}

fn one(template: &Record, authors: &[PublicKey], at: usize, random: &mut Random) -> Record {
    let mut bytes = template.bytes().to_vec();
    let now = 1_700_000_000_000_000_000 + u64::try_from(at).expect("small") * 1_000_000;
    let now = now + random.next() % 60_000_000_000;
    bytes[..8].copy_from_slice(&now.to_be_bytes());
    bytes[128..136].copy_from_slice(&now.to_be_bytes());
    for at in (8..48).step_by(8) {
        bytes[at..at + 8].copy_from_slice(&random.next().to_be_bytes());
    }
    bytes[48..56].copy_from_slice(&(random.next() | 1 << 63).to_be_bytes());
    let kind = match random.below(8) {
        0..=5 => PUBLIC_KINDS[random.below(PUBLIC_KINDS.len())],
        _ => private_kind(),
    };
    bytes[56..64].copy_from_slice(&kind.to_bytes());
    let author = authors[random.below(authors.len())];
    bytes[64..96].copy_from_slice(author.as_bytes());
    bytes[96..128].copy_from_slice(author.as_bytes());
    Record::parse(Bytes::from(bytes)).expect("only values were changed")
}

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
