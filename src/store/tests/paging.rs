//! Where pages of random records are cut, and reading the log in its order.

use super::{
    ledger::Model,
    model::fill,
    support::{Dice, Scene},
};
use crate::{
    base::Seq,
    store::{Cursor, PageBudget},
    wire::FilterBuilder,
};

#[test]
fn a_page_has_no_more_bytes_than_it_may_and_nothing_is_lost_where_it_is_cut() {
    let mut dice = Dice::new(9);
    let scene = Scene::new();
    let mut model = Model::default();
    fill(&scene, &mut model, &mut dice, 200);
    let filter = FilterBuilder::new().build().unwrap();
    let mut cursor = Cursor::new(filter.clone(), Seq::MAX);
    let (mut found, mut is_done, mut cuts) = (Vec::new(), false, 0);
    let mut bounds = [1, usize::MAX, 1_000].into_iter().cycle();
    while !is_done {
        let mut budget = PageBudget::default();
        (budget.rows, budget.bytes_max) = (9, bounds.next().unwrap());
        let page = scene.store.page(&mut cursor, &|_| true, budget).unwrap();
        let bytes = page.entries.iter().map(|entry| entry.record.bytes().len());
        assert!(bytes.sum::<usize>() <= budget.bytes_max);
        cuts += usize::from(page.is_cut);
        is_done = page.done;
        found.extend(page.entries);
    }
    assert!(cuts > 0);
    model.check(&filter, Seq::MAX, &found, "cut pages");
}

#[test]
fn the_log_is_read_in_its_order_from_any_place() {
    let mut dice = Dice::new(11);
    let scene = Scene::new();
    let mut model = Model::default();
    fill(&scene, &mut model, &mut dice, 150);
    let tail = scene.store.tail();
    for after in 0..=tail.get() {
        let budget = PageBudget {
            rows: 7,
            ..PageBudget::default()
        };
        let mut position = Seq::new(after);
        let mut found = Vec::new();
        while position < tail {
            let page = scene.store.read_log(position, budget).unwrap();
            assert!(page.next > position && page.entries.len() <= 7);
            position = page.next;
            found.extend(page.entries.iter().map(|entry| entry.seq));
        }
        let live = model.live.iter().map(|entry| entry.seq);
        let mut expected: Vec<_> = live.filter(|seq| seq.get() > after).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "after {after}");
    }
    let page = scene.store.read_log(tail, PageBudget::default()).unwrap();
    assert_eq!((page.entries.len(), page.next), (0, tail));
}
