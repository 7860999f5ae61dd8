//! How streams end: by shutdown, and because the peer has said all it had to say.

use super::*;

const ACCEPTED: ResultCode = ResultCode::Accepted;
const SUCCESS: ResultCode = ResultCode::Success;

fn shutting_down() -> Said {
    closing(ResultCode::ShuttingDown)
}

#[test]
fn a_shutdown_is_told_and_the_stream_finished() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let said = talk.tell(Event::Shutdown);
    assert_eq!(said, [STOP_READING, shutting_down(), FINISH]);
    assert_eq!(talk.tell(Event::Shutdown), [], "once");
}

#[test]
fn a_shutdown_is_told_to_a_peer_that_has_not_said_hello_yet() {
    let mut talk = Talk::new(&anonymous(settings()));
    let said = talk.tell(Event::Shutdown);
    assert_eq!(said, [STOP_READING, shutting_down(), FINISH]);
    assert_eq!(talk.stream.next_deadline(), None);
}

#[test]
fn a_shutdown_waits_for_the_results_of_submissions_in_flight_and_for_nothing_else() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let read = talk.read(&subscribe(1));
    let record = records(1).remove(0);
    let ticket = talk.submit(&record);
    assert_eq!(talk.tell(Event::Shutdown), [cancel(read), STOP_READING]);
    assert!(!talk.stream.wants_bytes());
    let said = talk.tell(Event::Records {
        ticket: read,
        records: vec![record.clone()],
    });
    assert_eq!(said, []);
    let said = talk.tell(Event::Submitted {
        ticket,
        result: ACCEPTED,
    });
    let told = submitted(ACCEPTED, prefix(&record));
    assert_eq!(said, [told, shutting_down(), FINISH]);
}

#[test]
fn a_peer_that_has_finished_gets_every_answer_it_waits_for_and_then_the_end() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let record = records(1).remove(0);
    let found = talk.read(&get(1));
    let scan = talk.read(&query(2));
    let submit = talk.submit(&record);
    assert_eq!(talk.tell(Event::PeerFinished), []);
    assert!(!talk.stream.wants_bytes());
    let said = talk.tell(Event::Records {
        ticket: found,
        records: vec![record.clone()],
    });
    assert_eq!(said, [row(1, &record)]);
    let said = talk.tell(Event::Ended {
        ticket: found,
        result: SUCCESS,
    });
    assert_eq!(said, [closed(1, SUCCESS)]);
    let said = talk.tell(Event::Submitted {
        ticket: submit,
        result: ACCEPTED,
    });
    assert_eq!(said, [submitted(ACCEPTED, prefix(&record))]);
    let said = talk.tell(Event::Ended {
        ticket: scan,
        result: SUCCESS,
    });
    assert_eq!(said, [closed(2, SUCCESS), FINISH]);
}

#[test]
fn a_subscription_outlives_the_end_of_what_its_peer_sends() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.read(&subscribe(1));
    assert_eq!(talk.tell(Event::PeerFinished), []);
    assert_eq!(talk.tell(Event::LocallyComplete { ticket }), [complete(1)]);
    let record = records(1).remove(0);
    let said = talk.tell(Event::Records {
        ticket,
        records: vec![record.clone()],
    });
    assert_eq!(said, [row(1, &record)]);
    let result = ResultCode::TemporaryError;
    let said = talk.tell(Event::Ended { ticket, result });
    assert_eq!(said, [closed(1, result), FINISH]);
}

#[test]
fn a_peer_that_opens_a_stream_and_says_nothing_is_left_in_peace() {
    let connection = anonymous(settings());
    let mut talk = Talk::new(&connection);
    assert_eq!(talk.tell(Event::PeerFinished), [FINISH]);
    assert_eq!(talk.stream.next_deadline(), None);
    let mut other = Talk::new(&connection);
    assert_eq!(other.send(&hello()).len(), 1, "the connection lives");
}

#[test]
fn messages_that_wait_are_carried_out_after_the_peer_has_finished() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let record = records(1).remove(0);
    let mut tickets = Vec::new();
    while talk.stream.wants_bytes() {
        tickets.push(talk.submit(&record));
    }
    assert_eq!(talk.send(&unsubscribe(1)), []);
    assert_eq!(talk.tell(Event::PeerFinished), []);
    let mut said = Vec::new();
    for ticket in tickets {
        said.extend(talk.tell(Event::Submitted {
            ticket,
            result: ACCEPTED,
        }));
    }
    let told = submitted(ACCEPTED, prefix(&record));
    assert_eq!(said[..2], [told, closed(1, ResultCode::NotFound)]);
    assert_eq!(said.last(), Some(&FINISH));
}

#[test]
fn a_shutdown_after_the_peer_has_finished_does_not_stop_what_has_stopped() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.read(&subscribe(1));
    talk.tell(Event::PeerFinished);
    let said = talk.tell(Event::Shutdown);
    assert_eq!(said, [cancel(ticket), shutting_down(), FINISH]);
}

#[test]
fn bytes_after_the_peer_has_finished_are_not_the_peers() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    talk.read(&subscribe(1));
    talk.tell(Event::PeerFinished);
    assert_eq!(talk.send(&unsubscribe(1)), []);
}

#[test]
fn a_peer_that_may_not_stay_is_told_why_at_once_whatever_is_in_flight() {
    let result = ResultCode::KeyTemporarilyBanned;
    let close = Said::Action(Action::CloseConnection { result });
    let mut talk = Talk::greeted(&anonymous(settings()));
    let read = talk.read(&subscribe(1));
    talk.submit(&records(1)[0]);
    let said = talk.tell(Event::Dismissed { result });
    let expected = [cancel(read), closing(result), FINISH, STOP_READING, close];
    assert_eq!(said, expected);
    assert_eq!(talk.tell(Event::Dismissed { result }), [], "once");
}
