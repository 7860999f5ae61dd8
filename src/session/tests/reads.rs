//! GET, QUERY, SUBSCRIBE and UNSUBSCRIBE.

use super::*;
use crate::base::{Role, limits};
use crate::wire::{RecordId, Reference, TagsBuilder};

fn found(ticket: Ticket, records: &[Record]) -> Event {
    Event::Records {
        ticket,
        records: records.to_vec(),
    }
}

fn ended(ticket: Ticket, result: ResultCode) -> Event {
    Event::Ended { ticket, result }
}

const SUCCESS: ResultCode = ResultCode::Success;

#[test]
fn a_get_that_finds_nothing_is_not_found_and_one_that_finds_something_is_success() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let nothing = talk.read(&get(1));
    let something = talk.read(&get(2));
    let records = records(2);
    let said = talk.tell(found(something, &records));
    assert_eq!(said, [row(2, &records[0]), row(2, &records[1])]);
    let said = talk.tell(ended(nothing, SUCCESS));
    assert_eq!(said, [closed(1, ResultCode::NotFound)]);
    let said = talk.tell(ended(something, SUCCESS));
    assert_eq!(said, [closed(2, SUCCESS)]);
}

#[test]
fn a_query_that_finds_nothing_is_success() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.read(&query(1));
    assert_eq!(talk.tell(ended(ticket, SUCCESS)), [closed(1, SUCCESS)]);
}

#[test]
fn a_failure_of_the_store_is_passed_on() {
    for message in [get(1), query(1), subscribe(1)] {
        for result in [ResultCode::TemporaryError, ResultCode::TooOpen] {
            let mut talk = Talk::greeted(&anonymous(settings()));
            let ticket = talk.read(&message);
            assert_eq!(talk.tell(ended(ticket, result)), [closed(1, result)]);
        }
    }
}

#[test]
fn a_request_is_handed_on_as_it_was_made() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let reference = Reference::Id(RecordId::from_bytes(&[7; 48]).unwrap());
    let references = vec![reference; 3];
    let message = ClientMessage::Get {
        id: QueryId(1),
        references: references.clone(),
    };
    let Action::Read {
        request,
        bound: None,
        app: None,
        ..
    } = talk.ask(&message)
    else {
        panic!("no read");
    };
    assert_eq!(request, ReadRequest::Get(references));
    for limit in [0, 1, u16::MAX] {
        let filter = narrow();
        let id = QueryId(2);
        let message = ClientMessage::Query {
            id,
            limit,
            filter: filter.clone(),
        };
        let Some(Said::Action(Action::Read { request, .. })) = talk.send(&message).pop() else {
            panic!("no read");
        };
        assert_eq!(request, ReadRequest::Query { filter, limit });
    }
    let message = ClientMessage::Subscribe {
        id: QueryId(3),
        limit: 9,
        filter: narrow(),
    };
    let Action::Read { request, .. } = talk.ask(&message) else {
        panic!("no read");
    };
    let expected = ReadRequest::Subscribe {
        filter: narrow(),
        limit: 9,
    };
    assert_eq!(request, expected);
}

#[test]
fn a_subscription_sends_what_is_stored_then_locally_complete_then_what_arrives_until_unsubscribe() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.read(&subscribe(7));
    let records = records(3);
    let said = talk.tell(found(ticket, &records[..2]));
    assert_eq!(said, [row(7, &records[0]), row(7, &records[1])]);
    let said = talk.tell(Event::LocallyComplete { ticket });
    assert_eq!(said, [complete(7)]);
    assert_eq!(
        talk.tell(found(ticket, &records[2..])),
        [row(7, &records[2])]
    );
    let said = talk.send(&unsubscribe(7));
    assert_eq!(said, [cancel(ticket), closed(7, SUCCESS)]);
    assert_eq!(talk.tell(found(ticket, &records)), [], "it is over");
    assert_eq!(talk.tell(ended(ticket, SUCCESS)), [], "it is over");
}

#[test]
fn locally_complete_is_said_once_and_for_subscriptions_only() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let live = talk.read(&subscribe(1));
    talk.tell(Event::LocallyComplete { ticket: live });
    let other = talk.read(&query(2));
    for ticket in [live, other] {
        assert_eq!(talk.tell(Event::LocallyComplete { ticket }), []);
    }
}

#[test]
fn unsubscribe_of_an_unknown_id_is_not_found() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let not_found = [closed(9, ResultCode::NotFound)];
    assert_eq!(talk.send(&unsubscribe(9)), not_found);
    let ticket = talk.read(&query(9));
    talk.tell(ended(ticket, SUCCESS));
    assert_eq!(talk.send(&unsubscribe(9)), not_found, "it has ended");
}

