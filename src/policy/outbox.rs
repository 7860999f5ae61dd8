//! The outbox role: where the users of this server publish records for anyone to read.

use super::rules::Rules;
use crate::wire::{ReadAccess, RecordRef};

/// Whether the outbox has a place for the record: everybody may read it, and a served user wrote it.
pub(super) fn claims(rules: &Rules, record: RecordRef<'_>) -> bool {
    readable(record) && rules.served.contains(&record.author())
}

/// Whether the record may be read from the outbox: by anybody, without authentication or payment.
///
/// The access is looked at once more, so that no record which is not for everybody can leave
/// through here, whatever roles it is stored under.
pub(super) fn may_read(record: RecordRef<'_>) -> bool {
    readable(record)
}

fn readable(record: RecordRef<'_>) -> bool {
    record.kind().access() == ReadAccess::Everybody
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Draft, Person};
    use super::super::{Gate, Reader, Refusal, Roles, Rules, admit, visible};
    use crate::base::{Role, RoleSet};
    use crate::identity::Standing;
    use crate::wire::ReadAccess;

    fn outbox_only() -> Roles {
        let configured = RoleSet::of(Role::Outbox);
        Gate::dev(configured, testing::NOW).roles()
    }

    #[test]
    fn an_outbox_must_be_broadly_accessible_so_without_a_verdict_it_takes_and_delivers_nothing() {
        let gate = Gate::closed(RoleSet::of(Role::Outbox), "UNKNOWN", testing::NOW);
        let record = Draft::by(Person::Alice, ReadAccess::Everybody).record();
        let record = record.view();
        let rules = testing::rules();
        let alice = testing::submitter(Person::Alice);
        assert_eq!(
            admit(&rules, gate.roles(), record, &alice, Standing::Master),
            Err(Refusal::Shut)
        );
        let roles = RoleSet::of(Role::Outbox);
        let facts = testing::facts_of(record, roles);
        for (name, reader) in testing::readers() {
            assert!(!visible(&rules, gate.open(), &facts, &reader), "{name}");
        }
    }

    #[test]
    fn an_outbox_must_accept_records_of_the_users_it_serves() {
        let record = Draft::by(Person::Alice, ReadAccess::Everybody).record();
        for standing in [Standing::Master, Standing::Subkey] {
            for submitter in [
                testing::submitter(Person::Alice),
                // The signature is the proof, so anyone may bring it.
                testing::submitter(Person::Stranger),
                testing::anonymous_submitter(),
            ] {
                let rules = testing::rules();
                let admitted = admit(&rules, outbox_only(), record.view(), &submitter, standing);
                assert_eq!(admitted, Ok(RoleSet::of(Role::Outbox)));
            }
        }
    }

    #[test]
    fn an_outbox_takes_no_records_of_users_it_does_not_serve() {
        let record = Draft::by(Person::Stranger, ReadAccess::Everybody).record();
        let stranger = testing::submitter(Person::Stranger);
        let rules = testing::rules();
        let admitted = admit(
            &rules,
            outbox_only(),
            record.view(),
            &stranger,
            Standing::Master,
        );
        assert_eq!(admitted, Err(Refusal::Unclaimed));
    }

    #[test]
    fn an_outbox_must_deliver_to_anybody_without_authentication_and_without_payment() {
        let rules = Rules {
            inbox_public: false,
            ..testing::rules()
        };
        let record = Draft::by(Person::Alice, ReadAccess::Everybody).record();
        let facts = testing::facts(&record, RoleSet::of(Role::Outbox));
        for (name, reader) in testing::readers() {
            for bound in [None, Some(Role::Outbox)] {
                let reader = Reader { bound, ..reader };
                assert!(visible(&rules, RoleSet::ALL, &facts, &reader), "{name}");
            }
        }
    }

    #[test]
    fn an_outbox_takes_a_served_author_at_the_word_of_an_active_key_only() {
        let record = Draft::by(Person::Alice, ReadAccess::Everybody).record();
        let alice = testing::submitter(Person::Alice);
        let rules = testing::rules();
        for (standing, refusal) in [
            (Standing::Unknown, Refusal::SignerUnknown),
            (Standing::Revoked, Refusal::SignerRevoked),
        ] {
            let admitted = admit(&rules, outbox_only(), record.view(), &alice, standing);
            assert_eq!(admitted, Err(refusal));
        }
    }
}
