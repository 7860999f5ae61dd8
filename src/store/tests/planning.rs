//! Which index a query is answered from.

use super::support::{Scene, UNIQUE, VERSIONED, build, key, kind, time};
use crate::{
    base::{Seq, limits},
    store::{
        Cursor, Table,
        budget::{Clock, PageBudget},
        cursor::Wants,
        keys::Run,
        planner::{self, Range, Start},
    },
    wire::{FilterBuilder, Kind, TagKind, TagsBuilder},
};

/// Author 1 wrote much and author 2 little; the tag of thread 1 is on much, that of thread 2 on
/// little.
fn scene() -> Scene {
    let scene = Scene::new();
    for n in 0..400 {
        let author = if n % 100 == 0 { 2 } else { 1 };
        let thread = if n % 90 == 0 { 2 } else { 1 };
        let kind = kind(if n % 2 == 0 { 1 } else { 2 }, UNIQUE);
        let tags = TagsBuilder::new().raw(TagKind(7), &[thread]).unwrap();
        scene.send(&build(
            author,
            author,
            kind,
            n * 1_000_000_000,
            1,
            tags,
            b"",
        ));
    }
    scene.keep(&build(
        3,
        3,
        kind(1, VERSIONED),
        1,
        1,
        TagsBuilder::new(),
        b"",
    ));
    scene
}

fn chosen(scene: &Scene, filter: FilterBuilder) -> String {
    let wants = Wants::Filter(filter.build().unwrap());
    let mut clock = Clock::start(PageBudget::default());
    match planner::start(&scene.store.view(), &wants, Seq::MAX, &mut clock).unwrap() {
        Start::Nothing => "nothing".to_owned(),
        Start::Walk(first, last) => format!("log {first} to {last}"),
        Start::Merge(plan) => {
            let mut names: Vec<_> = plan
                .ranges
                .iter()
                .map(|range| match range {
                    Range::Author(_) => Some(Table::Author),
                    Range::Run(Run::Of(prefix)) => Table::from_byte(prefix[0]),
                    Range::Run(Run::Everything) => None,
                })
                .collect();
            names.dedup();
            names.iter().map(|name| format!("{name:?} ")).collect()
        }
    }
}

fn tag(thread: u8) -> TagsBuilder {
    TagsBuilder::new().raw(TagKind(7), &[thread]).unwrap()
}

#[test]
fn the_narrowest_index_is_chosen() {
    let scene = scene();
    let check = |filter: FilterBuilder, expected: &str| {
        assert_eq!(chosen(&scene, filter).trim_end(), expected);
    };
    let of = FilterBuilder::new;
    let author = |n: u8| of().authors([key(n).public()]);
    check(author(1).kinds([kind(1, UNIQUE)]), "Some(Author)");
    check(author(1), "Some(Author)");
    check(author(1).tags(tag(2)), "Some(Tag)");
    check(author(2).tags(tag(1)), "Some(Author)");
    check(
        of().tags(tag(1)).tags(tag(2)).kinds([kind(1, UNIQUE)]),
        "Some(Tag)",
    );
    check(of().signers([key(1).public()]), "Some(Signer) Some(Author)");
    check(of().signers([key(1).public()]).tags(tag(2)), "Some(Tag)");
    check(author(1).timestamps([time(5)]), "Some(Time)");
    let subkey = || of().tags(TagsBuilder::new().subkey(key(9).public()));
    check(subkey().kinds([Kind::KEY_SCHEDULE]), "Some(Subkey)");
    check(subkey(), "Some(Tag)");
    check(of().kinds([kind(1, UNIQUE)]), "Some(Kind)");
    check(of(), "None");
    check(of().since(time(9)).until(time(8)), "nothing");
}

#[test]
fn the_log_is_read_where_few_entries_lie_between_the_bounds_on_receipt() {
    let scene = scene();
    let log = scene.seen.lock().unwrap().log.clone();
    let received = |seq: usize| log[seq - 1].received;
    let of = FilterBuilder::new;
    let first = |seq: usize| {
        let same = log.iter().find(|entry| entry.received == received(seq));
        same.unwrap().seq
    };
    let since = of().received_since(received(300));
    assert_eq!(
        chosen(&scene, since.clone()),
        format!("log {} to 401", first(300))
    );
    let both = since.received_until(received(300));
    let last = log
        .iter()
        .rfind(|entry| entry.received == received(300))
        .unwrap()
        .seq;
    assert_eq!(
        chosen(&scene, both),
        format!("log {} to {last}", first(300))
    );
    let few = of().received_since(received(1)).authors([key(3).public()]);
    assert_eq!(chosen(&scene, few), "Some(Author) ");
    let after = received(401).saturating_add(std::time::Duration::from_secs(1));
    assert_eq!(chosen(&scene, of().received_since(after)), "nothing");
    let before = of().received_until(time(1));
    assert_eq!(chosen(&scene, before), "nothing");
}

#[test]
fn a_cursor_may_move_between_threads_and_is_small() {
    fn check<T: Send + 'static>() {}
    check::<Cursor>();
    assert!(size_of::<Cursor>() < 512);
    const { assert!(limits::LOG_WALK_MAX_ENTRIES * 24 < 200_000) };
}
