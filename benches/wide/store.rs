//! The store that is asked: many records by many authors, a part of them for their authors alone.

use std::path::Path;
use std::sync::mpsc;

use bytes::Bytes;
use mosaicd::base::Role;
use mosaicd::store::{Store, StoreOptions, Writer};
use mosaicd::wire::{Kind, PublicKey, Record, RecordBuilder, Reference, SecretKey};

use crate::mill::{Random, Yes, vary};
use crate::{PUBLIC_KINDS, private_kind, the_tag};

const AUTHORS: u16 = 500;

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
    let judge = Yes {
        role: role_of,
        answers: sender,
    };
    let writer = Writer::spawn(store.clone(), judge).expect("a writer");
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
            let mut answers = answers.iter().take(waiting);
            assert!(answers.all(|stored| stored), "every record is new");
            waiting = 0;
        }
    }
    writer.shutdown().expect("the judge does not panic");
    store.close().expect("a sound store");
    Found { authors, ids }
}

fn role_of(kind: Kind) -> Role {
    if kind == private_kind() {
        Role::Application
    } else {
        Role::Outbox
    }
}

fn author(number: u16) -> PublicKey {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(seed).public()
}

fn one(template: &Record, authors: &[PublicKey], at: usize, random: &mut Random) -> Record {
    let nanos = 1_700_000_000_000_000_000 + u64::try_from(at).expect("small") * 1_000_000;
    let nanos = nanos + random.next() % 60_000_000_000;
    let kind = match random.below(8) {
        0..=5 => PUBLIC_KINDS[random.below(PUBLIC_KINDS.len())],
        _ => private_kind(),
    };
    let author = authors[random.below(authors.len())];
    let bytes = vary(template, nanos, kind, author, random);
    Record::parse(Bytes::from(bytes)).expect("only values were changed")
}
