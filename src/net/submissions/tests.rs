//! Back-pressure of a full pipeline.

use super::super::testing::{Behind, records, soon};
use super::*;
use crate::session;

/// Tickets, which only a session makes.
fn tickets(behind: &Behind, count: usize) -> Vec<Ticket> {
    let peer = crate::identity::Peer::Anonymous;
    let connection = session::Connection::new(peer, Arc::clone(&behind.settings));
    let now = std::time::Instant::now();
    let mut stream = session::Stream::new(Arc::new(connection), now);
    let hello = super::super::testing::hello().encode();
    stream.handle(now, session::Event::Bytes(hello));
    for record in records(u64::try_from(count).unwrap(), 10) {
        let submission = crate::wire::ClientMessage::Submission {
            record: record.bytes().clone(),
        };
        stream.handle(now, session::Event::Bytes(submission.encode()));
    }
    let mut tickets = Vec::new();
    while let Some(action) = stream.poll_action() {
        if let session::Action::Submit { ticket, .. } = action {
            tickets.push(ticket);
        }
    }
    tickets
}

#[tokio::test]
async fn what_finds_no_room_waits_in_order_and_blocks_the_stream() {
    let behind = Behind::new();
    *behind.ingest.kept.lock().unwrap() = Some(Vec::new());
    let records = records(3, 10);
    let tickets = tickets(&behind, 3);
    let mut submissions = Submissions::new(
        1,
        Arc::clone(&behind.ingest) as Arc<_>,
        Budget::with(1, 1 << 20),
        behind.requester(None),
        Arc::clone(&behind.settings),
    );
    for (ticket, record) in tickets.iter().zip(&records) {
        submissions.submit(Submission {
            ticket: *ticket,
            record: record.clone(),
            bound: None,
            app: None,
        });
    }
    for (place, (ticket, record)) in tickets.iter().zip(&records).enumerate() {
        assert_eq!(submissions.is_blocked(), place < 2);
        let job = behind
            .ingest
            .kept
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .pop()
            .unwrap();
        assert_eq!(job.record.id(), record.id());
        job.reply.send(ResultCode::Accepted);
        // The answer comes first or the next one is handed over first; both have to happen.
        let mut answers = Vec::new();
        while answers.is_empty() {
            answers = soon(submissions.next()).await;
        }
        assert_eq!(answers, [(*ticket, ResultCode::Accepted)]);
        if place < 2 {
            let handed_over = async {
                tokio::select! {
                    answers = submissions.next() => panic!("{answers:?}"),
                    () = super::super::testing::until(|| {
                        !behind.ingest.kept.lock().unwrap().as_ref().unwrap().is_empty()
                    }) => {}
                }
            };
            handed_over.await;
        }
    }
}
