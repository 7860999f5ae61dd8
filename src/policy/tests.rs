//! The role table, cell by cell, and the leaks that comparable servers had.

use super::testing::{self, ALL_OPEN, APP, Draft, OTHER_APP, Person};
use super::*;
use crate::base::{Role, RoleSet};
use crate::identity::{Peer, Standing};
use crate::wire::{ReadAccess, ResultCode};

const ACCESSES: [ReadAccess; 3] = [
    ReadAccess::AuthorOnly,
    ReadAccess::AuthorAndTagged,
    ReadAccess::Everybody,
];

/// Who reads, as seen from the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    Author,
    Tagged,
    Else,
}

/// Column "may read" of the table in the design's section 5, for records stored under `role`.
fn may_read(role: Role, access: ReadAccess, inbox_public: bool, who: Who) -> bool {
    match (role, access) {
        (Role::Outbox | Role::Application, ReadAccess::Everybody) => true,
        (Role::Outbox | Role::Inbox, ReadAccess::AuthorOnly)
        | (Role::Outbox, ReadAccess::AuthorAndTagged)
        | (Role::Encryption, ReadAccess::Everybody) => false,
        (Role::Inbox, ReadAccess::Everybody) => inbox_public || who == Who::Tagged,
        (Role::Inbox | Role::Encryption, ReadAccess::AuthorAndTagged) => who == Who::Tagged,
        (Role::Encryption | Role::Application, ReadAccess::AuthorOnly) => who == Who::Author,
        (Role::Application, ReadAccess::AuthorAndTagged) => {
            matches!(who, Who::Author | Who::Tagged)
        }
    }
}

#[test]
fn the_gate_answers_as_the_table_for_every_role_access_reader_and_stream() {
    let readers = [
        (Who::Anonymous, testing::anonymous_reader()),
        (Who::Author, testing::reader(Person::Stranger)),
        (Who::Tagged, testing::reader(Person::Alice)),
        (Who::Else, testing::reader(Person::Bob)),
    ];
    let streams = Role::ALL.map(Some).into_iter().chain([None]);
    for (access, bound) in ACCESSES
        .into_iter()
        .flat_map(|it| streams.clone().map(move |s| (it, s)))
    {
        let record = Draft::by(Person::Stranger, access)
            .to(&[Person::Alice])
            .record();
        for (role, inbox_public) in Role::ALL
            .into_iter()
            .flat_map(|it| [(it, true), (it, false)])
        {
            let rules = Rules {
                inbox_public,
                ..testing::rules()
            };
            let facts = testing::facts(&record, RoleSet::of(role));
            for (who, reader) in readers {
                let reader = Reader { bound, ..reader };
                let case = format!("{role} {access:?} {who:?} on {bound:?}, public {inbox_public}");
                let on_this_stream = bound.is_none_or(|bound| bound == role);
                let expected = on_this_stream && may_read(role, access, inbox_public, who);
                let all = RoleSet::ALL;
                assert_eq!(visible(&rules, all, &facts, &reader), expected, "{case}");
                let shut = all.without(role);
                assert!(!visible(&rules, shut, &facts, &reader), "{case}, shut");
            }
        }
    }
}

/// Column "claims a record when" of the same table, all roles configured, on an unbound stream.
#[test]
fn records_are_claimed_as_the_table_says() {
    use Person::{Alice, Bob, Friend, Stranger};
    use ReadAccess::{AuthorAndTagged, AuthorOnly, Everybody};
    let outbox = RoleSet::of(Role::Outbox);
    let inbox = RoleSet::of(Role::Inbox);
    let encryption = RoleSet::of(Role::Encryption);
    let none = RoleSet::EMPTY;
    let cases: [(Person, ReadAccess, &[Person], RoleSet); 13] = [
        (Alice, Everybody, &[], outbox),
        (Alice, Everybody, &[Bob], outbox.union(inbox)),
        (Alice, Everybody, &[Friend], outbox),
        (Alice, AuthorAndTagged, &[], none),
        (Alice, AuthorAndTagged, &[Friend], none),
        (Alice, AuthorAndTagged, &[Bob], encryption),
        (Alice, AuthorOnly, &[], encryption),
        (Stranger, Everybody, &[], none),
        (Stranger, Everybody, &[Friend], none),
        (Stranger, Everybody, &[Friend, Alice], inbox),
        (Stranger, AuthorAndTagged, &[Friend, Alice], encryption),
        (Stranger, AuthorOnly, &[], none),
        (Stranger, AuthorOnly, &[Alice], none),
    ];
    for (author, access, notified, expected) in cases {
        let record = Draft::by(author, access).to(notified).record();
        let claimed = claims(&testing::rules(), RoleSet::ALL, record.view());
        assert_eq!(claimed, expected, "{author:?} {access:?} {notified:?}");
        for role in Role::ALL {
            let alone = claims(&testing::rules(), RoleSet::of(role), record.view());
            assert!(alone.is_empty() || alone == RoleSet::of(role), "{role}");
        }
    }
}

