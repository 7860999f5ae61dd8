//! What is here and may not be seen: no answer to a submission tells of it.

use mosaicd::base::Role;
use mosaicd::wire::{
    FilterBuilder, Kind, Record, RecordBuilder, Reference, ResultCode, SecretKey, TagsBuilder,
    Timestamp,
};

use super::REPLACEABLE;
use super::office::{Office, submit};
use crate::support::{all, key};

use ResultCode::{Accepted, Duplicate, TemporaryError, TooLarge, Unauthorized};

/// For everybody, unique, of the example application.
const UNIQUE: u64 = 0x0000_0063_000b_001c;

/// A server for Ann, of whose inbox nobody else reads, and with an application for everybody.
async fn office(sets: &[&str]) -> Office {
    let listed = format!("users.list=[\"{}\"]", key(1).public());
    let mut all = vec![
        "users.mode=list",
        &listed,
        "inbox.public=false",
        "application.ids=[99]",
        "application.submit=anyone",
    ];
    all.extend(sets);
    Office::start(&all).await
}

fn letter(author: &SecretKey, text: &str) -> Record {
    RecordBuilder::new(Kind::new(UNIQUE).unwrap(), author.public())
        .tags(TagsBuilder::new().notify(key(1).public()))
        .payload(text.to_owned())
        .sign(author)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_inbox_does_not_tell_what_is_in_it() {
    let (ann, friend, stranger) = (key(1), key(8), key(9));
    for moderation in ["inbox.moderation=off", "inbox.moderation=hold-all"] {
        let office = office(&["quotas.delivered_records=3", moderation]).await;
        let sender = office.client(Some(&friend)).await;
        let [secret, deleted] = ["secret", "deleted"].map(|text| letter(&friend, text));
        for record in [&secret, &deleted] {
            assert_eq!(submit(&sender, record).await, Accepted);
        }
        assert!(office.order_about("record.delete", deleted.id()).await);
        let absent = letter(&friend, "never handed in");
        let prober = office.client(Some(&stranger)).await;
        for record in [&secret, &deleted] {
            assert_eq!(submit(&prober, record).await, Accepted, "there is room");
        }
        for text in ["one", "two"] {
            let filler = letter(&stranger, text);
            assert_eq!(submit(&prober, &filler).await, Accepted);
        }
        let bound = prober.open_role(Role::Application, None).await.unwrap();
        for record in [&absent, &secret, &deleted] {
            assert_eq!(submit(&prober, record).await, TemporaryError);
            assert_eq!(bound.submit(record).await.unwrap(), TemporaryError);
        }
        let reader = office.client(Some(&ann)).await;
        let by_friend = FilterBuilder::new().authors([friend.public()]);
        let found = reader.query(by_friend.build().unwrap(), 0).await.unwrap();
        if moderation.ends_with("off") {
            assert_eq!(submit(&reader, &secret).await, Duplicate, "she sees it");
            assert_eq!(all(found).await, [secret]);
        } else {
            let said = submit(&reader, &secret).await;
            assert_eq!(said, TooLarge, "as of any that is new, for herself");
            assert!(all(found).await.is_empty());
        }
        office.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_one_may_not_see_refuses_nobody_its_address() {
    let (ann, friend, stranger) = (key(1), key(8), key(9));
    let office = office(&[]).await;
    let version = |nanos: u64, tags: TagsBuilder, signer: &SecretKey| {
        RecordBuilder::new(Kind::new(REPLACEABLE).unwrap(), friend.public())
            .nonce([0x80; 8])
            .timestamp(Timestamp::from_nanos(nanos).unwrap())
            .tags(tags)
            .sign(signer)
            .unwrap()
    };
    let to_ann = || TagsBuilder::new().notify(ann.public());
    let hidden = version(10, to_ann(), &friend);
    let forged = version(20, TagsBuilder::new(), &stranger);
    let sender = office.client(Some(&friend)).await;
    assert_eq!(submit(&sender, &hidden).await, Accepted);
    let reader = office.client(Some(&ann)).await;
    let address = || vec![Reference::Address(hidden.view().address())];
    for prober in [Some(&stranger), None] {
        let prober = office.client(prober).await;
        assert_eq!(submit(&prober, &forged).await, Accepted);
    }
    assert_eq!(submit(&reader, &forged).await, Unauthorized, "she sees why");
    let there = all(reader.get(address()).await.unwrap()).await;
    assert_eq!(there, std::slice::from_ref(&hidden), "nothing was stored");
    // Published, it is no secret any more.
    let shown = version(30, TagsBuilder::new(), &friend);
    assert_eq!(submit(&sender, &shown).await, Accepted);
    let forged = version(40, TagsBuilder::new(), &stranger);
    let anybody = office.client(None).await;
    assert_eq!(submit(&anybody, &forged).await, Unauthorized);
    office.stop().await;
}
