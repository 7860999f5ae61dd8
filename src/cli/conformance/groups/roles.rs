//! Outbox, inbox and encryption, as the network-architecture page demands them.

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::Talk;
use super::super::world::{AUTHOR_AND_TAGGED, UNIQUE, Who, World, plain, record, signed, taken};
use crate::base::Role;
use crate::wire::{Record, Reference, ResultCode, SecretKey, TagsBuilder};

checks! {
    "outbox.accepts", "roles, Outbox", |world| outbox(world),
        "An outbox accepts the records of the users it serves.";
    "outbox.anybody", "roles, Outbox", |world| outbox_delivers(world),
        "An outbox delivers them to anybody, without authentication.";
    "inbox.strangers", "roles, Inbox", |world| delivers(world, Role::Inbox, Who::Stranger),
        "An inbox accepts records for its users from strangers.";
    "inbox.anonymous", "roles, Inbox", |world| delivers(world, Role::Inbox, Who::Anonymous),
        "An inbox demands no authentication of them.";
    "inbox.recipient", "roles, Inbox", |world| recipient(world, Role::Inbox),
        "An inbox serves them to their recipient, once authenticated.";
    "encryption.strangers", "roles, Encryption", |world| delivers(world, Role::Encryption, Who::Stranger),
        "An encryption server accepts private records for its users from strangers.";
    "encryption.anonymous", "roles, Encryption", |world| delivers(world, Role::Encryption, Who::Anonymous),
        "An encryption server demands no authentication of them.";
    "encryption.recipient", "roles, Encryption", |world| recipient(world, Role::Encryption),
        "An encryption server serves them to their recipient, once authenticated.";
    "encryption.nobody-else", "roles, Encryption", |world| nobody_else(world),
        "An encryption server delivers them to nobody else.";
    "encryption.author", "roles, Encryption; ext", |world| author(world),
        "On a stream bound to encryption not even their author reads them.";
}

/// A record of somebody unknown for the user: for everybody, or private.
fn letter(world: &World, role: Role, author: &SecretKey) -> Result<Record, Stop> {
    let flags = match role {
        Role::Encryption => AUTHOR_AND_TAGGED,
        _ => UNIQUE,
    };
    let tags = TagsBuilder::new().notify(world.user.public());
    signed(record(author, flags)?.tags(tags), author)
}

/// Judges a refusal: the server's right, unless it says that it plays the role for this very user.
fn judge(world: &World, role: Role, result: ResultCode) -> Outcome {
    let must = world.is_user_given && world.says_open(role) == Some(true);
    match result {
        ResultCode::Accepted => Ok(()),
        other if must => Err(failed("SUBMISSION RESULT (ACCEPTED)", other.to_string())),
        other => taken(other),
    }
}

/// A stream of `who` for that role, where the server has such: a record that another role takes
/// says nothing of this one.
async fn talk_to(world: &World, who: Who, role: Role) -> Result<Talk, Stop> {
    let mut talk = world.talk(who).await?;
    if world.info.is_some() {
        talk.bind(role).await?;
    }
    Ok(talk)
}

/// Has `who` hand in a record that is taken in that role, or ends the check.
async fn publish(world: &World, who: Who, role: Role, record: &Record) -> Outcome {
    let mut talk = talk_to(world, who, role).await?;
    taken(talk.submit(record.bytes()).await?)?;
    talk.fence().await
}

async fn outbox(world: &World) -> Outcome {
    let record = plain(&world.user, UNIQUE)?;
    let mut talk = talk_to(world, Who::User, Role::Outbox).await?;
    judge(world, Role::Outbox, talk.submit(record.bytes()).await?)
}

async fn outbox_delivers(world: &World) -> Outcome {
    let record = plain(&world.user, UNIQUE)?;
    publish(world, Who::User, Role::Outbox, &record).await?;
    let mut talk = talk_to(world, Who::Anonymous, Role::Outbox).await?;
    let found = gets(&mut talk, &record).await?;
    ensure(found, "the record", || "nothing of it".into())
}

async fn gets(talk: &mut Talk, record: &Record) -> Result<bool, Stop> {
    let answer = talk.get(vec![Reference::Id(record.id())]).await?;
    Ok(answer.records == [record.bytes()])
}

/// The author is unknown, and so is whoever brings the letter.
async fn delivers(world: &World, role: Role, by: Who) -> Outcome {
    let record = letter(world, role, &SecretKey::generate())?;
    let mut talk = talk_to(world, by, role).await?;
    judge(world, role, talk.submit(record.bytes()).await?)
}

async fn recipient(world: &World, role: Role) -> Outcome {
    let record = letter(world, role, &SecretKey::generate())?;
    publish(world, Who::Anonymous, role, &record).await?;
    let mut talk = world.talk(Who::User).await?;
    match (gets(&mut talk, &record).await?, role) {
        (true, _) => Ok(()),
        (false, Role::Inbox) => Err(skipped(
            "accepted, but not served: an inbox may withhold records until it has moderated them",
        )),
        (false, _) => Err(failed("the record", "nothing of it")),
    }
}

async fn nobody_else(world: &World) -> Outcome {
    let record = letter(world, Role::Encryption, &SecretKey::generate())?;
    publish(world, Who::Anonymous, Role::Encryption, &record).await?;
    for who in [Who::Anonymous, Who::Stranger, Who::Second] {
        let mut talk = world.talk(who).await?;
        let found = gets(&mut talk, &record).await?;
        ensure(!found, "nothing", || format!("the record, for {who:?}"))?;
    }
    Ok(())
}

async fn author(world: &World) -> Outcome {
    world.need_extensions()?;
    let author = SecretKey::generate();
    let record = letter(world, Role::Encryption, &author)?;
    publish(world, Who::Anonymous, Role::Encryption, &record).await?;
    let mut talk = world.fresh_as(&author).await?;
    talk.bind(Role::Encryption).await?;
    let found = gets(&mut talk, &record).await?;
    ensure(!found, "nothing", || "the record".into())
}
