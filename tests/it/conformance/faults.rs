//! Each rule broken alone: the lines about it fail, and no others.

use std::collections::BTreeSet;

use super::double::Double;
use super::fault::Fault;
use super::{mosaic, run};

/// A fault; the groups that are tried, separated by spaces, or none for all; the lines that fail. The
/// groups are named where the fault cannot show elsewhere, or would have all else wait in vain.
type Row = (Fault, &'static str, &'static str);

/// A server with each of those faults fails on its lines and on no others.
async fn check(rows: &[Row]) {
    for (fault, only, expected) in rows {
        // Some replies are waited for in vain.
        let mut options = match WAITED_FOR.contains(fault) {
            true => vec!["--wait", "5"],
            false => Vec::new(),
        };
        for group in only.split_whitespace() {
            options.extend(["--only", group]);
        }
        let double = Double::start(*fault).await;
        let report = run(double.over_quic(), &options).await;
        let failed = report.with("fail");
        let found: BTreeSet<&str> = failed.keys().copied().collect();
        let expected: BTreeSet<&str> = expected.split_whitespace().collect();
        assert_eq!(found, expected, "{fault:?}: {failed:?}");
        assert_eq!(report.code, Some(1), "{fault:?}");
        assert_eq!(report.summary["summary"], "fail");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_faulty_connections_and_messages_fails_on_their_lines() {
    check(CONNECTION).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_believes_what_is_wrong_in_a_record_fails_on_that_line() {
    check(RECORDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_or_keeps_the_wrong_records_fails_on_their_lines() {
    check(SUBMISSIONS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_finds_the_wrong_records_fails_on_their_lines() {
    check(READING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_faulty_subscriptions_fails_on_their_lines() {
    check(SUBSCRIPTIONS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaks_fails_on_the_lines_about_who_may_read() {
    check(ACCESS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_mistakes_whose_a_key_is_fails_on_the_lines_about_schedules() {
    check(SCHEDULES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_faulty_blobs_or_extension_messages_fails_on_their_lines() {
    check(EXTRAS).await;
}

const WAITED_FOR: [Fault; 3] = [
    Fault::GoesOnAfterUnknown,
    Fault::ReadsOneAtATime,
    Fault::ReadsWholeOnly,
];

/// Lines that no fault here makes fail. It must match exactly: whoever adds a check sees that it is
/// not tried, and whoever adds a fault takes its line out.
const UNTRIED: &[&str] = &[
    "transport.server-key",
    "transport.anonymous",
    "transport.certificate",
    "transport.certificate.reference",
    "transport.certificate.dates",
    "transport.streams",
    "frame.length.short",
    "record.signature.cofactor",
    "query.kinds.alone",
    "query.streams",
    "query.reuse",
];

#[test]
fn the_lines_that_no_fault_makes_fail_are_those_listed() {
    let output = mosaic("nowhere", &["--list"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    let tried: BTreeSet<&str> = ALL
        .iter()
        .flat_map(|rows| rows.iter())
        .flat_map(|(_, _, lines)| lines.split_whitespace())
        .collect();
    let untried = ids.iter().map(String::as_str);
    let untried: Vec<&str> = untried.filter(|id| !tried.contains(id)).collect();
    assert_eq!(untried, UNTRIED);
}

const ALL: &[&[Row]] = &[
    CONNECTION,
    RECORDS,
    SUBMISSIONS,
    READING,
    SUBSCRIPTIONS,
    ACCESS,
    SCHEDULES,
    EXTRAS,
];

const CONNECTION: &[Row] = &[
    (Fault::DirtyAck, "", "hello.ack"),
    (
        Fault::BelievesCertificates,
        "",
        "transport.certificate.algorithm transport.certificate.foreign \
         transport.certificate.issued",
    ),
    (Fault::TakesOtherProtocol, "", "transport.alpn"),
    (Fault::OffersEarlyData, "", "transport.early-data"),
    (Fault::SecondHello, "", "hello.twice hello.twice.stream"),
    (Fault::HighVersion, "", "hello.version"),
    (Fault::TakesHelloAuth, "", "hello.auth"),
    (
        Fault::AnswersBeforeHello,
        "",
        "hello.first hello.first.closing",
    ),
    (Fault::GrantsMore, "", "hello.applications"),
    (Fault::WrongPrefix, "", "submission.result"),
    (Fault::DirtyBytes, "", "frame.reserved.written"),
    (Fault::DirtyUnrecognized, "", "frame.unrecognized.format"),
    (Fault::ReservedMustBeZero, "", "frame.reserved.read"),
    (
        Fault::GoesOnAfterUnknown,
        "frame extension",
        "extension.ungranted extension.unknown frame.unknown frame.unknown.server",
    ),
    (Fault::LaxLength, "", "frame.length.wrong"),
    (
        Fault::ReadsOneAtATime,
        "frame query.several",
        "frame.coalesced query.several",
    ),
    (Fault::ReadsWholeOnly, "frame", "frame.split"),
];

const RECORDS: &[Row] = &[
    (
        Fault::Believes("HashMismatch"),
        "",
        "record.author record.id-hash record.payload record.tags",
    ),
    (
        Fault::Believes("TimestampsDiffer"),
        "",
        "record.id-timestamp",
    ),
    (
        Fault::Believes("Timestamp("),
        "record submission get query.filter",
        "record.timestamp-bit",
    ),
    (
        Fault::Believes("PointNotCanonical"),
        "",
        "record.signature.r-canonical",
    ),
    (
        Fault::Believes("ScalarOutOfRange"),
        "",
        "record.signature.range",
    ),
    (
        Fault::Believes("WrongSignature"),
        "",
        "record.signature.other record.signature.plain record.signature.r record.signature.s",
    ),
    (
        Fault::Believes("AuthorKey(SmallOrder"),
        "",
        "record.author.small-order",
    ),
    (
        Fault::Believes("AuthorKey(NotCanonical"),
        "",
        "record.author.not-canonical",
    ),
    (
        Fault::Believes("SigningKey("),
        "",
        "record.signer.not-canonical record.signer.small-order",
    ),
    (
        Fault::Believes("announced_bytes"),
        "",
        "record.payload-length record.trailing record.truncated",
    ),
    (
        Fault::Believes("TooShort"),
        "record submission get query.filter",
        "record.short",
    ),
    (
        Fault::Believes("SignatureLength"),
        "",
        "record.signature-length",
    ),
    (
        Fault::Believes("ReservedFlags"),
        "",
        "record.flags.bytes record.flags.reserved record.kind.reserved",
    ),
    (
        Fault::Believes("SignatureScheme"),
        "",
        "record.flags.scheme",
    ),
    (
        Fault::Believes("NonceBit"),
        "record submission get query.filter",
        "record.nonce",
    ),
    (
        Fault::Believes("Kind("),
        "",
        "record.kind.access record.kind.reserved",
    ),
    (
        Fault::BelievesSignatures,
        "",
        "record.signature.other record.signature.plain record.signature.r \
         record.signature.r-canonical record.signature.range record.signature.s",
    ),
];

const SUBMISSIONS: &[Row] = &[
    (
        Fault::AllIsInvalid,
        "outbox submission.accepted submission.largest",
        "outbox.accepts outbox.anybody submission.accepted submission.largest",
    ),
    (
        Fault::LettersAreInvalid,
        "inbox encryption",
        "encryption.anonymous encryption.author encryption.nobody-else encryption.recipient encryption.strangers inbox.anonymous inbox.recipient inbox.strangers",
    ),
    (Fault::TakesTooLarge, "", "submission.too-large"),
    (Fault::ReadsIgnoredFlags, "", "submission.flags.ignored"),
    (
        Fault::NothingIsDuplicate,
        "",
        "submission.duplicate submission.replaceable.equal submission.replaceable.older",
    ),
    (
        Fault::LastReplaces,
        "",
        "submission.replaceable.equal submission.replaceable.older",
    ),
    (
        Fault::ReplacesByAddressAlone,
        "",
        "submission.replaceable.equal submission.replaceable.newer",
    ),
    (Fault::UniqueReplaces, "", "submission.unique"),
    (Fault::VersionedReplaces, "", "submission.versioned"),
    (Fault::KeepsEphemeral, "", "submission.ephemeral.heard"),
    (Fault::EphemeralIsHeard, "", "submission.ephemeral.alone"),
    (
        Fault::FromAuthorByAnybody,
        "",
        "submission.from-author.anonymous submission.from-author.stranger",
    ),
    (
        Fault::FromAuthorIsInvalid,
        "",
        "schedule.subkey.from-author submission.from-author submission.from-author.anonymous submission.from-author.stranger",
    ),
    (
        Fault::StoresLater,
        "",
        "schedule.revoked.open schedule.revoked.reads schedule.revoked.stored \
         schedule.subkey.filters schedule.subkey.from-author schedule.subkey.reads \
         schedule.subkey.signs submission.durable submission.durable.closed",
    ),
    (Fault::ForgetsOnClose, "", "submission.durable.closed"),
];

const READING: &[Row] = &[
    (Fault::FoundIsNotFound, "", "get.address get.id get.mixed"),
    (Fault::LastElementCounts, "query", "query.second-unique"),
    (Fault::NothingIsSuccess, "", "get.not-found"),
    (
        Fault::NothingIsNotFound,
        "",
        "query.authors.other query.nothing query.signers.other",
    ),
    (
        Fault::StopsAtMissing,
        "",
        "get.mixed submission.replaceable.equal submission.replaceable.newer \
         submission.replaceable.older",
    ),
    (
        Fault::Ignores(0x01),
        "",
        "query.authors.other query.nothing schedule.subkey.filters",
    ),
    (
        Fault::Ignores(0x02),
        "",
        "query.signers.other schedule.subkey.filters",
    ),
    (
        Fault::Ignores(0x04),
        "query schedule.subkey",
        "query.timestamps",
    ),
    (
        Fault::Ignores(0x05),
        "query",
        "query.authors query.exclude query.exclude-tags query.exclude-tags.any \
         query.order query.signers query.since query.tags query.tags.any query.tags.each \
         query.tags.long",
    ),
    (
        Fault::Ignores(0x80),
        "query schedule.subkey",
        "query.every-element query.since",
    ),
    (Fault::Ignores(0x81), "query schedule.subkey", "query.until"),
    (
        Fault::Ignores(0x82),
        "query schedule.subkey",
        "query.received-since",
    ),
    (
        Fault::Ignores(0x83),
        "query schedule.subkey",
        "query.received-since",
    ),
    (
        Fault::Ignores(0x84),
        "query schedule.subkey",
        "query.exclude",
    ),
    (
        Fault::Ignores(0x85),
        "",
        "query.every-element query.exclude-tags query.exclude-tags.any",
    ),
    (
        Fault::FirstOnly(0x01),
        "query schedule.subkey",
        "query.authors",
    ),
    (
        Fault::FirstOnly(0x02),
        "query schedule.subkey",
        "query.signers",
    ),
    (
        Fault::FirstOnly(0x03),
        "query",
        "query.every-element query.kinds",
    ),
    (
        Fault::FirstOnly(0x04),
        "query schedule.subkey",
        "query.timestamps",
    ),
    (
        Fault::FirstOnly(0x05),
        "query schedule.subkey",
        "query.tags.any",
    ),
    (
        Fault::FirstOnly(0x84),
        "query schedule.subkey",
        "query.exclude",
    ),
    (
        Fault::FirstOnly(0x85),
        "query schedule.subkey",
        "query.exclude-tags.any",
    ),
    (Fault::SwapsKeys, "", "schedule.subkey.filters"),
    (Fault::ReceivedIsDated, "", "query.received-since"),
    (Fault::OpenIsInvalid, "", "query.open"),
    (
        Fault::Believes("UnknownElement"),
        "",
        "query.filter.unknown",
    ),
    (
        Fault::Believes("ZeroLength"),
        "",
        "query.filter.zero-length",
    ),
    (
        Fault::Believes("Overrun"),
        "query get record",
        "query.filter.past-end",
    ),
    (
        Fault::Believes("Key {"),
        "query get record",
        "query.filter.key",
    ),
    (Fault::Believes("Reference("), "query get record", "get.key"),
    (
        Fault::Believes("Length }"),
        "query get record",
        "get.length",
    ),
    (
        Fault::OldestFirst,
        "",
        "query.order subscribe.limit subscribe.stored",
    ),
    (
        Fault::NoLimit,
        "",
        "query.limit query.order subscribe.limit",
    ),
];

const SUBSCRIPTIONS: &[Row] = &[
    (Fault::CompleteFirst, "", "subscribe.limit subscribe.stored"),
    (Fault::CompleteTwice, "", "subscribe.complete-once"),
    (Fault::NeverUnsubscribes, "", "subscribe.unsubscribe"),
    (Fault::TellsTheEnded, "", "subscribe.unsubscribe"),
    (Fault::UnknownIsSuccess, "", "subscribe.unknown"),
    (Fault::QueryLeavesOpen, "", "subscribe.replaced.query"),
    (Fault::SubscribeLeavesOpen, "", "subscribe.replaced"),
    (Fault::LiveTwice, "", "subscribe.gap-free subscribe.live"),
];

const ACCESS: &[Row] = &[
    (
        Fault::IgnoresTagsInNews,
        "",
        "access.tagged.live encryption.author encryption.nobody-else",
    ),
    (
        Fault::AuthorsSeeNothing,
        "access",
        "access.author-only.author",
    ),
    (
        Fault::TaggedSeeNothing,
        "access.tagged encryption.recipient",
        "access.tagged.recipient access.tagged.second-tag encryption.recipient",
    ),
    (
        Fault::AnonymousSeeNothing,
        "access.everybody outbox",
        "access.everybody outbox.anybody",
    ),
    (
        Fault::LeaksToStrangers,
        "",
        "access.author-only.address access.author-only.get access.author-only.live \
         access.author-only.query access.author-only.subscribe access.same.duplicate \
         access.same.get access.same.limit access.same.mixed access.same.query \
         access.same.subscribe schedule.revoked.open schedule.revoked.reads",
    ),
    (
        Fault::IgnoresTags,
        "",
        "access.tagged.address access.tagged.get access.tagged.live access.tagged.query \
         access.tagged.subscribe encryption.author encryption.nobody-else",
    ),
    (
        Fault::IgnoresTagsInQueries,
        "",
        "access.tagged.query encryption.author encryption.nobody-else",
    ),
    (
        Fault::IgnoresTagsWhereBound,
        "",
        "encryption.author encryption.nobody-else",
    ),
    (Fault::FirstTagOnly, "", "access.tagged.second-tag"),
    (Fault::AuthorReadsLetters, "", "encryption.author"),
    (Fault::RefusesTheInvisible, "", "access.same.get"),
    (Fault::DuplicateTells, "", "access.same.duplicate"),
];

const SCHEDULES: &[Row] = &[
    (
        Fault::SubkeysAreNobody,
        "",
        "schedule.subkey.from-author schedule.subkey.reads",
    ),
    (
        Fault::SubkeysAreHidden,
        "",
        "schedule.out-of-use schedule.revoked-from.before schedule.subkey.filters \
         schedule.subkey.replaces schedule.subkey.signs schedule.unlisted.replaces",
    ),
    (Fault::SubkeysDoNotReplace, "", "schedule.subkey.replaces"),
    (Fault::UnlistedReplaces, "", "schedule.unlisted.replaces"),
    (
        Fault::RevokedSign,
        "",
        "schedule.revoked-from.dated schedule.revoked-from.signs schedule.revoked.signs",
    ),
    (Fault::RevokedStay, "", "schedule.revoked.stored"),
    (
        Fault::RevokedRead,
        "",
        "schedule.revoked.open schedule.revoked.reads",
    ),
    (
        Fault::RevokedFromIsWhole,
        "",
        "schedule.revoked-from.before",
    ),
    (
        Fault::OutOfUseIsRevoked,
        "",
        "schedule.out-of-use schedule.revoked-from.before",
    ),
    (
        Fault::Believes("NotSignedByMaster"),
        "",
        "profile.signed-by-master schedule.signed-by-master",
    ),
    (Fault::Believes("Untagged"), "", "schedule.tags"),
    (
        Fault::Believes("WrongAttestation"),
        "",
        "schedule.attestation",
    ),
    (
        Fault::Believes("KeySchedule(Entry"),
        "",
        "schedule.revocation-time",
    ),
];

const EXTRAS: &[Row] = &[
    (Fault::BlobsAreLost, "blob get", "blob.put"),
    (Fault::BlobsOnce, "blob get", "blob.again"),
    (Fault::BlobsUnderAnyHash, "blob get", "blob.wrong-hash"),
    (Fault::BlobsInPart, "blob get", "blob.broken-off"),
    (Fault::BlobsOfAnySize, "blob get", "blob.too-large"),
    (Fault::BlobsEndTheStream, "blob get", "blob.next"),
    (
        Fault::AbsentBlobIsSuccess,
        "",
        "blob.absent blob.broken-off blob.wrong-hash",
    ),
    (
        Fault::ExtensionsUngranted,
        "extension",
        "extension.ungranted",
    ),
    (
        Fault::EmptyInfo,
        "",
        "extension.info extension.role-open extension.role-open.late extension.role-open.twice",
    ),
    (Fault::OtherKeyInInfo, "", "extension.info"),
    (Fault::OtherRequestId, "", "extension.request-id"),
    (Fault::BadBodyIsUnrecognized, "", "extension.body"),
    (Fault::OpensWhatIsOff, "", "extension.role-open"),
    (
        Fault::BindsLate,
        "",
        "extension.role-open.late extension.role-open.twice",
    ),
    (
        Fault::EverybodyIsOperator,
        "",
        "extension.operator.anonymous extension.operator.stranger",
    ),
];
