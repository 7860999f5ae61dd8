//! BLOB SUBMISSION and BLOB GET.

use super::*;
use crate::base::limits;
use crate::policy::Limit;
use crate::session::{BlobOrder, Excess, Intake};
use crate::wire::BlobHash;

const HASH: [u8; 32] = [3; 32];
const ACCEPTED: ResultCode = ResultCode::Accepted;

fn head(data_bytes: u64) -> ClientMessage {
    let hash = HASH;
    ClientMessage::BlobSubmission { hash, data_bytes }
}

fn result(result: ResultCode) -> Said {
    Said::Message(ServerMessage::BlobSubmissionResult { result, hash: HASH })
}

fn blob_result(result: ResultCode, data_bytes: u64) -> Said {
    Said::Message(ServerMessage::BlobResult {
        result,
        data_bytes,
        hash: HASH,
    })
}

fn order(ticket: Ticket, order: BlobOrder) -> Said {
    Said::Action(Action::Blob { ticket, order })
}

fn sent(data: &'static [u8]) -> Action {
    Action::Send(Bytes::from_static(data))
}

impl Talk {
    fn news(&mut self, ticket: Ticket, news: BlobNews) -> Vec<Said> {
        self.tell(Event::Blob { ticket, news })
    }

    /// The actions of some news, not taken for messages: data of a BLOB are none.
    fn actions(&mut self, ticket: Ticket, news: BlobNews) -> Vec<Action> {
        self.stream.handle(self.now, Event::Blob { ticket, news });
        std::iter::from_fn(|| self.stream.poll_action()).collect()
    }

    /// Sends the head of a BLOB that must be handed on.
    fn submit_blob(&mut self, data_bytes: u64) -> Ticket {
        match self.ask(&head(data_bytes)) {
            Action::Blob {
                ticket,
                order:
                    BlobOrder::Submit {
                        hash,
                        data_bytes: claimed,
                    },
            } => {
                assert_eq!((*hash.as_bytes(), claimed), (HASH, data_bytes));
                ticket
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends the head of a BLOB that is taken.
    fn taken_blob(&mut self, data_bytes: u64) -> Ticket {
        let ticket = self.submit_blob(data_bytes);
        assert_eq!(self.news(ticket, BlobNews::Taken), []);
        ticket
    }

    fn get_blob(&mut self) -> Ticket {
        let hash = BlobHash::from_bytes(HASH);
        match self.ask(&ClientMessage::BlobGet { hash: HASH }) {
            Action::Blob {
                ticket,
                order: BlobOrder::Get { hash: asked },
            } if asked == hash => ticket,
            other => panic!("{other:?}"),
        }
    }
}

/// Tells a stream those bytes, and does for BLOBs what a driver does that takes all of them.
fn with_driver(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Said>) {
    let mut talk = Talk::new(&anonymous(settings()));
    let (mut data, mut said) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut waiting = talk.bytes(piece.to_vec());
        while !waiting.is_empty() {
            match waiting.remove(0) {
                Said::Action(Action::Blob { ticket, order }) => {
                    let news = match order {
                        BlobOrder::Submit { .. } => BlobNews::Taken,
                        BlobOrder::End => BlobNews::Submitted(ACCEPTED),
                        BlobOrder::Get { .. } => BlobNews::NotSent(ResultCode::NotFound),
                        BlobOrder::Data(bytes) => {
                            data.extend_from_slice(&bytes);
                            continue;
                        }
                        BlobOrder::Drop => panic!("nothing was broken off"),
                    };
                    waiting.extend(talk.news(ticket, news));
                }
                other => said.push(other),
            }
        }
    }
    (data, said)
}

#[test]
fn the_data_of_a_blob_are_handed_on_as_they_came_wherever_bytes_are_cut() {
    let data: Vec<u8> = (0..40).collect();
    let get = ClientMessage::BlobGet { hash: HASH };
    let script = [
        hello().encode().to_vec(),
        head(40).encode().to_vec(),
        data.clone(),
        head(0).encode().to_vec(),
        head(7).encode().to_vec(),
        vec![0x01; 7],
        get.encode().to_vec(),
        query(1).encode().to_vec(),
    ]
    .concat();
    let (whole, said) = with_driver(&[&script]);
    assert_eq!(whole, [data, vec![0x01; 7]].concat());
    let [
        Said::Message(_),
        first,
        second,
        third,
        not_found,
        Said::Action(Action::Read { .. }),
    ] = said.as_slice()
    else {
        panic!("{said:?}");
    };
    for accepted in [first, second, third] {
        assert_eq!(*accepted, result(ACCEPTED));
    }
    assert_eq!(*not_found, blob_result(ResultCode::NotFound, 0));
    for cut in 0..=script.len() {
        let (head, tail) = script.split_at(cut);
        assert_eq!(
            with_driver(&[head, tail]),
            (whole.clone(), said.clone()),
            "cut at {cut}"
        );
    }
    let single: Vec<&[u8]> = script.chunks(1).collect();
    assert_eq!(with_driver(&single), (whole, said), "byte by byte");
}

#[test]
fn nothing_is_read_until_the_driver_says_whether_a_blob_is_taken_and_what_became_of_it() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.submit_blob(3);
    assert!(!talk.stream.wants_bytes());
    assert_eq!(talk.bytes(vec![1, 2, 3]), [], "data wait");
    assert_eq!(
        talk.news(ticket, BlobNews::Taken),
        [
            order(ticket, BlobOrder::Data(vec![1, 2, 3].into())),
            order(ticket, BlobOrder::End)
        ]
    );
    assert!(!talk.stream.wants_bytes());
    assert_eq!(talk.send(&head(5)), [], "the next BLOB waits for its turn");
    let said = talk.news(ticket, BlobNews::Submitted(ACCEPTED));
    let [told, Said::Action(Action::Blob { ticket: next, .. })] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(*told, result(ACCEPTED));
    assert_ne!(*next, ticket);
    assert_eq!(
        talk.news(ticket, BlobNews::Submitted(ACCEPTED)),
        [],
        "told once"
    );
}

#[test]
fn a_refused_blob_is_answered_before_its_data_which_are_thrown_away() {
    for data_bytes in [0, 1, limits::BLOB_DISCARD_MAX_BYTES] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let ticket = talk.submit_blob(data_bytes);
        let refused = BlobNews::Submitted(ResultCode::TooLarge);
        assert_eq!(talk.news(ticket, refused), [result(ResultCode::TooLarge)]);
        let data = vec![0x01; usize::try_from(data_bytes).unwrap()];
        for chunk in data.chunks(limits::STREAM_READ_BYTES) {
            assert!(talk.stream.wants_bytes());
            assert_eq!(talk.bytes(chunk.to_vec()), []);
        }
        talk.read(&query(1));
    }
}

