//! The application role: everything that is neither outbox nor inbox nor encryption.

use super::admit::Submitter;
use super::refusal::Refusal;
use super::rules::{AppRules, AppSubmit};
use super::visible::Reader;
use crate::identity::Peer;
use crate::wire::{ReadAccess, RecordRef};

/// Whether the record is of a configured application, and of `app` where the stream was opened
/// for that one. What other roles claim is for the caller to see to.
pub(super) fn claims(rules: &AppRules, record: RecordRef<'_>, app: Option<u32>) -> bool {
    let kind = record.kind();
    rules.apps.contains(kind) && app.is_none_or(|app| app == kind.app())
}

/// Whether the configuration lets the peer submit to the application role.
pub(super) fn may_submit(rules: &AppRules, submitter: &Submitter) -> Result<(), Refusal> {
    let listed = match &rules.submit {
        AppSubmit::Anyone => return Ok(()),
        AppSubmit::Authenticated => None,
        AppSubmit::Listed(listed) => Some(listed),
    };
    if let Peer::Anonymous = submitter.peer {
        return Err(Refusal::ApplicationAnonymous);
    }
    // A key that was revoked or taken out of use speaks for nobody, so it is on no list.
    let Some(master) = submitter.master else {
        return Err(Refusal::ApplicationUnlisted);
    };
    if listed.is_none_or(|listed| listed.contains(&master)) {
        Ok(())
    } else {
        Err(Refusal::ApplicationUnlisted)
    }
}