#[test]
fn a_query_can_be_ended_before_its_end() {
    for message in [get(4), query(4)] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let ticket = talk.read(&message);
        let said = talk.send(&unsubscribe(4));
        assert_eq!(said, [cancel(ticket), closed(4, SUCCESS)]);
    }
}

#[test]
fn a_request_with_an_open_id_replaces_it_silently_and_nothing_of_the_old_one_is_sent_after() {
    let records = records(2);
    for old in [get(5), query(5), subscribe(5)] {
        for new in [get(5), query(5), subscribe(5)] {
            let mut talk = Talk::greeted(&anonymous(settings()));
            let old = talk.read(&old);
            let said = talk.send(&new);
            let [replaced, Said::Action(Action::Read { ticket: new, .. })] = said.as_slice() else {
                panic!("{said:?}");
            };
            assert_eq!(*replaced, cancel(old));
            assert_eq!(talk.tell(found(old, &records)), []);
            assert_eq!(talk.tell(Event::LocallyComplete { ticket: old }), []);
            assert_eq!(talk.tell(ended(old, SUCCESS)), []);
            let said = talk.tell(found(*new, &records[..1]));
            assert_eq!(said, [row(5, &records[0])]);
            assert_eq!(talk.tell(ended(*new, SUCCESS)), [closed(5, SUCCESS)]);
        }
    }
}

#[test]
fn a_get_that_replaces_one_that_found_something_starts_from_nothing() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let old = talk.read(&get(5));
    talk.tell(found(old, &records(1)));
    talk.send(&get(5));
    let Some(Said::Action(Action::Read { ticket, .. })) = talk.send(&get(5)).pop() else {
        panic!("no read");
    };
    let said = talk.tell(ended(ticket, SUCCESS));
    assert_eq!(said, [closed(5, ResultCode::NotFound)]);
}

#[test]
fn a_refused_request_with_an_open_id_ends_the_open_one_too() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.read(&subscribe(5));
    let said = talk.bytes(with_bad_filter(5));
    assert_eq!(said, [cancel(ticket), closed(5, ResultCode::Invalid)]);
}

#[test]
fn query_ids_belong_to_their_stream() {
    let connection = anonymous(settings());
    let mut one = Talk::greeted(&connection);
    let mut other = Talk::new(&connection);
    one.read(&subscribe(3));
    other.read(&subscribe(3));
    other.send(&unsubscribe(3));
    let not_found = [closed(3, ResultCode::NotFound)];
    assert_eq!(other.send(&unsubscribe(3)), not_found);
    let Some(Said::Message(_)) = one.send(&unsubscribe(3)).pop() else {
        panic!("the first stream's query is gone");
    };
}

#[test]
fn too_many_open_queries_are_too_fast_and_an_open_one_can_still_be_replaced() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let most = u16::try_from(limits::STREAM_QUERIES_MAX).unwrap();
    let tickets: Vec<Ticket> = (0..most).map(|id| talk.read(&subscribe(id))).collect();
    let too_fast = [closed(most, ResultCode::TooFast)];
    assert_eq!(talk.send(&query(most)), too_fast);
    assert_eq!(talk.send(&get(most)), too_fast);
    assert_eq!(talk.send(&query(0)).len(), 2, "cancelled and read");
    talk.tell(ended(tickets[1], SUCCESS));
    talk.read(&query(most));
}

fn with_bad_filter(id: u16) -> Bytes {
    let mut bytes = query(id).encode().to_vec();
    // The type of the first element.
    bytes[16] = 0x6F;
    bytes.into()
}

#[test]
fn a_filter_that_does_not_parse_is_invalid_on_its_id_and_the_stream_goes_on() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let invalid = [closed(6, ResultCode::Invalid)];
    assert_eq!(talk.bytes(with_bad_filter(6)), invalid);
    let without_filter = Bytes::from_static(&[0x02, 8, 0, 0, 6, 0, 0, 0]);
    assert_eq!(talk.bytes(without_filter), invalid);
    talk.read(&query(6));
}

#[test]
fn references_that_are_not_whole_are_invalid_on_their_id_and_the_stream_goes_on() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let said = talk.bytes(vec![0x01, 10, 0, 0, 6, 0, 0, 0, 1, 2]);
    assert_eq!(said, [closed(6, ResultCode::Invalid)]);
    talk.read(&get(6));
}

#[test]
fn a_get_of_too_many_references_is_too_large_and_the_stream_goes_on() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let reference = Reference::Id(RecordId::from_bytes(&[7; 48]).unwrap());
    let message = ClientMessage::Get {
        id: QueryId(6),
        references: vec![reference; limits::GET_REFERENCES_MAX + 1],
    };
    assert_eq!(talk.send(&message), [closed(6, ResultCode::TooLarge)]);
    talk.read(&get(6));
}