#[test]
fn a_blob_that_comes_too_fast_is_refused_in_either_direction() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let excess = Excess::Rate(Limit::Submissions);
    let ticket = talk.submit_blob(5);
    let said = talk.tell(Event::Exceeded { ticket, excess });
    assert_eq!(said, [result(ResultCode::TooFast)]);
    talk.bytes(&b"12345"[..]);
    let ticket = talk.get_blob();
    let said = talk.tell(Event::Exceeded { ticket, excess });
    assert_eq!(said, [blob_result(ResultCode::TooFast, 0)]);
    talk.read(&query(1));
}

#[test]
fn more_data_than_are_thrown_away_end_the_reading_and_what_was_asked_is_answered() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let read = talk.read(&query(1));
    let ticket = talk.submit_blob(limits::BLOB_DISCARD_MAX_BYTES + 1);
    let refused = BlobNews::Submitted(ResultCode::TooLarge);
    let said = talk.news(ticket, refused);
    assert_eq!(said, [result(ResultCode::TooLarge), STOP_READING]);
    assert!(!talk.stream.wants_bytes());
    assert_eq!(talk.stream.next_deadline(), None);
    let (ticket, result) = (read, ResultCode::Success);
    let said = talk.tell(Event::Ended { ticket, result });
    assert_eq!(said, [closed(1, result), FINISH]);
}