/// Whether the reader may read the record from the application role: what its read access says.
pub(super) fn may_read(record: RecordRef<'_>, reader: &Reader) -> bool {
    if reader.app.is_some_and(|app| app != record.kind().app()) {
        return false;
    }
    match record.kind().access() {
        ReadAccess::Everybody => true,
        ReadAccess::AuthorAndTagged => reader.is_author_of(record) || reader.is_notified_by(record),
        ReadAccess::AuthorOnly => reader.is_author_of(record),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, ALL_OPEN, APP, Draft, OTHER_APP, Person};
    use super::super::{AppSubmit, Apps, Gate, Refusal, Rules, Submitter, admit, visible};
    use super::*;
    use crate::base::{Role, RoleSet};
    use crate::identity::Standing;
    use crate::wire::Record;

    const APPLICATION: RoleSet = RoleSet::of(Role::Application);

    fn chat(access: ReadAccess) -> Record {
        Draft::by(Person::Stranger, access).of_app(APP).record()
    }

    fn with_submit(submit: AppSubmit) -> Rules {
        let mut rules = testing::rules();
        rules.applications.submit = submit;
        rules
    }

    fn submit(rules: &Rules, submitter: &Submitter) -> Result<RoleSet, Refusal> {
        let record = chat(ReadAccess::Everybody);
        admit(rules, ALL_OPEN, record.view(), submitter, Standing::Unknown)
    }

    #[test]
    fn a_server_that_is_not_accessible_may_serve_other_applications() {
        let gate = Gate::closed(RoleSet::ALL, "FORWARDED: behind NAT", testing::NOW);
        let rules = testing::rules();
        let record = chat(ReadAccess::Everybody);
        let submitter = testing::anonymous_submitter();
        let admitted = admit(
            &rules,
            gate.roles(),
            record.view(),
            &submitter,
            Standing::Unknown,
        );
        assert_eq!(admitted, Ok(APPLICATION));
        let facts = testing::facts(&record, APPLICATION);
        let anyone = testing::anonymous_reader();
        assert!(visible(&rules, gate.open(), &facts, &anyone));
    }

    #[test]
    fn the_configuration_says_who_may_submit() {
        let anonymous = testing::anonymous_submitter();
        let stranger = testing::submitter(Person::Stranger);
        let friend = testing::submitter(Person::Friend);
        let revoked = Submitter {
            master: None,
            ..stranger
        };
        let listed = AppSubmit::Listed([Person::Friend.key()].into());
        let unlisted = Err(Refusal::ApplicationUnlisted);
        let unknown = Err(Refusal::ApplicationAnonymous);
        let taken = Ok(APPLICATION);
        for (submit_rule, submitter, expected) in [
            (AppSubmit::Anyone, anonymous, taken),
            (AppSubmit::Anyone, stranger, taken),
            (AppSubmit::Authenticated, anonymous, unknown),
            (AppSubmit::Authenticated, stranger, taken),
            (AppSubmit::Authenticated, revoked, unlisted),
            (listed.clone(), anonymous, unknown),
            (listed.clone(), stranger, unlisted),
            (listed.clone(), revoked, unlisted),
            (listed.clone(), friend, taken),
        ] {
            let rules = with_submit(submit_rule.clone());
            let answer = submit(&rules, &submitter);
            assert_eq!(answer, expected, "{submit_rule:?} {submitter:?}");
        }
    }

    #[test]
    fn a_stream_for_a_role_that_is_not_configured_takes_nothing() {
        let configured = RoleSet::ALL.without(Role::Application);
        let roles = Gate::dev(configured, testing::NOW).roles();
        let record = chat(ReadAccess::Everybody);
        let submitter = testing::bound(testing::anonymous_submitter(), Role::Application);
        let admitted = admit(
            &testing::rules(),
            roles,
            record.view(),
            &submitter,
            Standing::Unknown,
        );
        assert_eq!(admitted, Err(Refusal::Unclaimed));
    }

    #[test]
    fn only_the_listed_applications_and_kinds_are_claimed() {
        let check = |apps: Apps, draft: &Draft, app: Option<u32>, expected: bool| {
            let rules = AppRules {
                apps: apps.clone(),
                submit: AppSubmit::Anyone,
            };
            let record = draft.record();
            let claimed = claims(&rules, record.view(), app);
            assert_eq!(claimed, expected, "{apps:?} on a stream for {app:?}");
        };
        let listed = Draft::by(Person::Stranger, ReadAccess::Everybody).of_app(APP);
        let other = Draft::by(Person::Stranger, ReadAccess::Everybody).of_app(OTHER_APP);
        let number = listed.record().view().kind().number();
        check(Apps::Any, &other, None, true);
        check(Apps::List(vec![]), &listed, None, false);
        check(Apps::List(vec![(APP, None)]), &listed, None, true);
        check(Apps::List(vec![(APP, None)]), &other, None, false);
        check(Apps::List(vec![(APP, Some(number))]), &listed, None, true);
        check(
            Apps::List(vec![(APP, Some(number + 1))]),
            &listed,
            None,
            false,
        );
        check(Apps::Any, &listed, Some(APP), true);
        check(Apps::Any, &other, Some(APP), false);
    }

    #[test]
    fn on_a_stream_for_one_application_the_records_of_others_are_not_seen() {
        let record = chat(ReadAccess::Everybody);
        let facts = testing::facts(&record, APPLICATION);
        for (app, expected) in [(None, true), (Some(APP), true), (Some(OTHER_APP), false)] {
            let reader = Reader {
                bound: Some(Role::Application),
                app,
                ..testing::anonymous_reader()
            };
            let seen = visible(&testing::rules(), RoleSet::ALL, &facts, &reader);
            assert_eq!(seen, expected, "{app:?}");
        }
    }

    #[test]
    fn an_application_claims_only_what_no_other_configured_role_claims() {
        let claims = |draft: Draft| {
            let record = draft.record();
            super::super::claims(&testing::rules(), RoleSet::ALL, record.view())
        };
        let of_app = |author, access| Draft::by(author, access).of_app(APP);
        let everybody = ReadAccess::Everybody;
        let tagged = ReadAccess::AuthorAndTagged;
        let alice = [Person::Alice];
        assert_eq!(claims(of_app(Person::Stranger, everybody)), APPLICATION);
        assert_eq!(
            claims(of_app(Person::Alice, everybody)),
            RoleSet::of(Role::Outbox)
        );
        assert_eq!(
            claims(of_app(Person::Stranger, everybody).to(&alice)),
            RoleSet::of(Role::Inbox)
        );
        assert_eq!(
            claims(of_app(Person::Stranger, tagged).to(&alice)),
            RoleSet::of(Role::Encryption)
        );
        assert_eq!(
            claims(of_app(Person::Alice, ReadAccess::AuthorOnly)),
            RoleSet::of(Role::Encryption)
        );
    }
}
