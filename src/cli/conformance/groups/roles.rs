//! Outbox, inbox and encryption, as the network-architecture page demands them.

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::Talk;
use super::super::ways::Way;
use super::super::world::{
    AUTHOR_AND_TAGGED, UNIQUE, Who, World, of_kinds, plain, record, signed, taken,
};
use crate::base::Role;
use crate::wire::{ClientMessage, QueryId, Record, ResultCode, SecretKey, TagsBuilder};

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
        "An encryption server delivers them to nobody else: by ID, address, QUERY, SUBSCRIBE, live.";
    "encryption.author", "roles, Encryption; ext", |world| author(world),
        "On a stream bound to encryption not even their author reads them, in any of these ways.";
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
    match result {
        ResultCode::Accepted => Ok(()),
        other if world.must_take(role) => {
            Err(failed("SUBMISSION RESULT (ACCEPTED)", other.to_string()))
        }
        other => taken(other),
    }
}

/// A stream of `who` for that role, where the server has such: a record that another role takes
/// says nothing of this one.
async fn talk_to(world: &World, who: Who, role: Role) -> Result<Talk, Stop> {
    let mut talk = world.talk(who).await?;
    if world.has_extensions() {
        let bound = talk.bind(role).await?;
        ensure_open(world, role, bound)?;
    }
    Ok(talk)
}

/// Ends the check where the role is not open.
fn ensure_open(world: &World, role: Role, bound: ResultCode) -> Outcome {
    match bound {
        ResultCode::Success => Ok(()),
        result if world.must_take(role) => Err(failed("ROLE STATUS (SUCCESS)", result.to_string())),
        result => Err(skipped(format!("the role {role} is not open ({result})"))),
    }
}

/// Has `who` hand in a record that the role must take, or ends the check.
async fn publish(world: &World, who: Who, role: Role, record: &Record) -> Outcome {
    let mut talk = talk_to(world, who, role).await?;
    judge(world, role, talk.submit(record.bytes()).await?)?;
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
    let found = talk.gets(&record).await?;
    ensure(found, "the record", || "nothing of it".into())
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
    match (talk.gets(&record).await?, role) {
        (true, _) => Ok(()),
        (false, Role::Inbox) => Err(skipped(
            "accepted, but not served: an inbox may withhold records until it has moderated them",
        )),
        (false, _) => Err(failed("the record", "nothing of it")),
    }
}

/// A stream that is to get nothing, and what to call it.
struct Reader {
    name: String,
    talk: Talk,
}

/// Streams of everybody but the recipient and the author: unbound, and bound to encryption where
/// they may be.
async fn others(world: &World) -> Result<Vec<Reader>, Stop> {
    let mut readers = Vec::new();
    for who in [Who::Anonymous, Who::Stranger, Who::Second] {
        readers.push(Reader {
            name: format!("{who:?}"),
            talk: world.talk(who).await?,
        });
        if world.has_extensions() {
            let mut talk = world.talk(who).await?;
            if talk.bind(Role::Encryption).await? == ResultCode::Success {
                let name = format!("{who:?}, on a stream bound to encryption");
                readers.push(Reader { name, talk });
            }
        }
    }
    Ok(readers)
}

async fn nobody_else(world: &World) -> Outcome {
    let author = SecretKey::generate();
    nothing_for(world, &author, others(world).await?).await
}

async fn author(world: &World) -> Outcome {
    world.need_extensions()?;
    let author = SecretKey::generate();
    let mut talk = world.fresh_as(&author).await?;
    let bound = talk.bind(Role::Encryption).await?;
    ensure_open(world, Role::Encryption, bound)?;
    let name = "its author".into();
    nothing_for(world, &author, vec![Reader { name, talk }]).await
}

/// A letter of `author` comes to none of `readers`, be it stored or new.
async fn nothing_for(world: &World, author: &SecretKey, mut readers: Vec<Reader>) -> Outcome {
    let record = letter(world, Role::Encryption, author)?;
    publish(world, Who::Anonymous, Role::Encryption, &record).await?;
    for Reader { name, talk } in &mut readers {
        for way in Way::ALL {
            let found = way.finds(talk, &record).await?;
            ensure(!found, "nothing", || {
                format!("the record ({way:?}), for {name}")
            })?;
        }
    }
    let record = letter(world, Role::Encryption, author)?;
    let filter = of_kinds([record.view().kind()])?;
    let mut open: Vec<(Reader, QueryId)> = Vec::new();
    for mut reader in readers {
        let id = reader.talk.subscribe(&filter).await?;
        // Who may not read at all is told so.
        if reader.talk.until_settled(id).await?.1.is_none() {
            open.push((reader, id));
        }
    }
    // What its recipient has heard of is not still on its way to others.
    let mut recipient = world.talk(Who::User).await?;
    let heard = recipient.subscribe(&filter).await?;
    recipient.until_complete(heard).await?;
    publish(world, Who::Anonymous, Role::Encryption, &record).await?;
    recipient.until_record(heard, &record).await?;
    for (Reader { name, mut talk }, id) in open {
        talk.send(ClientMessage::Unsubscribe { id }.encode())
            .await?;
        let (records, _) = talk.until_closed(id).await?;
        ensure(records.is_empty(), "nothing", || {
            format!("the record (live), for {name}")
        })?;
    }
    Ok(())
}