#[test]
fn a_filter_without_a_narrow_element_is_accepted_unless_the_operator_refuses_it() {
    let wide_query = ClientMessage::Query {
        id: QueryId(1),
        limit: 0,
        filter: wide(),
    };
    let wide_subscription = ClientMessage::Subscribe {
        id: QueryId(1),
        limit: 0,
        filter: wide(),
    };
    for message in [wide_query, wide_subscription] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        talk.read(&message);
        let strict = Settings {
            refuse_wide_filters: true,
            ..settings()
        };
        let mut talk = Talk::greeted(&anonymous(strict));
        assert_eq!(talk.send(&message), [closed(1, ResultCode::TooOpen)]);
        talk.read(&query(1));
    }
}

#[test]
fn requests_in_flight_on_one_stream_do_not_disturb_each_other() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let records = records(4);
    let live = talk.read(&subscribe(1));
    talk.tell(Event::LocallyComplete { ticket: live });
    let scan = talk.read(&query(2));
    let submit = talk.submit(&records[3]);
    assert_eq!(talk.tell(found(scan, &records[..1])), [row(2, &records[0])]);
    assert_eq!(
        talk.tell(found(live, &records[1..2])),
        [row(1, &records[1])]
    );
    let result = ResultCode::Accepted;
    let said = talk.tell(Event::Submitted {
        ticket: submit,
        result,
    });
    assert_eq!(said, [submitted(result, prefix(&records[3]))]);
    assert_eq!(talk.tell(ended(scan, SUCCESS)), [closed(2, SUCCESS)]);
    assert_eq!(
        talk.tell(found(live, &records[2..3])),
        [row(1, &records[2])]
    );
}

#[test]
fn while_every_role_is_shut_reads_are_a_temporary_error() {
    let configured = RoleSet::of(Role::Outbox).with(Role::Inbox);
    let gate = Arc::new(Gate::closed(configured, "UNKNOWN", testing::NOW));
    let shut = Settings {
        gate: Arc::clone(&gate),
        ..settings()
    };
    let mut talk = Talk::greeted(&anonymous(shut));
    for message in [get(1), query(1), subscribe(1)] {
        let said = talk.send(&message);
        assert_eq!(said, [closed(1, ResultCode::TemporaryError)]);
    }
    gate.set_open(RoleSet::of(Role::Outbox), "PUBLIC", testing::NOW);
    talk.read(&query(1));
}

#[test]
fn a_role_that_shuts_ends_the_reads_that_began_on_it() {
    let gate = Arc::new(Gate::closed(RoleSet::ALL, "UNKNOWN", testing::NOW));
    gate.set_open(RoleSet::of(Role::Outbox), "PUBLIC", testing::NOW);
    let moving = Settings {
        gate: Arc::clone(&gate),
        ..settings()
    };
    let mut talk = Talk::greeted(&anonymous(moving));
    let ticket = talk.read(&subscribe(1));
    gate.set_open(RoleSet::ALL, "PUBLIC", testing::NOW);
    assert_eq!(
        talk.tell(Event::GateMoved),
        [],
        "a role that opens ends nothing"
    );
    gate.set_open(RoleSet::of(Role::Inbox), "LOST", testing::NOW);
    let shut = closed(1, ResultCode::TemporaryError);
    assert_eq!(talk.tell(Event::GateMoved), [cancel(ticket), shut]);
    assert_eq!(talk.tell(found(ticket, &records(1))), []);
    talk.read(&subscribe(1));
}

#[test]
fn a_subscription_whose_role_opened_after_it_began_ends_when_that_role_shuts() {
    let gate = Arc::new(Gate::closed(RoleSet::ALL, "UNKNOWN", testing::NOW));
    let outbox = RoleSet::of(Role::Outbox);
    gate.set_open(outbox, "PUBLIC", testing::NOW);
    let moving = Settings {
        gate: Arc::clone(&gate),
        ..settings()
    };
    let mut talk = Talk::greeted(&anonymous(moving));
    let ticket = talk.read(&subscribe(1));
    gate.set_open(outbox.with(Role::Inbox), "PUBLIC", testing::NOW);
    assert_eq!(talk.tell(Event::GateMoved), []);
    gate.set_open(outbox, "PARTLY", testing::NOW);
    let shut = closed(1, ResultCode::TemporaryError);
    assert_eq!(talk.tell(Event::GateMoved), [cancel(ticket), shut]);
}