#[test]
fn a_blob_that_is_given_up_in_the_middle_is_answered_and_the_rest_thrown_away() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.taken_blob(10);
    let said = talk.bytes(vec![1; 4]);
    assert_eq!(said, [order(ticket, BlobOrder::Data(vec![1; 4].into()))]);
    let given_up = BlobNews::Submitted(ResultCode::TemporaryError);
    assert_eq!(
        talk.news(ticket, given_up),
        [result(ResultCode::TemporaryError)]
    );
    assert_eq!(talk.bytes(vec![1; 6]), []);
    talk.read(&query(1));
}

#[test]
fn a_blob_whose_data_end_too_early_is_dropped_and_invalid() {
    for sent_bytes in [0, 1, 9] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let ticket = talk.taken_blob(10);
        talk.bytes(vec![1; sent_bytes]);
        let dropped = order(ticket, BlobOrder::Drop);
        let expected = [dropped, result(ResultCode::Invalid), FINISH];
        assert_eq!(talk.tell(Event::PeerFinished), expected);
    }
}

#[test]
fn a_shutdown_drops_a_blob_that_is_not_whole_and_waits_for_one_that_is() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.taken_blob(10);
    let dropped = order(ticket, BlobOrder::Drop);
    let told = result(ResultCode::TemporaryError);
    let last = closing(ResultCode::ShuttingDown);
    let expected = [dropped, told, STOP_READING, last.clone(), FINISH];
    assert_eq!(talk.tell(Event::Shutdown), expected);

    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.taken_blob(1);
    talk.bytes(vec![1]);
    assert_eq!(talk.tell(Event::Shutdown), [STOP_READING]);
    let said = talk.news(ticket, BlobNews::Submitted(ACCEPTED));
    assert_eq!(said, [result(ACCEPTED), last, FINISH]);
}

#[test]
fn a_connection_hands_in_a_few_blobs_at_a_time_and_more_again_when_one_is_over() {
    let connection = anonymous(settings());
    Talk::greeted(&connection);
    let talks = (0..limits::CONNECTION_UPLOADS_MAX).map(|_| {
        let mut talk = Talk::new(&connection);
        let ticket = talk.submit_blob(1);
        (talk, ticket)
    });
    let mut talks: Vec<_> = talks.collect();
    let mut late = Talk::new(&connection);
    assert_eq!(late.send(&head(1)), [result(ResultCode::TooFast)]);
    assert_eq!(late.bytes(vec![0]), [], "its data are thrown away");
    let (talk, ticket) = &mut talks[0];
    talk.news(*ticket, BlobNews::Submitted(ResultCode::Duplicate));
    late.submit_blob(1);
    let mut large = Talk::new(&connection);
    let said = large.send(&head(limits::BLOB_DISCARD_MAX_BYTES + 1));
    assert_eq!(said, [result(ResultCode::TooFast), STOP_READING, FINISH]);
    drop(talks);
    Talk::new(&connection).submit_blob(1);
}

#[test]
fn a_blob_may_take_as_long_as_it_needs_if_its_data_keep_coming() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let stretch = limits::BLOB_PROGRESS_BYTES;
    talk.taken_blob(4 * stretch);
    let almost = limits::MESSAGE_TIMEOUT - std::time::Duration::from_nanos(1);
    for _ in 0..3 {
        talk.now += almost;
        assert_eq!(talk.tell(Event::Deadline), []);
        let pieces = stretch / u64::try_from(limits::STREAM_READ_BYTES).unwrap();
        for _ in 0..pieces {
            assert_eq!(talk.bytes(vec![0; limits::STREAM_READ_BYTES]).len(), 1);
        }
    }
    let ends = talk.stream.next_deadline().unwrap();
    // A byte now and then is no progress.
    talk.now += almost;
    talk.bytes(vec![0]);
    assert_eq!(talk.stream.next_deadline(), Some(ends));
    talk.now = ends;
    let said = talk.tell(Event::Deadline);
    assert_eq!(
        said[1..],
        [result(ResultCode::Invalid), STOP_READING, FINISH]
    );
}

