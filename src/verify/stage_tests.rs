//! The verification threads: order, bounds, and how they end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use super::{
    Checked, Full, Stage, StagePanicked, VerifyError,
    testing::{key, valid_record, with_wrong_signature},
};
use crate::{
    base::limits,
    wire::{Kind, Record, RecordBuilder},
};

/// A stage whose results arrive at a channel.
fn stage_to_channel<T: Send + 'static>(threads: usize) -> (Stage<T>, Receiver<Checked<T>>) {
    let (sender, receiver) = mpsc::channel();
    let stage = Stage::spawn(threads, move |batch: Vec<Checked<T>>| {
        for checked in batch {
            sender.send(checked).unwrap();
        }
    });
    (stage.unwrap(), receiver)
}

/// A stage whose sink waits for a word from the returned sender before each batch.
fn stage_behind_gate() -> (Stage<usize>, Sender<()>, Receiver<usize>) {
    let (gate, gated) = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    let gated = Arc::new(Mutex::new(gated));
    let stage = Stage::spawn(1, move |batch: Vec<Checked<usize>>| {
        // A closed gate stands open.
        gated.lock().unwrap().recv().unwrap_or_default();
        for checked in batch {
            sender.send(checked.context).unwrap();
        }
    });
    (stage.unwrap(), gate, receiver)
}

fn must_submit<T: Send + std::fmt::Debug + 'static>(
    stage: &Stage<T>,
    lane: u64,
    record: &Record,
    context: T,
) {
    stage.submit(lane, record.clone(), context).unwrap();
}

#[test]
fn every_record_comes_out_once_and_each_lane_in_order() {
    let good = valid_record(1, "good");
    let bad = with_wrong_signature(&good);
    let (stage, results) = stage_to_channel::<(u64, usize)>(3);
    for turn in 0..100 {
        for lane in 0..10 {
            // Lane 4 sends nothing but wrong signatures, lane 5 every tenth.
            let record = match (lane, turn % 10) {
                (4, _) | (5, 9) => &bad,
                _ => &good,
            };
            must_submit(&stage, lane, record, (lane, turn));
        }
    }
    stage.shutdown().unwrap();
    let mut next: HashMap<u64, usize> = HashMap::new();
    for Checked {
        context: (lane, turn),
        outcome,
        ..
    } in results.try_iter()
    {
        let expected = next.entry(lane).or_default();
        assert_eq!(turn, *expected, "lane {lane}");
        *expected += 1;
        let is_bad = lane == 4 || (lane == 5 && turn % 10 == 9);
        let verdict = if is_bad {
            Err(VerifyError::WrongSignature)
        } else {
            Ok(())
        };
        assert_eq!(outcome, verdict, "lane {lane}, turn {turn}");
    }
    assert_eq!(next.len(), 10);
    assert!(next.values().all(|count| *count == 100), "{next:?}");
}

#[test]
fn a_full_queue_hands_back_and_takes_again_when_it_is_drained() {
    let record = valid_record(2, "queued");
    let (stage, gate, results) = stage_behind_gate();
    let mut taken = 0;
    let refused = loop {
        match stage.submit(0, record.clone(), taken) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
    };
    let Full::Queue {
        record: handed_back,
        context,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((&handed_back, context), (&record, taken));
    // The sink holds at most one batch that no longer counts as waiting.
    let max = limits::VERIFY_QUEUE_MAX_RECORDS;
    assert!((max..=max + limits::VERIFY_BATCH_MAX_RECORDS).contains(&taken));

    drop(gate);
    let drained: Vec<_> = results.iter().take(taken).collect();
    assert_eq!(drained, (0..taken).collect::<Vec<_>>());
    must_submit(&stage, 0, &record, taken);
    assert_eq!(results.recv(), Ok(taken));
    stage.shutdown().unwrap();
}

#[test]
fn a_few_large_records_fill_the_queue_as_well() {
    let author = key(3);
    let large = RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .payload(vec![7; 1_000_000])
        .sign(&author)
        .unwrap();
    let (stage, gate, results) = stage_behind_gate();
    let mut taken = 0;
    while stage.submit(0, large.clone(), taken).is_ok() {
        taken += 1;
    }
    let fit = limits::VERIFY_QUEUE_MAX_BYTES / large.bytes().len();
    assert!((fit..=fit + limits::VERIFY_BATCH_MAX_RECORDS).contains(&taken));
    drop(gate);
    assert_eq!(results.iter().take(taken).count(), taken);
    stage.shutdown().unwrap();
}

#[test]
fn shutdown_verifies_what_waits_and_then_nothing_is_taken() {
    let record = valid_record(4, "last");
    let (stage, results) = stage_to_channel(2);
    for turn in 0..50 {
        must_submit(&stage, turn, &record, turn);
    }
    assert_eq!(stage.shutdown(), Ok(()));
    assert_eq!(results.try_iter().count(), 50);
    let refused = stage.submit(0, record.clone(), 7).unwrap_err();
    let Full::Stopped {
        record: handed_back,
        context,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((handed_back, context), (record, 7));
    assert_eq!(stage.shutdown(), Ok(()));
}

#[test]
fn a_panic_stops_its_lanes_drops_what_waits_and_is_reported() {
    let record = valid_record(5, "fatal");
    let stage = Stage::spawn(1, |_: Vec<Checked<Sender<()>>>| panic!("on purpose")).unwrap();
    let (context, dropped) = mpsc::channel();
    loop {
        match stage.submit(0, record.clone(), context.clone()) {
            Ok(()) => {}
            Err(Full::Queue { .. }) => thread::yield_now(),
            Err(Full::Stopped { .. }) => break,
        }
    }
    drop(context);
    assert!(dropped.recv().is_err(), "every context is gone");
    assert_eq!(stage.shutdown(), Err(StagePanicked));
}