/// What was published while the role was shut never reached the subscription: were it left open, the
/// peer would take it for whole.
#[test]
fn a_role_that_was_shut_for_a_moment_ends_the_reads_that_began_before() {
    let gate = Arc::new(Gate::dev(RoleSet::of(Role::Outbox), testing::NOW));
    let moving = Settings {
        gate: Arc::clone(&gate),
        ..settings()
    };
    let mut talk = Talk::greeted(&anonymous(moving));
    let (stays, ends) = (talk.read(&subscribe(1)), talk.read(&query(2)));
    gate.set_open(RoleSet::EMPTY, "LOST", testing::NOW);
    gate.set_open(RoleSet::ALL, "PUBLIC", testing::NOW);
    assert_eq!(talk.tell(found(stays, &records(1))), []);
    let ended = Event::Ended {
        ticket: ends,
        result: ResultCode::Success,
    };
    assert_eq!(talk.tell(ended), [closed(2, ResultCode::TemporaryError)]);
    let shut = closed(1, ResultCode::TemporaryError);
    assert_eq!(talk.tell(Event::GateMoved), [cancel(stays), shut]);
    let after = talk.read(&subscribe(3));
    assert_eq!(talk.tell(Event::GateMoved), []);
    talk.tell(found(after, &records(1)));
}

/// A filter of about 32 KiB.
fn heavy_filter() -> Filter {
    let notify = |tags: TagsBuilder, _| tags.notify(Person::Alice.key());
    let condition = |filter: FilterBuilder, _| {
        let tags = (0..50).fold(TagsBuilder::default(), notify);
        filter.tags(tags)
    };
    let filter = (0..16).fold(FilterBuilder::new(), condition);
    filter.build().unwrap()
}

/// A subscription with a large filter.
fn heavy(id: u16) -> ClientMessage {
    ClientMessage::Subscribe {
        id: QueryId(id),
        limit: 0,
        filter: heavy_filter(),
    }
}

/// A connection whose open reads hold all but the last bytes of what they may, on one stream, and
/// the tickets of those reads.
fn laden() -> (Arc<Connection>, Talk, Vec<Ticket>) {
    let connection = anonymous(settings());
    let mut talk = Talk::greeted(&connection);
    let mut tickets = Vec::new();
    for id in 0.. {
        let said = talk.send(&heavy(id));
        let [Said::Action(Action::Read { ticket, .. })] = said.as_slice() else {
            assert_eq!(said, [closed(id, ResultCode::TooFast)]);
            break;
        };
        tickets.push(*ticket);
    }
    let filter_bytes = heavy_filter().bytes().len();
    let fit = limits::CONNECTION_READS_MAX_BYTES / filter_bytes;
    assert!(fit < limits::STREAM_QUERIES_MAX);
    assert_eq!(tickets.len(), fit);
    (connection, talk, tickets)
}

#[test]
fn open_requests_that_hold_too_much_are_too_fast_on_every_stream_of_their_connection() {
    let (connection, _laden, _) = laden();
    let mut other = Talk::new(&connection);
    let reference = Reference::Id(RecordId::from_bytes(&[7; 48]).unwrap());
    let large_get = ClientMessage::Get {
        id: QueryId(500),
        references: vec![reference; limits::GET_REFERENCES_MAX],
    };
    let too_fast = [closed(500, ResultCode::TooFast)];
    assert_eq!(other.send(&heavy(500)), too_fast);
    assert_eq!(other.send(&large_get), too_fast);
    Talk::greeted(&anonymous(settings())).read(&large_get);
}

#[test]
fn the_references_of_open_gets_count_too() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let reference = Reference::Id(RecordId::from_bytes(&[7; 48]).unwrap());
    let get = |id| ClientMessage::Get {
        id: QueryId(id),
        references: vec![reference; limits::GET_REFERENCES_MAX],
    };
    let fit = limits::CONNECTION_READS_MAX_BYTES / (48 * limits::GET_REFERENCES_MAX);
    let fit = u16::try_from(fit).unwrap();
    for id in 0..fit {
        talk.read(&get(id));
    }
    assert_eq!(talk.send(&get(fit)), [closed(fit, ResultCode::TooFast)]);
}

#[test]
fn a_request_that_ends_however_it_does_leaves_its_bytes_to_the_next() {
    let id = 500;
    let (_, mut talk, _) = laden();
    assert_eq!(talk.send(&heavy(0)).len(), 2, "it replaces another");
    assert_eq!(talk.send(&heavy(id)).len(), 1, "and holds the same");
    talk.send(&unsubscribe(0));
    talk.read(&heavy(id));

    let (_, mut talk, tickets) = laden();
    talk.tell(ended(tickets[0], SUCCESS));
    talk.read(&heavy(id));

    let (_, mut talk, _) = laden();
    talk.bytes(with_bad_filter(0));
    talk.read(&heavy(id));

    let (connection, mut talk, _) = laden();
    talk.send(&ClientMessage::DhtLookup);
    Talk::new(&connection).read(&heavy(id));

    let (connection, talk, _) = laden();
    drop(talk);
    Talk::new(&connection).read(&heavy(id));
}
