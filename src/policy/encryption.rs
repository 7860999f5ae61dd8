//! The encryption role: private records, which nobody but their recipient may ever read back.

use super::rules::Rules;
use super::visible::Reader;
use crate::wire::{ReadAccess, RecordRef};

/// Whether the encryption role has a place for the record: it is for its author and the keys it
/// notifies, of which one is served; or for its author alone, who is served.
pub(super) fn claims(rules: &Rules, record: RecordRef<'_>) -> bool {
    match record.kind().access() {
        ReadAccess::AuthorAndTagged => record
            .notifies()
            .any(|master| rules.served.contains(&master)),
        ReadAccess::AuthorOnly => rules.served.contains(&record.author()),
        ReadAccess::Everybody => false,
    }
}

/// Whether the reader is an intended recipient of the record: one of the keys it notifies, or the
/// author of a record for the author alone. The author of a record to somebody else is not.
pub(super) fn may_read(record: RecordRef<'_>, reader: &Reader) -> bool {
    match record.kind().access() {
        ReadAccess::AuthorAndTagged => reader.is_notified_by(record),
        ReadAccess::AuthorOnly => reader.is_author_of(record),
        ReadAccess::Everybody => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, ALL_OPEN, APP, Draft, Person};
    use super::super::{Gate, Reader, Refusal, Roles, admit, visible};
    use crate::base::{Role, RoleSet};
    use crate::identity::Standing;
    use crate::wire::{ReadAccess, Record};

    const ENCRYPTION: RoleSet = RoleSet::of(Role::Encryption);

    fn message() -> Record {
        // Of an application that is served too, so that encryption has to go before it.
        let draft = Draft::by(Person::Stranger, ReadAccess::AuthorAndTagged).of_app(APP);
        draft.to(&[Person::Alice]).record()
    }

    fn sees(record: &Record, roles: RoleSet, reader: &Reader) -> bool {
        let facts = testing::facts(record, roles);
        visible(&testing::rules(), RoleSet::ALL, &facts, reader)
    }

    #[test]
    fn encryption_must_be_broadly_accessible_so_without_a_verdict_it_takes_and_delivers_nothing() {
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN", testing::NOW);
        let record = message();
        let rules = testing::rules();
        let submitter = testing::anonymous_submitter();
        let admitted = admit(
            &rules,
            gate.roles(),
            record.view(),
            &submitter,
            Standing::Unknown,
        );
        assert_eq!(admitted, Err(Refusal::Shut));
        let facts = testing::facts(&record, ENCRYPTION);
        let alice = testing::reader(Person::Alice);
        assert!(!visible(&rules, gate.open(), &facts, &alice));
    }

    #[test]
    fn encryption_must_accept_records_from_strangers_without_authentication() {
        for submitter in [
            testing::anonymous_submitter(),
            testing::submitter(Person::Stranger),
        ] {
            for submitter in [submitter, testing::bound(submitter, Role::Encryption)] {
                let record = message();
                let rules = testing::rules();
                let record = record.view();
                let admitted = admit(&rules, ALL_OPEN, record, &submitter, Standing::Unknown);
                assert_eq!(admitted, Ok(ENCRYPTION));
            }
        }
    }

    #[test]
    fn encryption_must_serve_the_intended_recipients_after_authentication() {
        assert!(sees(
            &message(),
            ENCRYPTION,
            &testing::reader(Person::Alice)
        ));
        let own = Draft::by(Person::Alice, ReadAccess::AuthorOnly).record();
        assert!(sees(&own, ENCRYPTION, &testing::reader(Person::Alice)));
    }

    #[test]
    fn encryption_must_not_deliver_to_anybody_other_than_the_intended_recipient() {
        let own = Draft::by(Person::Alice, ReadAccess::AuthorOnly).record();
        for (name, reader) in testing::readers() {
            let expected = name == "Alice";
            assert_eq!(sees(&message(), ENCRYPTION, &reader), expected, "{name}");
            assert_eq!(sees(&own, ENCRYPTION, &reader), expected, "{name}");
        }
    }

    #[test]
    fn the_author_of_a_message_to_somebody_else_may_not_read_it_back() {
        let author = testing::reader(Person::Stranger);
        for bound in [None, Some(Role::Encryption)] {
            let author = Reader { bound, ..author };
            assert!(!sees(&message(), ENCRYPTION, &author));
        }
        let copied = Draft::by(Person::Stranger, ReadAccess::AuthorAndTagged);
        let copied = copied.to(&[Person::Alice, Person::Stranger]).record();
        assert!(
            sees(&copied, ENCRYPTION, &author),
            "a tag makes a recipient"
        );
    }

    #[test]
    fn a_record_of_the_encryption_role_gains_no_readers_by_being_stored_under_another_role_too() {
        for other in Role::ALL {
            let roles = ENCRYPTION.with(other);
            for (name, reader) in testing::readers() {
                let seen = sees(&message(), roles, &reader);
                assert_eq!(seen, name == "Alice", "{name} by way of {other}");
                let reader = Reader {
                    bound: Some(other),
                    ..reader
                };
                let expected = name == "Alice" && other == Role::Encryption;
                assert_eq!(
                    sees(&message(), roles, &reader),
                    expected,
                    "{name} on {other}"
                );
            }
        }
    }

    #[test]
    fn a_private_record_is_not_demoted_to_the_inbox_while_encryption_is_shut() {
        let open = RoleSet::ALL.without(Role::Encryption);
        let roles = Roles { open, ..ALL_OPEN };
        let rules = testing::rules();
        let record = message();
        for bound in [None, Some(Role::Encryption)] {
            let submitter = super::super::Submitter {
                bound,
                ..testing::anonymous_submitter()
            };
            let admitted = admit(&rules, roles, record.view(), &submitter, Standing::Unknown);
            assert_eq!(admitted, Err(Refusal::Shut));
        }
        for bound in [Role::Inbox, Role::Application] {
            let submitter = testing::bound(testing::anonymous_submitter(), bound);
            let admitted = admit(&rules, roles, record.view(), &submitter, Standing::Unknown);
            assert_eq!(admitted, Err(Refusal::Unclaimed), "{bound}");
        }
    }
}
