//! Every event in every state.

use super::asks::{probe, result, status};
use super::operator::{order, reply, signed_in};
use super::*;
use crate::base::limits;
use crate::session::{Answer, Intake, Report};
use crate::wire::{Body as _, BodyRefusal, ProbeCode, ProbeOutcome};

/// A stream in some state, and the tickets its driver knows.
struct Case {
    name: &'static str,
    talk: Talk,
    read: Ticket,
    submit: Ticket,
    ask: Ticket,
    order: Ticket,
    /// Whether everything was said: the stream is silent from here on.
    is_over: bool,
    /// Whether the peer has finished its side or been told to stop.
    is_deaf: bool,
}

const NAMES: [&str; 13] = [
    "waits for hello",
    "waits, greeted elsewhere",
    "idle",
    "busy",
    "full",
    "full of probes",
    "busy, peer finished",
    "closing with a submission in flight",
    "finished by the peer",
    "finished by shutdown",
    "thrown out",
    "an operator's",
    "an operator's, with an order",
];

fn case(name: &'static str) -> Case {
    let is_operators = name.starts_with("an operator's");
    let connection = if is_operators {
        known(settings())
    } else {
        anonymous(settings())
    };
    let unknown = Ticket(1 << 40);
    let waiting = matches!(
        name,
        "waits for hello" | "waits, greeted elsewhere" | "thrown out"
    );
    let mut talk = Talk::new(&connection);
    if name == "waits, greeted elsewhere" {
        Talk::greeted(&connection);
    }
    if !waiting {
        talk.send(&hello());
    }
    let (mut read, mut submit, mut ask) = (unknown, unknown, unknown);
    if name.contains("busy") || name.starts_with("full") || name.starts_with("closing") {
        read = talk.read(&subscribe(1));
        submit = talk.submit(&records(1)[0]);
        ask = ask_probe(&mut talk);
    }
    let order = match name {
        "an operator's, with an order" => order(&mut signed_in(&mut talk)),
        "an operator's" => signed_in(&mut talk).ticket,
        _ => unknown,
    };
    match name {
        "full" => {
            let record = records(1).remove(0);
            while talk.stream.wants_bytes() {
                talk.submit(&record);
            }
        }
        "full of probes" => {
            while talk.stream.wants_bytes() {
                ask_probe(&mut talk);
            }
        }
        "busy, peer finished" | "finished by the peer" => drop(talk.tell(Event::PeerFinished)),
        "closing with a submission in flight" | "finished by shutdown" => {
            talk.tell(Event::Shutdown);
        }
        "thrown out" => drop(talk.send(&query(1))),
        _ => {}
    }
    Case {
        name,
        talk,
        read,
        submit,
        ask,
        order,
        is_over: matches!(
            name,
            "finished by the peer" | "finished by shutdown" | "thrown out"
        ),
        is_deaf: name.contains("finished") || name.contains("closing") || name == "thrown out",
    }
}

fn ask_probe(talk: &mut Talk) -> Ticket {
    match talk.bytes(probe().encode(1)).as_slice() {
        [Said::Action(Action::Ask { ticket, .. })] => *ticket,
        other => panic!("{other:?}"),
    }
}

/// What there is to tell of an ask.
fn ask_events(ticket: Ticket) -> Vec<Event> {
    let refusal = BodyRefusal {
        result: ResultCode::Invalid,
        why: String::new(),
    };
    let answers = [
        Answer::Status(status(ProbeCode::Accepted)),
        Answer::Status(status(ProbeCode::Busy)),
        Answer::Result(result(ProbeOutcome::Ok)),
        Answer::Refused(refusal),
    ];
    let answered = answers.map(|answer| Event::Answered { ticket, answer });
    [&answered[..], &[Event::AskEnded { ticket }]].concat()
}

/// What there is to tell of an order.
fn reports(ticket: Ticket) -> Vec<Event> {
    let reports = [
        Report::SignedIn(Ok(())),
        Report::SignedIn(Err((ResultCode::Unauthorized, String::new()))),
        Report::Reply(reply(true)),
        Report::Reply(reply(false)),
    ];
    let reported = reports.map(|report| Event::Reported { ticket, report });
    reported.to_vec()
}

