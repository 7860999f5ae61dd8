//! Which records of the inbox wait for the operator's word before anybody learns of them.

use super::claims::claims;
use super::rules::Rules;
use crate::base::{Role, RoleSet, limits};
use crate::identity::Standing;
use crate::wire::{PublicKey, ReadAccess, RecordRef};

/// What the operator looks at before it is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moderation {
    /// Nothing.
    #[default]
    Off,
    /// What comes from strangers: see [`is_held`].
    HoldStrangers,
    /// Everything that is in the inbox and not in the outbox.
    HoldAll,
}

/// Whether a record that is taken waits for the operator's word.
///
/// Only what the inbox claims is held, where the inbox is among the roles `configured`; whether it
/// is open, and what else the record is stored under, changes nothing: what an inbox would have to
/// hold does not come in by the way of another role, on a listener on which the inbox is shut. A
/// record that the outbox claims too is not held: an outbox must take and deliver what its users
/// publish. Private records are not, whether or not the role encryption is configured: the operator
/// must not read them, so there would be nothing to judge them by.
///
/// A stranger is a writer whom the server does not serve, and with whom none of the record's
/// served recipients has to do: `knows` is asked of each of them, with the writer behind it, until
/// one says yes. At most [`limits::MODERATION_RECIPIENTS_MAX`] are asked.
///
/// # Source
/// `design.md` section 5, "Moderation"; `network-architecture.md`, "Inbox".
pub fn is_held(
    rules: &Rules,
    configured: RoleSet,
    record: RecordRef<'_>,
    standing: Standing,
    mut knows: impl FnMut(&PublicKey, &PublicKey) -> bool,
) -> bool {
    let is_private = record.kind().access() != ReadAccess::Everybody;
    if rules.moderation == Moderation::Off || is_private {
        return false;
    }
    let claimed = claims(rules, configured, record);
    if !claimed.contains(Role::Inbox) || claimed.contains(Role::Outbox) {
        return false;
    }
    match rules.moderation {
        Moderation::Off => false,
        Moderation::HoldAll => true,
        Moderation::HoldStrangers => {
            let writer = answers_for(record, standing);
            let is_known = rules.served.contains(&writer)
                || served_recipients(rules, record).any(|recipient| knows(&recipient, &writer));
            !is_known
        }
    }
}

/// Whose word a record is: its author's, where the signing key is known to be theirs; else the
/// signing key's own, for anybody can put any author above a signature.
#[must_use]
pub fn answers_for(record: RecordRef<'_>, standing: Standing) -> PublicKey {
    match standing {
        Standing::Master | Standing::Subkey => record.author(),
        Standing::Revoked | Standing::Unknown => record.signer(),
    }
}