#[test]
fn a_piece_of_a_blob_has_all_its_time_however_long_the_one_before_is_not_read_on() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    talk.taken_blob(2 * limits::BLOB_PROGRESS_BYTES);
    let second = std::time::Duration::from_secs(1);
    for _ in 0..limits::BLOB_PROGRESS_BYTES / u64::try_from(limits::STREAM_READ_BYTES).unwrap() {
        talk.now += second;
        talk.tell(Event::Intake(Intake::Rests));
        talk.now += limits::MESSAGE_TIMEOUT;
        assert_eq!(talk.stream.next_deadline(), None);
        talk.tell(Event::Intake(Intake::Reads));
        assert_eq!(talk.bytes(vec![0; limits::STREAM_READ_BYTES]).len(), 1);
    }
    let deadline = talk.now + limits::MESSAGE_TIMEOUT;
    assert_eq!(talk.stream.next_deadline(), Some(deadline));
}

#[test]
fn a_blob_is_sent_whole_before_anything_else_is_said() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let record = records(1).remove(0);
    let submission = talk.submit(&record);
    let ticket = talk.get_blob();
    assert!(!talk.stream.wants_bytes());
    assert_eq!(talk.send(&query(1)), [], "the next request waits");
    let found = talk.news(ticket, BlobNews::Found { data_bytes: 5 });
    assert_eq!(found, [blob_result(ResultCode::Success, 5)]);
    assert!(talk.stream.is_sending_blob());
    let submitted_now = Event::Submitted {
        ticket: submission,
        result: ACCEPTED,
    };
    assert_eq!(talk.tell(submitted_now), [], "the result waits");
    let page = BlobNews::Page(Bytes::from_static(b"abc"));
    assert_eq!(talk.actions(ticket, page), [sent(b"abc")]);
    let actions = talk.actions(ticket, BlobNews::Page(Bytes::from_static(b"de")));
    let [last, told, Action::Read { .. }] = actions.as_slice() else {
        panic!("{actions:?}");
    };
    assert_eq!(*last, sent(b"de"));
    assert_eq!(said(told.clone()), submitted(ACCEPTED, prefix(&record)));
    assert!(!talk.stream.is_sending_blob());
    assert!(talk.stream.wants_bytes());
}

#[test]
fn more_than_a_blob_claimed_to_have_is_never_sent() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.get_blob();
    talk.news(ticket, BlobNews::Found { data_bytes: 2 });
    let page = || BlobNews::Page(Bytes::from_static(b"abc"));
    assert_eq!(talk.actions(ticket, page()), [sent(b"ab")]);
    assert_eq!(talk.actions(ticket, page()), []);
    talk.read(&query(1));
}

#[test]
fn an_empty_blob_has_a_head_and_no_data() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.get_blob();
    let found = talk.news(ticket, BlobNews::Found { data_bytes: 0 });
    assert_eq!(found, [blob_result(ResultCode::Success, 0)]);
    talk.read(&query(1));
}

#[test]
fn a_blob_that_ends_too_early_breaks_the_stream_off_and_nothing_is_said_behind_it() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let submission = talk.submit(&records(1)[0]);
    let ticket = talk.get_blob();
    talk.news(ticket, BlobNews::Found { data_bytes: 5 });
    talk.tell(Event::Submitted {
        ticket: submission,
        result: ACCEPTED,
    });
    let lost = BlobNews::NotSent(ResultCode::TemporaryError);
    assert_eq!(talk.news(ticket, lost), [Said::Action(Action::Reset)]);
    assert_eq!(talk.tell(Event::Shutdown), []);
    assert!(!talk.stream.wants_bytes());
}

#[test]
fn a_shutdown_lets_a_blob_be_sent_to_its_end_and_gives_up_one_that_was_not_found_yet() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.get_blob();
    talk.news(ticket, BlobNews::Found { data_bytes: 3 });
    assert_eq!(talk.tell(Event::Shutdown), [STOP_READING]);
    let actions = talk.actions(ticket, BlobNews::Page(Bytes::from_static(b"abc")));
    let [data, last, Action::Finish] = actions.as_slice() else {
        panic!("{actions:?}");
    };
    assert_eq!(*data, sent(b"abc"));
    assert_eq!(said(last.clone()), closing(ResultCode::ShuttingDown));

    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.get_blob();
    let expected = [
        order(ticket, BlobOrder::Drop),
        blob_result(ResultCode::TemporaryError, 0),
        STOP_READING,
        closing(ResultCode::ShuttingDown),
        FINISH,
    ];
    assert_eq!(talk.tell(Event::Shutdown), expected);
}
