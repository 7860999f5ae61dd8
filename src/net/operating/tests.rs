use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::net::testing::{Behind, soon, until};
use crate::policy::testing::Person;
use crate::wire::AdminRow;

/// Answers every order in `parts` parts, and takes orders while it `is_in_office`.
struct Clerk {
    parts: u8,
    is_in_office: AtomicBool,
    /// Whether the question who is an operator panics.
    is_confused: AtomicBool,
    calls: AtomicUsize,
    by: Mutex<Vec<PublicKey>>,
}

impl Clerk {
    fn new(parts: u8) -> Arc<Self> {
        Arc::new(Self {
            parts,
            is_in_office: AtomicBool::new(true),
            is_confused: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            by: Mutex::default(),
        })
    }
}

impl Operator for Clerk {
    fn operator(&self, key: &PublicKey, master: &PublicKey) -> Option<PublicKey> {
        assert_eq!(key, master, "no key schedule says otherwise");
        let is_confused = self.is_confused.load(Ordering::SeqCst);
        assert!(!is_confused, "as the test wants");
        let is_operator = *key == Person::Alice.key() && self.is_in_office.load(Ordering::SeqCst);
        is_operator.then_some(*master)
    }

    fn call(&self, by: PublicKey, call: &AdminCall, from: Option<&[u8]>) -> Part {
        assert_ne!(call.call, "panic", "as the test wants");
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.by.lock().unwrap().push(by);
        let place = from.map_or(0, |from| from[0]) + 1;
        Part {
            reply: AdminReply::done(vec![AdminRow::from([("n".to_owned(), 1_u64.into())])]),
            next: (place < self.parts).then(|| vec![place]),
        }
    }
}

fn call(name: &str) -> Order {
    Order::Call(AdminCall {
        call: name.to_owned(),
        args: AdminRow::new(),
    })
}

fn orders(behind: &Behind, who: Option<Person>, clerk: &Arc<Clerk>) -> Orders {
    let desk = Desk::new(Some(Arc::clone(clerk) as Arc<dyn Operator>));
    Orders::new(desk, behind.requester(who))
}

async fn report(orders: &mut Orders) -> Report {
    match soon(orders.next()).await.into_event() {
        Event::Reported { report, .. } => report,
        other => panic!("{other:?}"),
    }
}

async fn reply(orders: &mut Orders) -> AdminReply {
    match report(orders).await {
        Report::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

const TICKET: Ticket = Ticket::for_tests(1);

#[tokio::test]
async fn an_operator_signs_in_and_nobody_else() {
    let behind = Behind::new();
    let clerk = Clerk::new(1);
    for (who, is_operator) in [
        (Some(Person::Alice), true),
        (Some(Person::Bob), false),
        (None, false),
    ] {
        let mut orders = orders(&behind, who, &clerk);
        orders.start(TICKET, Order::SignIn);
        match report(&mut orders).await {
            Report::SignedIn(Ok(())) => assert!(is_operator),
            Report::SignedIn(Err((ResultCode::Unauthorized, _))) => assert!(!is_operator),
            other => panic!("{other:?}"),
        }
    }
    let mut nobody = Orders::new(Desk::new(None), behind.requester(Some(Person::Alice)));
    nobody.start(TICKET, Order::SignIn);
    assert!(matches!(
        report(&mut nobody).await,
        Report::SignedIn(Err(_))
    ));
}

#[tokio::test]
async fn every_order_looks_anew_whether_an_operator_gives_it() {
    let behind = Behind::new();
    let clerk = Clerk::new(3);
    let mut orders = orders(&behind, Some(Person::Alice), &clerk);
    orders.start(TICKET, call("list"));
    assert!(reply(&mut orders).await.more);
    clerk.is_in_office.store(false, Ordering::SeqCst);
    // A part may have been carried out before the operator was dismissed; none is after that.
    loop {
        let reply = reply(&mut orders).await;
        if reply.result == ResultCode::Unauthorized {
            assert!(!reply.more);
            break;
        }
    }
    assert!(clerk.calls.load(Ordering::SeqCst) < 3);
    orders.start(TICKET, call("list"));
    assert_eq!(reply(&mut orders).await.result, ResultCode::Unauthorized);
}

#[tokio::test]
async fn an_order_whose_operator_is_dismissed_while_it_waits_is_not_carried_out() {
    let behind = Behind::new();
    let clerk = Clerk::new(1);
    let mut orders = orders(&behind, Some(Person::Alice), &clerk);
    // Whose key it is, is known from here on, so that the order waits for nothing but its turn.
    orders.start(TICKET, Order::SignIn);
    assert!(matches!(
        report(&mut orders).await,
        Report::SignedIn(Ok(()))
    ));
    let permits = Arc::clone(&orders.desk.permits);
    let others = u32::try_from(ADMIN_CALLS_AT_ONCE_MAX).unwrap();
    let others = permits.acquire_many(others).await.unwrap();
    orders.start(TICKET, call("list"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    clerk.is_in_office.store(false, Ordering::SeqCst);
    drop(others);
    assert_eq!(reply(&mut orders).await.result, ResultCode::Unauthorized);
    assert_eq!(clerk.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_long_listing_waits_until_what_was_told_of_it_is_taken() {
    let behind = Behind::new();
    let clerk = Clerk::new(9);
    let mut orders = orders(&behind, Some(Person::Alice), &clerk);
    orders.start(TICKET, call("list"));
    until(|| clerk.calls.load(Ordering::SeqCst) == 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clerk.calls.load(Ordering::SeqCst), 1);
    for place in 1..=9 {
        assert_eq!(reply(&mut orders).await.more, place < 9);
    }
    assert_eq!(*clerk.by.lock().unwrap(), vec![Person::Alice.key(); 9]);
}

#[tokio::test]
async fn an_order_that_panics_is_an_error_and_the_next_one_is_carried_out() {
    let behind = Behind::new();
    let clerk = Clerk::new(1);
    let mut orders = orders(&behind, Some(Person::Alice), &clerk);
    for _ in 0..2 * ADMIN_CALLS_AT_ONCE_MAX {
        orders.start(TICKET, call("panic"));
        assert_eq!(reply(&mut orders).await.result, ResultCode::GeneralError);
    }
    orders.start(TICKET, call("list"));
    assert_eq!(reply(&mut orders).await.result, ResultCode::Success);
}

#[tokio::test]
async fn an_order_whose_task_panics_is_an_error_whatever_it_asks_for() {
    let behind = Behind::new();
    let clerk = Clerk::new(1);
    let mut orders = orders(&behind, Some(Person::Alice), &clerk);
    for _ in 0..2 {
        clerk.is_confused.store(true, Ordering::SeqCst);
        orders.start(TICKET, Order::SignIn);
        match report(&mut orders).await {
            Report::SignedIn(Err((result, _))) => assert_eq!(result, ResultCode::GeneralError),
            other => panic!("{other:?}"),
        }
        orders.start(TICKET, call("list"));
        assert_eq!(reply(&mut orders).await.result, ResultCode::GeneralError);
        clerk.is_confused.store(false, Ordering::SeqCst);
        orders.start(TICKET, call("list"));
        assert_eq!(reply(&mut orders).await.result, ResultCode::Success);
    }
    orders.start(TICKET, call("list"));
    orders.shutdown().await;
    assert!(orders.tasks.is_empty());
}