/// The served users whom the record notifies, as far as they are asked.
fn served_recipients(rules: &Rules, record: RecordRef<'_>) -> impl Iterator<Item = PublicKey> {
    record
        .notifies()
        .filter(|master| rules.served.contains(master))
        .take(limits::MODERATION_RECIPIENTS_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, APP, Draft, Person};
    use super::super::{Gate, admit};
    use super::*;

    fn rules(moderation: Moderation) -> Rules {
        Rules {
            moderation,
            ..testing::rules()
        }
    }

    fn roles(roles: &[Role]) -> RoleSet {
        roles.iter().copied().collect()
    }

    fn note(author: Person, to: &[Person]) -> crate::wire::Record {
        Draft::by(author, ReadAccess::Everybody).to(to).record()
    }

    #[test]
    fn each_setting_holds_what_it_says_and_of_the_inbox_alone() {
        use ReadAccess::{AuthorAndTagged, AuthorOnly, Everybody};
        let settings = [
            Moderation::Off,
            Moderation::HoldStrangers,
            Moderation::HoldAll,
        ];
        let all = &Role::ALL[..];
        let inbox = &[Role::Inbox][..];
        for (configured, author, access, to, expected) in [
            (all, Person::Stranger, Everybody, true, [false, true, true]),
            (
                inbox,
                Person::Stranger,
                Everybody,
                true,
                [false, true, true],
            ),
            (inbox, Person::Bob, Everybody, true, [false, false, true]),
            (all, Person::Bob, Everybody, true, [false; 3]),
            (all, Person::Bob, Everybody, false, [false; 3]),
            (all, Person::Stranger, Everybody, false, [false; 3]),
            (all, Person::Stranger, AuthorAndTagged, true, [false; 3]),
            (all, Person::Bob, AuthorOnly, true, [false; 3]),
            (inbox, Person::Stranger, AuthorAndTagged, true, [false; 3]),
            (inbox, Person::Stranger, AuthorOnly, true, [false; 3]),
            (
                &[Role::Application],
                Person::Stranger,
                Everybody,
                true,
                [false; 3],
            ),
        ] {
            let to: &[Person] = if to { &[Person::Alice] } else { &[] };
            let record = Draft::by(author, access).of_app(APP).to(to).record();
            let found = settings.map(|setting| {
                let (rules, standing) = (rules(setting), Standing::Master);
                let roles = roles(configured);
                is_held(&rules, roles, record.view(), standing, |_, _| false)
            });
            assert_eq!(found, expected, "{author:?} {access:?} in {configured:?}");
        }
    }

    #[test]
    fn what_the_configured_inbox_claims_is_held_whatever_role_takes_it_while_the_inbox_is_shut() {
        let rules = rules(Moderation::HoldStrangers);
        let record = Draft::by(Person::Stranger, ReadAccess::Everybody).of_app(APP);
        let record = record.to(&[Person::Alice]).record();
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN", testing::NOW);
        let anybody = testing::anonymous_submitter();
        let submitter = testing::bound(anybody, Role::Application);
        let standing = Standing::Unknown;
        let taken = admit(&rules, gate.roles(), record.view(), &submitter, standing);
        assert_eq!(taken, Ok(RoleSet::of(Role::Application)));
        let configured = gate.roles().configured;
        assert!(is_held(
            &rules,
            configured,
            record.view(),
            standing,
            |_, _| false
        ));
    }

    #[test]
    fn a_writer_whom_one_served_recipient_knows_is_no_stranger() {
        let rules = rules(Moderation::HoldStrangers);
        let record = note(
            Person::Stranger,
            &[Person::Friend, Person::Alice, Person::Bob],
        );
        let inbox = roles(&[Role::Inbox]);
        let mut asked = Vec::new();
        let is_held = is_held(
            &rules,
            inbox,
            record.view(),
            Standing::Master,
            |to, from| {
                asked.push((*to, *from));
                *to == Person::Bob.key()
            },
        );
        assert!(!is_held);
        let stranger = Person::Stranger.key();
        let (alice, bob) = (Person::Alice.key(), Person::Bob.key());
        assert_eq!(
            asked,
            [(alice, stranger), (bob, stranger)],
            "served users alone"
        );
    }

    #[test]
    fn a_name_above_the_signature_of_another_key_opens_no_door() {
        // The author's key signed; had another one, the record would be the word of that one.
        let record = note(Person::Bob, &[Person::Alice]);
        let author = Person::Bob.key();
        for (standing, expected) in [
            (Standing::Master, author),
            (Standing::Subkey, author),
            (Standing::Unknown, record.view().signer()),
        ] {
            assert_eq!(answers_for(record.view(), standing), expected);
        }
    }

    #[test]
    fn no_record_makes_the_server_ask_about_more_recipients_than_the_bound() {
        let rules = rules(Moderation::HoldStrangers);
        let record = Draft::by(Person::Stranger, ReadAccess::Everybody).of_app(APP);
        let record = record.to(&[Person::Alice; 100]).record();
        let mut asked = 0;
        let inbox = roles(&[Role::Inbox]);
        assert!(is_held(
            &rules,
            inbox,
            record.view(),
            Standing::Unknown,
            |_, _| {
                asked += 1;
                false
            }
        ));
        assert_eq!(asked, limits::MODERATION_RECIPIENTS_MAX);
    }
}
