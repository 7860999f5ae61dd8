//! Served users: invitations, registration, quotas, moderation, and schedules that arrive late.

use std::io::Write;
use std::process::Stdio;

use mosaicd::client::Client;
use mosaicd::wire::{
    AdminValue, KeyMarker, Kind, Record, RecordBuilder, Registration, ResultCode, SecretKey,
    TagsBuilder, Timestamp,
};

use self::office::{Office, operator, submit};
use crate::support::{all, key, mosaic, post, schedule};

mod moderation;
mod office;
mod unseen;

/// Replaceable, for everybody, of the example application.
const REPLACEABLE: u64 = 0x0000_0063_000b_001e;

/// One of several records at the same address.
fn version(author: &SecretKey, nanos: u64, text: &str) -> Record {
    RecordBuilder::new(Kind::new(REPLACEABLE).unwrap(), author.public())
        .nonce([0x80; 8])
        .timestamp(Timestamp::from_nanos(nanos).unwrap())
        .payload(text.to_owned())
        .sign(author)
        .unwrap()
}

fn note_to(author: &SecretKey, reader: &SecretKey, text: &str) -> Record {
    RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .tags(TagsBuilder::new().notify(reader.public()))
        .payload(text.to_owned())
        .sign(author)
        .unwrap()
}