#[test]
fn without_the_encryption_role_a_private_record_is_the_inboxs_and_only_its_recipients_see_it() {
    let configured = RoleSet::of(Role::Inbox);
    let record = Draft::by(Person::Stranger, ReadAccess::AuthorAndTagged).to(&[Person::Alice]);
    let record = record.record();
    let roles = claims(&testing::rules(), configured, record.view());
    assert_eq!(roles, configured);
    for (name, reader) in testing::readers() {
        let facts = testing::facts(&record, roles);
        let seen = visible(&testing::rules(), configured, &facts, &reader);
        assert_eq!(seen, name == "Alice", "{name}");
    }
}

#[test]
fn a_bound_stream_is_judged_by_its_role_alone_and_stores_under_all_that_claim() {
    let record = Draft::by(Person::Alice, ReadAccess::Everybody)
        .of_app(APP)
        .to(&[Person::Bob])
        .record();
    let rules = testing::rules();
    let alice = testing::submitter(Person::Alice);
    let admit = |roles, submitter: &Submitter| {
        admit(&rules, roles, record.view(), submitter, Standing::Master)
    };
    let public = RoleSet::of(Role::Outbox).with(Role::Inbox);
    assert_eq!(admit(ALL_OPEN, &alice), Ok(public));
    for (role, expected) in [
        (Role::Outbox, Ok(public)),
        (Role::Inbox, Ok(public)),
        (Role::Encryption, Err(Refusal::Unclaimed)),
        (Role::Application, Ok(public.with(Role::Application))),
    ] {
        let submitter = testing::bound(alice, role);
        assert_eq!(admit(ALL_OPEN, &submitter), expected, "{role}");
        let all_but_it = Roles {
            open: RoleSet::ALL.without(role),
            ..ALL_OPEN
        };
        let shut = expected.and(Err(Refusal::Shut));
        assert_eq!(admit(all_but_it, &submitter), shut, "{role} is shut");
        let it_alone = Roles {
            open: RoleSet::of(role),
            ..ALL_OPEN
        };
        let expected = expected.map(|_| RoleSet::of(role));
        assert_eq!(
            admit(it_alone, &submitter),
            expected,
            "{role} alone is open"
        );
    }
    let one_app = Submitter {
        app: Some(OTHER_APP),
        ..testing::bound(alice, Role::Application)
    };
    assert_eq!(admit(ALL_OPEN, &one_app), Err(Refusal::Unclaimed));
}

#[test]
fn only_a_bound_stream_puts_a_public_roles_record_under_application_and_encryption_shares_none() {
    let rules = testing::rules();
    let notified: [&[Person]; 3] = [&[], &[Person::Alice], &[Person::Friend]];
    for (author, access) in [Person::Alice, Person::Stranger]
        .into_iter()
        .flat_map(|it| ACCESSES.map(|access| (it, access)))
    {
        for (notified, bound) in notified.into_iter().flat_map(|it| {
            Role::ALL
                .map(Some)
                .into_iter()
                .chain([None])
                .map(move |b| (it, b))
        }) {
            let record = Draft::by(author, access).of_app(APP).to(notified).record();
            let submitter = Submitter {
                bound,
                ..testing::submitter(author)
            };
            let admitted = admit(
                &rules,
                ALL_OPEN,
                record.view(),
                &submitter,
                Standing::Master,
            );
            let Ok(roles) = admitted else { continue };
            let case = format!("{author:?} {access:?} {notified:?} on {bound:?}: {roles}");
            let unbound = claims(&rules, RoleSet::ALL, record.view());
            assert_eq!(roles.intersection(unbound), unbound, "{case}");
            assert!(bound.is_none_or(|bound| roles.contains(bound)), "{case}");
            let encryption = RoleSet::of(Role::Encryption);
            let is_private = roles.contains(Role::Encryption);
            assert!(!is_private || roles == encryption, "{case}");
            let is_shared =
                roles.contains(Role::Application) && roles != RoleSet::of(Role::Application);
            assert!(!is_shared || bound == Some(Role::Application), "{case}");
        }
    }
}