/// The events, about the tickets the state knows and about one it does not.
fn events(case: &Case) -> Vec<Event> {
    let mut events = vec![
        Event::Bytes(hello().encode()),
        Event::Bytes(query(1).encode()),
        Event::Bytes(probe().encode(2)),
        Event::Bytes(vec![0xFF; 9].into()),
        Event::Bytes(Bytes::new()),
        Event::Intake(Intake::Rests),
        Event::Intake(Intake::Blocked),
        Event::Intake(Intake::Reads),
        Event::PeerFinished,
        Event::GateMoved,
        Event::Shutdown,
        Event::Dismissed {
            result: ResultCode::TooFast,
        },
        Event::Deadline,
    ];
    let result = ResultCode::Success;
    events.extend(ask_events(case.ask));
    events.extend(reports(case.order));
    for ticket in [case.read, case.submit, case.ask, Ticket(1 << 41)] {
        events.extend([
            Event::Submitted { ticket, result },
            Event::Records {
                ticket,
                records: records(1),
            },
            Event::LocallyComplete { ticket },
            Event::Ended { ticket, result },
            Event::AskEnded { ticket },
        ]);
    }
    events
}

/// What must hold after every event, whatever came before.
fn check(case: &mut Case, event: &Event) {
    let deaf_before = case.is_deaf;
    let said = case.talk.tell(event.clone());
    let context = format!("{event:?} while {}: {said:?}", case.name);
    if case.is_over {
        assert_eq!(said, [], "{context}");
    }
    let finishes = said.iter().filter(|it| **it == FINISH).count();
    assert!(finishes <= 1, "{context}");
    let stops = said.contains(&STOP_READING);
    assert!(!(stops && deaf_before), "{context}");
    if matches!(event, Event::PeerFinished) || stops {
        case.is_deaf = true;
    }
    if finishes == 1 {
        case.is_over = true;
        case.is_deaf = true;
        let after = said.iter().skip_while(|it| **it != FINISH).skip(1);
        for it in after {
            let is_end = matches!(
                it,
                Said::Action(Action::StopReading | Action::CloseConnection { .. })
            );
            assert!(is_end, "{context}");
        }
    }
    assert!(
        !(case.is_deaf && case.talk.stream.wants_bytes()),
        "{context}"
    );
    if case.is_over {
        assert_eq!(case.talk.stream.next_deadline(), None, "{context}");
    }
}

#[test]
fn every_two_events_in_every_state_keep_the_order_of_things() {
    for name in NAMES {
        let count = events(&case(name)).len();
        for first in 0..count {
            for second in 0..count {
                let mut case = case(name);
                let events = events(&case);
                case.talk.now += limits::HELLO_TIMEOUT;
                check(&mut case, &events[first]);
                check(&mut case, &events[second]);
            }
        }
    }
}

#[test]
fn the_states_are_what_their_names_say() {
    for name in NAMES {
        let case = case(name);
        let wants = matches!(
            name,
            "waits for hello" | "waits, greeted elsewhere" | "idle" | "busy" | "an operator's"
        );
        assert_eq!(case.talk.stream.wants_bytes(), wants, "{name}");
        let has_deadline = case.talk.stream.next_deadline().is_some();
        assert_eq!(has_deadline, name == "waits for hello", "{name}");
    }
}

#[test]
fn answers_for_unknown_tickets_are_ignored_in_every_state() {
    for name in NAMES {
        let mut case = case(name);
        let ticket = Ticket(1 << 41);
        let result = ResultCode::Success;
        for event in [
            Event::Submitted { ticket, result },
            Event::Records {
                ticket,
                records: records(1),
            },
            Event::LocallyComplete { ticket },
            Event::Ended { ticket, result },
        ] {
            assert_eq!(case.talk.tell(event), [], "{name}");
        }
        for event in [ask_events(ticket), reports(ticket)].concat() {
            assert_eq!(case.talk.tell(event), [], "{name}");
        }
    }
}
