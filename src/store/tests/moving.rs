//! What takes the place of a record that is here: a vouched signer's, or the same under more roles.

use super::support::{
    REPLACEABLE, SUBKEYS_FROM, Scene, UNIQUE, build, inspect, kind, name_of, record,
};
use super::writing::names;
use crate::{
    base::{Role, RoleSet, Seq},
    store::Vouched,
    wire::{Record, Reference, TagsBuilder},
};

#[test]
fn a_vouched_signer_replaces_what_an_unknown_other_key_signed_whatever_their_order() {
    let make = |signer: u8, nanos: u64| {
        let kind = kind(1, REPLACEABLE);
        build(1, signer, kind, nanos, 1, TagsBuilder::new(), b"")
    };
    let far_future = make(50, u64::try_from(i64::MAX).unwrap());
    let (master, subkey) = (make(1, 10), make(SUBKEYS_FROM, 9));
    for together in [false, true] {
        let put = |scene: &Scene, records: &[Record]| {
            let outcomes = if together {
                scene.put_together(records)
            } else {
                records.iter().map(|record| scene.put(record)).collect()
            };
            names(&outcomes)
        };
        let scene = Scene::new();
        let order = [&far_future, &subkey, &far_future, &master, &subkey].map(Clone::clone);
        let expected = ["stored", "stored", "stays", "stored", "older"];
        assert_eq!(put(&scene, &order), expected, "together: {together}");
        let older = [make(50, 1), make(51, 1)];
        assert_eq!(put(&scene, &older), ["older", "older"]);
        let address = Reference::Address(master.view().address());
        let found = scene.store.get(&address, 9).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].record, master);
        let scene = scene.reopen();
        let report = scene.store.verify(&mut inspect(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

#[test]
fn a_duplicate_gains_the_roles_it_lacks_at_a_new_place_and_keeps_the_better_vouched() {
    let (outbox, application) = (RoleSet::of(Role::Outbox), RoleSet::of(Role::Application));
    for (together, duplicates) in [
        (false, UNIQUE),
        (false, REPLACEABLE),
        (true, UNIQUE),
        (true, REPLACEABLE),
    ] {
        let scene = Scene::new();
        let known = record(1, kind(1, duplicates), 5);
        scene.decide(application, Some(Vouched::Unknown));
        scene.decide(outbox, Some(Vouched::Subkey));
        scene.decide(application, Some(Vouched::Unknown));
        scene.decide(RoleSet::of(Role::Inbox), Some(Vouched::Unknown));
        let again = [(); 4].map(|()| known.clone());
        let outcomes = if together {
            scene.put_together(&again)
        } else {
            again.iter().map(|record| scene.put(record)).collect()
        };
        let expected = ["stored", "stored", "duplicate", "stored"];
        assert_eq!(names(&outcomes), expected);
        let scene = scene.reopen();
        let all = outbox.union(application).with(Role::Inbox);
        let found = scene.store.get(&Reference::Id(known.id()), 9).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].record, known);
        assert_eq!(
            (found[0].seq, found[0].roles, found[0].vouched),
            (Seq::new(3), all, Vouched::Subkey)
        );
        let counts = scene.store.stats().unwrap().counts;
        assert_eq!((counts.records, counts.gone), (1, 2));
        for role in Role::ALL {
            let expected = u64::from(all.contains(role));
            assert_eq!(counts.of(role).records, expected, "{role}");
        }
        scene.decide(all, None);
        assert_eq!(name_of(&scene.put(&known)), "duplicate");
        if duplicates == REPLACEABLE {
            scene.keep(&record(1, kind(1, duplicates), 6));
            assert_eq!(name_of(&scene.put(&known)), "older");
        }
        let report = scene.store.verify(&mut inspect(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

#[test]
fn a_record_that_gained_roles_is_replaced_by_its_successor_in_the_same_batch() {
    let scene = Scene::new();
    let (old, new) = (
        record(1, kind(1, REPLACEABLE), 5),
        record(1, kind(1, REPLACEABLE), 6),
    );
    scene.keep(&old);
    scene.decide(RoleSet::of(Role::Application), None);
    let batch = [old.clone(), new.clone(), old.clone(), new.clone()];
    let outcomes = scene.put_together(&batch);
    assert_eq!(names(&outcomes), ["stored", "stored", "older", "duplicate"]);
    let counts = scene.store.stats().unwrap().counts;
    assert_eq!((counts.records, counts.gone), (1, 2));
    let report = scene.store.verify(&mut inspect(), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}