#[test]
fn a_record_claimed_by_no_configured_role_is_unauthorized_and_by_shut_roles_alone_a_temporary_error()
 {
    let rules = testing::rules();
    let alice = testing::submitter(Person::Alice);
    let record = Draft::by(Person::Alice, ReadAccess::Everybody)
        .to(&[Person::Bob])
        .record();
    let code = |configured, open| {
        let roles = Roles { configured, open };
        admit(&rules, roles, record.view(), &alice, Standing::Master).map_err(Refusal::code)
    };
    let both = RoleSet::of(Role::Outbox).with(Role::Inbox);
    let outbox = RoleSet::of(Role::Outbox);
    let encryption = RoleSet::of(Role::Encryption);
    assert_eq!(code(encryption, encryption), Err(ResultCode::Unauthorized));
    assert_eq!(code(both, RoleSet::EMPTY), Err(ResultCode::TemporaryError));
    assert_eq!(code(both, outbox), Ok(outbox), "one open role is enough");
    assert_eq!(code(both, both), Ok(both));
}

#[test]
fn a_record_marked_from_author_is_taken_from_its_author_alone() {
    let draft = Draft::by(Person::Alice, ReadAccess::Everybody).marked_from_author();
    let record = draft.record();
    let rules = testing::rules();
    let revoked = Submitter {
        master: None,
        ..testing::submitter(Person::Alice)
    };
    for (submitter, expected) in [
        (testing::submitter(Person::Alice), None),
        (
            testing::anonymous_submitter(),
            Some(ResultCode::RequiresAuthentication),
        ),
        (
            testing::submitter(Person::Bob),
            Some(ResultCode::Unauthorized),
        ),
        (revoked, Some(ResultCode::Unauthorized)),
    ] {
        let admitted = admit(
            &rules,
            ALL_OPEN,
            record.view(),
            &submitter,
            Standing::Master,
        );
        let code = admitted.err().map(Refusal::code);
        assert_eq!(code, expected, "{submitter:?}");
    }
}

#[test]
fn of_an_author_who_is_not_served_only_a_revoked_key_or_a_hidden_replacement_is_refused() {
    use ReadAccess::{AuthorAndTagged, Everybody};
    let rules = testing::rules();
    let check = |draft: Draft, standing, expected: Option<Refusal>| {
        let record = draft.to(&[Person::Alice]).record();
        let anonymous = testing::anonymous_submitter();
        let admitted = admit(&rules, ALL_OPEN, record.view(), &anonymous, standing);
        assert_eq!(admitted.err(), expected, "{standing:?}");
    };
    let draft = |access| Draft::by(Person::Stranger, access);
    for standing in [Standing::Master, Standing::Subkey, Standing::Unknown] {
        check(draft(Everybody), standing, None);
        check(draft(AuthorAndTagged), standing, None);
        check(draft(Everybody).replaceable(), standing, None);
    }
    for draft in [draft(Everybody), draft(AuthorAndTagged).replaceable()] {
        check(draft, Standing::Revoked, Some(Refusal::SignerRevoked));
    }
    let hidden = draft(AuthorAndTagged).replaceable();
    check(hidden.clone(), Standing::Master, None);
    check(hidden.clone(), Standing::Subkey, None);
    check(
        hidden,
        Standing::Unknown,
        Some(Refusal::SignerMayNotReplace),
    );
}

#[test]
fn a_stranger_learns_nothing_from_replacing_in_an_inbox_that_is_not_public() {
    let record = Draft::by(Person::Stranger, ReadAccess::Everybody)
        .of_app(APP)
        .replaceable()
        .to(&[Person::Alice])
        .record();
    for (inbox_public, expected) in [(true, None), (false, Some(Refusal::SignerMayNotReplace))] {
        let rules = Rules {
            inbox_public,
            ..testing::rules()
        };
        let anonymous = testing::anonymous_submitter();
        for submitter in [anonymous, testing::bound(anonymous, Role::Application)] {
            let admitted = admit(
                &rules,
                ALL_OPEN,
                record.view(),
                &submitter,
                Standing::Unknown,
            );
            assert_eq!(admitted.err(), expected, "inbox.public = {inbox_public}");
        }
    }
}

#[test]
fn every_notify_tag_counts_not_only_the_first() {
    let names = [Person::Friend, Person::Bob, Person::Alice];
    for access in [ReadAccess::AuthorAndTagged, ReadAccess::Everybody] {
        let record = Draft::by(Person::Stranger, access).to(&names).record();
        let roles = claims(&testing::rules(), RoleSet::ALL, record.view());
        assert!(!roles.is_empty(), "a served user stands behind a stranger");
        let rules = Rules {
            inbox_public: false,
            ..testing::rules()
        };
        for (name, reader) in testing::readers() {
            let facts = testing::facts(&record, roles);
            let expected = names.iter().any(|person| name == format!("{person:?}"));
            let seen = visible(&rules, RoleSet::ALL, &facts, &reader);
            assert_eq!(seen, expected, "{name} {access:?}");
        }
    }
}