async fn redeem(client: &Client, code: &str) -> ResultCode {
    client.redeem(code).await.unwrap().result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clients_who_race_for_an_invitation_exactly_one_becomes_a_user() {
    let office = Office::start(&["users.mode=invite"]).await;
    let info = office.client(None).await.info().await.unwrap();
    assert_eq!(info.registration, Registration::Invite);
    for round in 0..10 {
        let code = office.invitation().await;
        let keys = [key(2 * round + 1), key(2 * round + 2)];
        let [one, two] = [
            office.client(Some(&keys[0])).await,
            office.client(Some(&keys[1])).await,
        ];
        let (first, second) = tokio::join!(redeem(&one, &code), redeem(&two, &code));
        let mut results = [first, second];
        let winner = usize::from(second == ResultCode::Success);
        results.sort();
        assert_eq!(results, [ResultCode::Success, ResultCode::NotFound]);
        let clients = [one, two];
        for (place, client) in clients.iter().enumerate() {
            let expected = if place == winner {
                ResultCode::Accepted
            } else {
                ResultCode::Unauthorized
            };
            let record = post(&keys[place], "hello");
            assert_eq!(submit(client, &record).await, expected, "round {round}");
        }
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_invitation_any_more_is_refused_and_whoever_guesses_has_to_wait() {
    let office = Office::start(&["users.mode=invite"]).await;
    // One that has expired is tried where the clock is in the test's hand, beside the code.
    let made = office.order("invite.create", &[]).await;
    let [revoked, hash] = ["code", "hash"].map(|name| made[0][name].clone());
    office.order("invite.revoke", &[("hash", hash)]).await;
    let revoked = revoked.as_text().unwrap();
    let good = office.invitation().await;

    let anonymous = office.client(None).await;
    let refused = redeem(&anonymous, &good).await;
    assert_eq!(refused, ResultCode::RequiresAuthentication);

    let client = office.client(Some(&key(1))).await;
    let mut answers = Vec::new();
    for code in [revoked, "rubbish"] {
        answers.push(client.redeem(code).await.unwrap());
    }
    assert_eq!(answers[0].result, ResultCode::NotFound);
    assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
    for _ in 0..6 {
        assert_eq!(redeem(&client, "rubbish").await, ResultCode::NotFound);
    }
    assert_eq!(redeem(&client, "rubbish").await, ResultCode::TooFast);
    assert_eq!(
        redeem(&client, &good).await,
        ResultCode::TooFast,
        "a guess, too"
    );
    // The invitation is as good as before, for somebody else.
    let other = office.client(Some(&key(2))).await;
    assert_eq!(redeem(&other, &good).await, ResultCode::Success);
    assert_eq!(redeem(&other, &good).await, ResultCode::Duplicate);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_redeems_and_info_shows_what_is_kept() {
    let office = Office::start(&["users.mode=invite", "quotas.records=5"]).await;
    let code = office.invitation().await;
    let folder = tempfile::TempDir::new().unwrap();
    let (name, dir) = (office.name(), folder.path().to_owned());
    let run = move |arguments: &[&str]| {
        let output = mosaic(&dir).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    };
    tokio::task::spawn_blocking(move || {
        assert_eq!(run(&["redeem", &name, &code]).0, 2, "there is no key yet");
        assert_eq!(run(&["key", "new"]).0, 0);
        assert_eq!(
            run(&["redeem", &name, "rubbish"]).0,
            2,
            "that is no invitation"
        );
        let (exit, text) = run(&["info", "--server", &name]);
        assert_eq!(exit, 0);
        assert!(text.contains("not served here"), "{text}");
        let (exit, text) = run(&["redeem", &name, &code]);
        assert_eq!(exit, 0, "{text}");
        let (exit, text) = run(&["redeem", &code, "--server", &name, "--json"]);
        assert_eq!(exit, 0, "served already: {text}");
        let other = "y".repeat(26);
        let (_, text) = run(&["info", "--server", &name]);
        assert!(text.contains("0 of 5 records, 0 bytes"), "{text}");
        let (_, text) = run(&["info", "--server", &name, "--anonymous"]);
        assert!(!text.contains("published"), "{text}");
        let (exit, _) = run(&["redeem", &name, &other]);
        assert_eq!(
            exit, 0,
            "nothing is asked of an invitation by whoever needs none"
        );
    })
    .await
    .unwrap();
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_takes_the_invitation_from_its_input_and_ends_with_1_where_it_is_none_any_more()
{
    let office = Office::start(&["users.mode=invite"]).await;
    let used = office.invitation().await;
    let redeemed = redeem(&office.client(Some(&key(9))).await, &used).await;
    assert_eq!(redeemed, ResultCode::Success);
    let good = office.invitation().await;
    let unknown = "y".repeat(26);
    let folder = tempfile::TempDir::new().unwrap();
    let name = office.name();
    let checks = move || {
        let dir = folder.path();
        let made = mosaic(dir).args(["key", "new"]).output().unwrap();
        assert!(made.status.success());
        let exit = |code: &str| {
            let run = mosaic(dir).args(["redeem", &name, code]).output().unwrap();
            assert!(String::from_utf8(run.stdout).unwrap().contains("NOT_FOUND"));
            run.status.code().unwrap()
        };
        assert_eq!((exit(&unknown), exit(&used)), (1, 1));
        let exit_with_input = |input: &str| {
            let mut command = mosaic(dir);
            command.args(["redeem", &name, "-"]);
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            let mut pipe = child.stdin.take().unwrap();
            pipe.write_all(input.as_bytes()).unwrap();
            drop(pipe);
            child.wait().unwrap().code().unwrap()
        };
        assert_eq!(exit_with_input(""), 2);
        assert_eq!(exit_with_input(&format!("{used}\n")), 1);
        assert_eq!(exit_with_input(&format!("{good}\nmore\n")), 0);
    };
    tokio::task::spawn_blocking(checks).await.unwrap();
    let waiting = office.order("invite.list", &[]).await;
    assert!(waiting.is_empty(), "the good one was used");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_bounds_and_invitations_are_the_same_after_a_restart() {
    let (ann, bob, carl) = (key(1), key(2), key(3));
    let listed = format!("users.list={}", carl.public());
    let office = Office::start(&["users.mode=invite", &listed]).await;
    let used = office.invitation().await;
    let waiting = office.invitation().await;
    let client = office.client(Some(&ann)).await;
    assert_eq!(redeem(&client, &used).await, ResultCode::Success);
    assert_eq!(
        submit(&client, &post(&ann, "one")).await,
        ResultCode::Accepted
    );
    let [to, from] = [&ann, &carl].map(|user| AdminValue::from(user.public()));
    let bound = [("user", to), ("records", AdminValue::from(2_u64))];
    office.order("user.quota", &bound).await;
    office.order("user.remove", &[("user", from)]).await;
    let removed = office.client(Some(&carl)).await;
    assert_eq!(
        submit(&removed, &post(&carl, "gone")).await,
        ResultCode::Unauthorized
    );

    let office = office.restart(&[]).await;
    let client = office.client(Some(&ann)).await;
    let you = client.info().await.unwrap().you.unwrap();
    assert_eq!(
        (you.served, you.records, you.records_max),
        (true, 1, Some(2))
    );
    assert_eq!(
        submit(&client, &post(&ann, "two")).await,
        ResultCode::Accepted
    );
    assert_eq!(
        submit(&client, &post(&ann, "three")).await,
        ResultCode::TooLarge
    );
    let removed = office.client(Some(&carl)).await;
    assert_eq!(
        submit(&removed, &post(&carl, "still")).await,
        ResultCode::Unauthorized
    );
    let newcomer = office.client(Some(&bob)).await;
    assert_eq!(redeem(&newcomer, &used).await, ResultCode::NotFound);
    assert_eq!(redeem(&newcomer, &waiting).await, ResultCode::Success);

    // Whoever was invited stays when nobody is any more.
    let office = office.restart(&["users.mode=list"]).await;
    let client = office.client(Some(&bob)).await;
    assert_eq!(
        submit(&client, &post(&bob, "here")).await,
        ResultCode::Accepted
    );
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_that_passes_a_bound_is_refused_and_fits_when_there_is_room_again() {
    let ann = key(1);
    let listed = format!("users.list={}", ann.public());
    let settings = ["users.mode=list", "quotas.records=2", &listed];
    let office = Office::start(&settings).await;
    let client = office.client(Some(&ann)).await;
    let small = version(&ann, 1_000, "small");
    assert_eq!(submit(&client, &small).await, ResultCode::Accepted);
    let second = post(&ann, "second");
    assert_eq!(submit(&client, &second).await, ResultCode::Accepted);
    let third = post(&ann, "third");
    assert_eq!(submit(&client, &third).await, ResultCode::TooLarge);
    // Whoever else brings it learns nothing of Ann's space.
    let stranger = office.client(Some(&key(9))).await;
    assert_eq!(submit(&stranger, &third).await, ResultCode::TemporaryError);
    let anonymous = office.client(None).await;
    assert_eq!(submit(&anonymous, &third).await, ResultCode::TemporaryError);
    assert_eq!(
        submit(&client, &second).await,
        ResultCode::Duplicate,
        "it is here"
    );
    // What replaces another record takes no further place.
    assert_eq!(
        submit(&client, &version(&ann, 2_000, "newer")).await,
        ResultCode::Accepted
    );
    let you = client.info().await.unwrap().you.unwrap();
    assert_eq!((you.records, you.records_max), (2, Some(2)));
    assert!(office.order_about("record.delete", second.id()).await);
    assert_eq!(submit(&client, &third).await, ResultCode::Accepted);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_inbox_keeps_nobody_from_publishing_and_does_not_say_that_it_is_full() {
    let (ann, bob, stranger) = (key(1), key(2), key(9));
    let listed = format!("users.list=[\"{}\", \"{}\"]", ann.public(), bob.public());
    let settings = ["users.mode=list", "quotas.delivered_records=1", &listed];
    let office = Office::start(&settings).await;
    let writer = office.client(Some(&stranger)).await;
    let first = note_to(&stranger, &ann, "first");
    assert_eq!(submit(&writer, &first).await, ResultCode::Accepted);
    let second = note_to(&stranger, &ann, "second");
    assert_eq!(submit(&writer, &second).await, ResultCode::TemporaryError);
    let to_bob = note_to(&stranger, &bob, "hello");
    assert_eq!(
        submit(&writer, &to_bob).await,
        ResultCode::Accepted,
        "his has room"
    );
    let publisher = office.client(Some(&bob)).await;
    let mention = note_to(&bob, &ann, "published");
    assert_eq!(submit(&publisher, &mention).await, ResultCode::Accepted);
    let reader = office.client(Some(&ann)).await;
    let you = reader.info().await.unwrap().you.unwrap();
    assert_eq!((you.records, you.delivered_records), (0, 1));
    let of_stranger = writer.info().await.unwrap().you.unwrap();
    assert_eq!((of_stranger.served, of_stranger.records), (false, 0));
    assert_eq!(office.client(None).await.info().await.unwrap().you, None);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_alone_registers_nobody_and_hello_does() {
    let (silent, polite) = (key(1), key(2));
    let office = Office::start(&["users.mode=open"]).await;
    let quiet = office.raw(Some(&silent)).await;
    let client = office.client(Some(&polite)).await;
    assert!(client.info().await.is_ok());
    drop((quiet, client));
    // Whoever waited to be registered is, before the server ends.
    let office = office.restart(&[]).await;
    let users = office.order("user.list", &[]).await;
    // The operator who asks has said HELLO, too.
    let users: Vec<_> = users
        .iter()
        .filter(|row| row["user"] != operator().public().into())
        .map(|row| (&row["user"], row["source"].as_text().unwrap()))
        .collect();
    assert_eq!(users, [(&polite.public().into(), "registered")]);
    office.stop().await;
}

fn from_author(author: &SecretKey, signer: &SecretKey, text: &str) -> Record {
    RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .from_author(true)
        .payload(text.to_owned())
        .sign(signer)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_arrives_later_counts_at_once_for_a_connection_that_stays_open() {
    let (master, device, friend) = (key(1), key(2), key(3));
    let listed = format!("users.list={}", master.public());
    let office = Office::start(&["users.mode=invite", &listed]).await;
    // *Author + tagged*, unique, of application 1.
    let private = RecordBuilder::new(Kind::new(0x0000_0001_0063_0004).unwrap(), friend.public())
        .tags(TagsBuilder::new().notify(master.public()))
        .sign(&friend)
        .unwrap();
    let brought = submit(&office.client(None).await, &private).await;
    assert_eq!(brought, ResultCode::Accepted);

    let open = office.client(Some(&device)).await;
    let by_friend = || {
        let filter = mosaicd::wire::FilterBuilder::new().authors([friend.public()]);
        filter.build().unwrap()
    };
    assert!(!open.info().await.unwrap().you.unwrap().served);
    let early = from_author(&master, &device, "early");
    assert_eq!(submit(&open, &early).await, ResultCode::Unauthorized);
    assert!(
        all(open.query(by_friend(), 0).await.unwrap())
            .await
            .is_empty()
    );

    let publisher = office.client(Some(&master)).await;
    let active = schedule(&master, &device, KeyMarker::ActiveSigning);
    assert_eq!(submit(&publisher, &active).await, ResultCode::Accepted);

    let you = open.info().await.unwrap().you.unwrap();
    assert_eq!(
        (you.served, you.records),
        (true, 1),
        "the master's, whose schedule is kept"
    );
    let now = from_author(&master, &device, "now");
    assert_eq!(submit(&open, &now).await, ResultCode::Accepted);
    assert_eq!(
        all(open.query(by_friend(), 0).await.unwrap()).await,
        [private]
    );
    let unused = office.invitation().await;
    assert_eq!(
        redeem(&open, &unused).await,
        ResultCode::Duplicate,
        "as its master is served"
    );

    let revoked = schedule(&master, &device, KeyMarker::Revoked(Timestamp::now()));
    assert_eq!(submit(&publisher, &revoked).await, ResultCode::Accepted);
    assert_eq!(open.info().await.unwrap().you, None, "it speaks for nobody");
    let late = from_author(&master, &device, "late");
    assert_eq!(submit(&open, &late).await, ResultCode::Unauthorized);
    assert!(
        all(open.query(by_friend(), 0).await.unwrap())
            .await
            .is_empty()
    );
    assert_eq!(redeem(&open, &unused).await, ResultCode::Unauthorized);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_invites_bounds_and_moderates_from_anywhere() {
    let settings = ["users.mode=invite", "inbox.moderation=hold-strangers"];
    let office = Office::start(&settings).await;
    let operator = office.client(Some(&operator())).await;
    let order = async |call: &str, given: &[(&str, AdminValue)]| office.order(call, given).await;
    let made = order(
        "invite.create",
        &[("note", AdminValue::Text("for Ann".to_owned()))],
    )
    .await;
    let code = made[0]["code"].as_text().unwrap().to_owned();
    assert_eq!(order("invite.list", &[]).await.len(), 1);
    let (ann, stranger) = (key(1), key(9));
    let reader = office.client(Some(&ann)).await;
    assert_eq!(redeem(&reader, &code).await, ResultCode::Success);
    assert!(order("invite.list", &[]).await.is_empty());
    let users = order("user.list", &[]).await;
    assert_eq!(users[0]["source"].as_text(), Some("invited"));
    assert_eq!(users[0]["note"].as_text(), Some("for Ann"));

    let anybody = office.client(None).await;
    let waiting = note_to(&stranger, &ann, "who am I");
    assert_eq!(submit(&anybody, &waiting).await, ResultCode::Accepted);
    assert_eq!(order("held.list", &[]).await.len(), 1);
    // Not even an operator reads it in any other way.
    let by_stranger = || {
        let filter = mosaicd::wire::FilterBuilder::new().authors([stranger.public()]);
        filter.build().unwrap()
    };
    let found = operator.query(by_stranger(), 0).await.unwrap();
    assert!(all(found).await.is_empty());
    let id = AdminValue::from(waiting.id());
    order("held.release", &[("ids", AdminValue::List(vec![id]))]).await;
    let found = reader.query(by_stranger(), 0).await.unwrap();
    assert_eq!(all(found).await, [waiting]);
    let next = note_to(&stranger, &ann, "me again");
    assert_eq!(submit(&anybody, &next).await, ResultCode::Accepted);
    assert!(
        order("held.list", &[]).await.is_empty(),
        "no stranger any more"
    );

    let user = AdminValue::from(ann.public());
    let given = [
        ("user", user.clone()),
        ("delivered_records", AdminValue::from(2_u64)),
    ];
    order("user.quota", &given).await;
    let more = note_to(&stranger, &ann, "and again");
    assert_eq!(submit(&anybody, &more).await, ResultCode::TemporaryError);
    order("user.remove", &[("user", user)]).await;
    let gone = post(&ann, "am I here");
    assert_eq!(submit(&reader, &gone).await, ResultCode::Unauthorized);
    office.stop().await;
}
