//! The inbox role: where the users of this server receive records that are for them.

use super::rules::Rules;
use super::visible::Reader;
use crate::wire::{ReadAccess, RecordRef};

/// Whether the inbox has a place for the record: it is for a served user, and somebody beside its
/// author may read it. What encryption claims is not the inbox's; that is for the caller to see to.
pub(super) fn claims(rules: &Rules, record: RecordRef<'_>) -> bool {
    match record.kind().access() {
        ReadAccess::Everybody | ReadAccess::AuthorAndTagged => {}
        ReadAccess::AuthorOnly => return false,
    }
    record
        .notifies()
        .any(|master| rules.served.contains(&master))
}

/// Whether the reader may read the record from the inbox: an intended recipient always, anybody
/// else only where the record is for everybody and the operator serves those publicly.
pub(super) fn may_read(rules: &Rules, record: RecordRef<'_>, reader: &Reader) -> bool {
    match record.kind().access() {
        ReadAccess::Everybody => rules.inbox_public || reader.is_notified_by(record),
        ReadAccess::AuthorAndTagged => reader.is_notified_by(record),
        ReadAccess::AuthorOnly => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Draft, Person};
    use super::super::{Gate, Reader, Refusal, Roles, Rules, admit, visible};
    use crate::base::{Role, RoleSet};
    use crate::identity::Standing;
    use crate::wire::{ReadAccess, Record};

    fn inbox_only() -> Roles {
        Gate::dev(RoleSet::of(Role::Inbox), testing::NOW).roles()
    }

    fn sees(rules: &Rules, record: &Record, reader: &Reader) -> bool {
        let facts = testing::facts(record, RoleSet::of(Role::Inbox));
        visible(rules, RoleSet::ALL, &facts, reader)
    }

    #[test]
    fn an_inbox_must_be_broadly_accessible_so_without_a_verdict_it_takes_and_delivers_nothing() {
        let gate = Gate::closed(RoleSet::of(Role::Inbox), "UNKNOWN", testing::NOW);
        let record = Draft::by(Person::Stranger, ReadAccess::Everybody).to(&[Person::Alice]);
        let record = record.record();
        let rules = testing::rules();
        let admitted = admit(
            &rules,
            gate.roles(),
            record.view(),
            &testing::anonymous_submitter(),
            Standing::Unknown,
        );
        assert_eq!(admitted, Err(Refusal::Shut));
        let facts = testing::facts(&record, RoleSet::of(Role::Inbox));
        let alice = testing::reader(Person::Alice);
        assert!(!visible(&rules, gate.open(), &facts, &alice));
    }

    #[test]
    fn an_inbox_must_accept_records_from_strangers_without_authentication() {
        for access in [ReadAccess::Everybody, ReadAccess::AuthorAndTagged] {
            let record = Draft::by(Person::Stranger, access)
                .to(&[Person::Alice])
                .record();
            for submitter in [
                testing::anonymous_submitter(),
                testing::submitter(Person::Stranger),
                testing::submitter(Person::Friend),
            ] {
                let rules = testing::rules();
                let record = record.view();
                let admitted = admit(&rules, inbox_only(), record, &submitter, Standing::Unknown);
                assert_eq!(admitted, Ok(RoleSet::of(Role::Inbox)), "{access:?}");
            }
        }
    }

    #[test]
    fn an_inbox_takes_only_what_is_for_a_user_it_serves() {
        let rules = testing::rules();
        for notified in [&[][..], &[Person::Friend][..]] {
            let record = Draft::by(Person::Stranger, ReadAccess::Everybody)
                .to(notified)
                .record();
            let admitted = admit(
                &rules,
                inbox_only(),
                record.view(),
                &testing::anonymous_submitter(),
                Standing::Unknown,
            );
            assert_eq!(admitted, Err(Refusal::Unclaimed));
        }
    }

    #[test]
    fn an_inbox_must_serve_the_intended_recipients_after_authentication() {
        let rules = Rules {
            inbox_public: false,
            ..testing::rules()
        };
        for access in [ReadAccess::Everybody, ReadAccess::AuthorAndTagged] {
            let record = Draft::by(Person::Stranger, access).to(&[Person::Friend, Person::Alice]);
            let record = record.record();
            assert!(sees(&rules, &record, &testing::reader(Person::Alice)));
            assert!(sees(&rules, &record, &testing::reader(Person::Friend)));
            assert!(!sees(&rules, &record, &testing::reader(Person::Bob)));
            assert!(!sees(&rules, &record, &testing::anonymous_reader()));
        }
    }

    #[test]
    fn an_inbox_should_serve_records_for_everybody_to_anybody_without_authentication() {
        let record = Draft::by(Person::Stranger, ReadAccess::Everybody).to(&[Person::Alice]);
        let record = record.record();
        for (name, reader) in testing::readers() {
            assert!(sees(&testing::rules(), &record, &reader), "{name}");
        }
    }

    #[test]
    fn a_public_inbox_still_keeps_records_of_restricted_access_to_their_recipients() {
        let record = Draft::by(Person::Stranger, ReadAccess::AuthorAndTagged).to(&[Person::Alice]);
        let record = record.record();
        for (name, reader) in testing::readers() {
            let expected = name == "Alice";
            assert_eq!(
                sees(&testing::rules(), &record, &reader),
                expected,
                "{name}"
            );
        }
    }
}