#[test]
fn a_record_under_two_roles_is_seen_through_the_open_one_of_them_by_that_ones_rule() {
    let record = Draft::by(Person::Alice, ReadAccess::Everybody)
        .to(&[Person::Bob])
        .record();
    let facts = testing::facts(&record, RoleSet::of(Role::Outbox).with(Role::Inbox));
    let rules = Rules {
        inbox_public: false,
        ..testing::rules()
    };
    let bob = testing::reader(Person::Bob);
    let anonymous = testing::anonymous_reader();
    let in_inbox = |reader| Reader {
        bound: Some(Role::Inbox),
        ..reader
    };
    let inbox = RoleSet::of(Role::Inbox);
    let all = RoleSet::ALL;
    for (open, reader, expected) in [
        (all, anonymous, true),
        (all, in_inbox(anonymous), false),
        (all, in_inbox(bob), true),
        (inbox, anonymous, false),
        (inbox, bob, true),
        (RoleSet::EMPTY, bob, false),
    ] {
        let seen = visible(&rules, open, &facts, &reader);
        assert_eq!(seen, expected, "{open} {reader:?}");
    }
}

#[test]
fn a_role_that_shuts_again_shows_nothing_from_that_moment_on() {
    let gate = Gate::closed(RoleSet::ALL, "UNKNOWN", testing::NOW);
    let record = Draft::by(Person::Alice, ReadAccess::Everybody).record();
    let facts = testing::facts(&record, RoleSet::of(Role::Outbox));
    let anyone = testing::anonymous_reader();
    let seen = || visible(&testing::rules(), gate.open(), &facts, &anyone);
    assert!(!seen());
    gate.set_open(RoleSet::ALL, "PUBLIC", testing::NOW);
    assert!(seen());
    gate.set_open(RoleSet::EMPTY, "LOST", testing::NOW);
    assert!(!seen());
}

#[test]
fn an_anonymous_peer_is_nobody_whatever_master_is_claimed_for_it() {
    let record = Draft::by(Person::Alice, ReadAccess::AuthorOnly).record();
    let facts = testing::facts(&record, RoleSet::of(Role::Encryption));
    let impostor = Reader {
        peer: Peer::Anonymous,
        ..testing::reader(Person::Alice)
    };
    assert!(!visible(&testing::rules(), RoleSet::ALL, &facts, &impostor));
}

#[test]
fn a_key_that_was_revoked_reads_as_a_stranger_does() {
    let record = Draft::by(Person::Stranger, ReadAccess::AuthorAndTagged).to(&[Person::Alice]);
    let record = record.record();
    let facts = testing::facts(&record, RoleSet::of(Role::Encryption));
    let revoked = Reader {
        master: None,
        ..testing::reader(Person::Alice)
    };
    assert!(!visible(&testing::rules(), RoleSet::ALL, &facts, &revoked));
}

#[test]
fn what_is_held_or_whose_signer_was_revoked_is_there_for_nobody_under_any_role() {
    let shown = |roles, held, standing| {
        let records = ACCESSES.map(|access| {
            let draft = Draft::by(Person::Alice, access).to(&[Person::Bob]);
            draft.of_app(APP).record()
        });
        let mut shown = 0;
        for (record, (_, reader)) in records
            .iter()
            .flat_map(|it| testing::readers().into_iter().map(move |r| (it, r)))
        {
            let facts = Facts {
                held,
                standing,
                ..testing::facts(record, roles)
            };
            for bound in Role::ALL.map(Some).into_iter().chain([None]) {
                let reader = Reader { bound, ..reader };
                let seen = visible(&testing::rules(), RoleSet::ALL, &facts, &reader);
                shown += u32::from(seen);
            }
        }
        shown
    };
    for roles in Role::ALL.map(RoleSet::of).into_iter().chain([RoleSet::ALL]) {
        let all = shown(roles, false, Standing::Master);
        assert!(all > 0, "{roles}");
        for standing in [Standing::Subkey, Standing::Unknown] {
            assert_eq!(shown(roles, false, standing), all, "{roles} {standing:?}");
            assert_eq!(shown(roles, true, standing), 0, "{roles} {standing:?}");
        }
        for held in [false, true] {
            assert_eq!(shown(roles, held, Standing::Revoked), 0, "{roles} {held}");
        }
    }
}

#[test]
fn a_duplicate_that_the_submitter_may_not_see_is_answered_as_if_it_were_new() {
    for if_new in [ResultCode::Accepted, ResultCode::TemporaryError] {
        assert_eq!(already_here(true, if_new), ResultCode::Duplicate);
        assert_eq!(already_here(false, if_new), if_new);
    }
}
