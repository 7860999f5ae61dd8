//! SUBMISSION.

use super::*;
use crate::base::limits;

fn result(ticket: Ticket, result: ResultCode) -> Event {
    Event::Submitted { ticket, result }
}

const ACCEPTED: ResultCode = ResultCode::Accepted;

#[test]
fn a_good_record_is_handed_on_and_its_result_names_its_id() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let record = records(1).remove(0);
    let action = talk.ask(&submission(record.bytes()));
    let Action::Submit {
        ticket,
        record: handed_on,
        bound: None,
        app: None,
    } = action
    else {
        panic!("{action:?}");
    };
    assert_eq!(handed_on, record);
    let said = talk.tell(result(ticket, ACCEPTED));
    assert_eq!(said, [submitted(ACCEPTED, prefix(&record))]);
    let again = talk.tell(result(ticket, ACCEPTED));
    assert_eq!(again, [], "a result is told once");
}

#[test]
fn every_result_is_passed_on_in_the_order_in_which_results_come() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let codes = ResultCode::ALL;
    let records = records(codes.len());
    let tickets: Vec<Ticket> = records.iter().map(|record| talk.submit(record)).collect();
    for ((ticket, record), code) in tickets.iter().zip(&records).zip(codes).rev() {
        let said = talk.tell(result(*ticket, *code));
        assert_eq!(said, [submitted(*code, prefix(record))]);
    }
}

#[test]
fn what_is_no_record_is_invalid_under_the_first_bytes_of_what_came_and_the_stream_goes_on() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let good = records(1).remove(0);
    let mut without_nonce_bit = good.bytes().to_vec();
    without_nonce_bit[48] &= 0x7F;
    let mut longer = good.bytes().to_vec();
    longer.extend_from_slice(&[0; 8]);
    for bytes in [without_nonce_bit, longer, good.bytes()[..152].to_vec()] {
        let said = talk.send(&submission(&bytes.into()));
        assert_eq!(said, [submitted(ResultCode::Invalid, prefix(&good))]);
    }
    talk.submit(&good);
}

#[test]
fn what_is_shorter_than_an_id_is_invalid_under_its_bytes_filled_up_with_zeroes() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    for length_bytes in [0, 1, 31, 32, 33] {
        let bytes = vec![9; length_bytes];
        let mut expected = [0; 32];
        for (to, from) in expected.iter_mut().zip(&bytes) {
            *to = *from;
        }
        let said = talk.send(&submission(&bytes.into()));
        assert_eq!(said, [submitted(ResultCode::Invalid, expected)]);
    }
}

#[test]
fn a_record_that_is_too_large_is_said_to_be_so_skipped_and_the_stream_goes_on() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let bytes = submission(&vec![9; limits::RECORD_MAX_BYTES + 8].into()).encode();
    let mut said = Vec::new();
    for chunk in bytes.chunks(limits::STREAM_READ_BYTES) {
        assert!(talk.stream.wants_bytes());
        said.extend(talk.bytes(chunk.to_vec()));
    }
    assert_eq!(said, [submitted(ResultCode::TooLarge, [9; 32])]);
    talk.submit(&records(1)[0]);
}

#[test]
fn past_the_bound_in_flight_nothing_more_is_read_or_carried_out_until_a_result_comes() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let record = records(1).remove(0);
    let mut tickets = Vec::new();
    for _ in 0..limits::STREAM_SUBMISSIONS_MAX {
        assert!(talk.stream.wants_bytes());
        tickets.push(talk.submit(&record));
    }
    assert!(!talk.stream.wants_bytes());
    let waiting = [submission(record.bytes()), unsubscribe(1)].map(|message| message.encode());
    assert_eq!(talk.bytes(waiting.concat()), [], "messages wait");
    let said = talk.tell(result(tickets[0], ACCEPTED));
    let [told, Said::Action(Action::Submit { ticket, .. })] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(*told, submitted(ACCEPTED, prefix(&record)));
    assert!(!talk.stream.wants_bytes(), "full again");
    let said = talk.tell(result(*ticket, ACCEPTED));
    let not_found = closed(1, ResultCode::NotFound);
    assert_eq!(said, [submitted(ACCEPTED, prefix(&record)), not_found]);
    assert!(talk.stream.wants_bytes());
}

#[test]
fn the_bytes_in_flight_are_bounded_too() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let large = Draft::by(Person::Alice, ReadAccess::Everybody).payload_bytes(500_000);
    let record = large.record();
    let mut tickets = Vec::new();
    while talk.stream.wants_bytes() {
        tickets.push(talk.submit(&record));
    }
    let bytes = tickets.len() * record.bytes().len();
    assert!(bytes >= limits::STREAM_SUBMISSIONS_MAX_BYTES, "{bytes}");
    let most = limits::STREAM_SUBMISSIONS_MAX_BYTES + record.bytes().len();
    assert!(bytes < most, "{bytes}");
    talk.tell(result(tickets[0], ACCEPTED));
    assert!(talk.stream.wants_bytes());
}
