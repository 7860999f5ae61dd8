//! Who may read, and that nobody else learns anything.

use bytes::Bytes;

use super::super::check::{Outcome, Stop, checks, ensure, failed};
use super::super::talk::Answer;
use super::super::ways::Way;
use super::super::world::{
    AUTHOR_AND_TAGGED, AUTHOR_ONLY, UNIQUE, Who, World, kind, of_kinds, record, signed,
};
use crate::wire::{Record, RecordBuilder, Reference, SecretKey, TagsBuilder};

checks! {
    "access.everybody", "wire 3", |world| seen(world, Case::Everybody, Who::Anonymous),
        "A record for everybody is found by anybody: by ID, address, QUERY, SUBSCRIBE, live.";
    "access.author-only.author", "wire 3", |world| seen(world, Case::AuthorOnly, Who::User),
        "A record for its author alone is found by the author, in each of these ways.";
    "access.author-only.get", "wire 3, 10", |world| hidden(world, Case::AuthorOnly, Way::Id),
        "Nobody else gets it by ID.";
    "access.author-only.address", "wire 3, 10", |world| hidden(world, Case::AuthorOnly, Way::Address),
        "Nobody else gets it by address.";
    "access.author-only.query", "wire 3, 10", |world| hidden(world, Case::AuthorOnly, Way::Query),
        "Nobody else finds it with a QUERY.";
    "access.author-only.subscribe", "wire 3, 10", |world| hidden(world, Case::AuthorOnly, Way::Subscribe),
        "Nobody else finds it with a SUBSCRIBE.";
    "access.author-only.live", "wire 3, 10", |world| hidden_live(world, Case::AuthorOnly),
        "It reaches no subscription of anybody else.";
    "access.tagged.recipient", "wire 3", |world| seen(world, Case::Tagged, Who::Second),
        "A record for its author and the tagged is found by whom a notify tag names.";
    "access.tagged.second-tag", "wire 3", |world| seen(world, Case::SecondTag, Who::Second),
        "Every notify tag counts, not the first alone.";
    "access.tagged.get", "wire 3, 10", |world| hidden(world, Case::Tagged, Way::Id),
        "Nobody else gets it by ID.";
    "access.tagged.address", "wire 3, 10", |world| hidden(world, Case::Tagged, Way::Address),
        "Nobody else gets it by address.";
    "access.tagged.query", "wire 3, 10", |world| hidden(world, Case::Tagged, Way::Query),
        "Nobody else finds it with a QUERY.";
    "access.tagged.subscribe", "wire 3, 10", |world| hidden(world, Case::Tagged, Way::Subscribe),
        "Nobody else finds it with a SUBSCRIBE.";
    "access.tagged.live", "wire 3, 10", |world| hidden_live(world, Case::Tagged),
        "It reaches no subscription of anybody else.";
    "access.same.get", "wire 10", |world| same_get(world),
        "The replies to a GET are byte for byte the same for a record that one may not see and for none.";
    "access.same.mixed", "wire 10", |world| same_mixed(world),
        "The same, where the GET names a record too that one may see.";
    "access.same.query", "wire 10", |world| same_query(world),
        "The replies to a QUERY are byte for byte the same.";
    "access.same.subscribe", "wire 10", |world| same_subscribe(world),
        "The replies to a SUBSCRIBE are byte for byte the same.";
    "access.same.limit", "wire 10", |world| same_limit(world),
        "Records that one may not see take no place under the limit of a QUERY.";
    "access.same.duplicate", "wire 10", |world| same_duplicate(world),
        "Who hands in a private record of somebody else is told the same whether it is there or not.";
}

/// Whom a record is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Everybody,
    AuthorOnly,
    /// For the second user.
    Tagged,
    /// The same, and the notify tag is not the first one.
    SecondTag,
}

impl Case {
    /// A new record of the user. A private one for the author alone has a notify tag as well, which
    /// must not open it.
    fn record(self, world: &World) -> Result<Record, Stop> {
        let second = world.second.public();
        let (flags, tags) = match self {
            Self::Everybody => (UNIQUE, TagsBuilder::new()),
            Self::AuthorOnly => (AUTHOR_ONLY, TagsBuilder::new().notify(second)),
            Self::Tagged => (AUTHOR_AND_TAGGED, TagsBuilder::new().notify(second)),
            Self::SecondTag => {
                let first = SecretKey::generate().public();
                (
                    AUTHOR_AND_TAGGED,
                    TagsBuilder::new().notify(first).notify(second),
                )
            }
        };
        signed(record(&world.user, flags)?.tags(tags), &world.user)
    }

    /// Who must not see it.
    const fn others(self) -> &'static [Who] {
        match self {
            Self::Everybody => &[],
            Self::AuthorOnly => &[Who::Anonymous, Who::Stranger, Who::Second],
            Self::Tagged | Self::SecondTag => &[Who::Anonymous, Who::Stranger],
        }
    }
}

async fn seen(world: &World, case: Case, who: Who) -> Outcome {
    for way in Way::ALL {
        let found = finds(world, case, who, way).await?;
        ensure(found, "the record", || format!("nothing of it ({way:?})"))?;
    }
    let found = finds_live(world, case, who).await?;
    ensure(found, "the record", || "nothing of it (live)".into())
}

async fn hidden(world: &World, case: Case, way: Way) -> Outcome {
    for who in case.others() {
        let found = finds(world, case, *who, way).await?;
        ensure(!found, "nothing", || format!("the record, for {who:?}"))?;
    }
    Ok(())
}

async fn hidden_live(world: &World, case: Case) -> Outcome {
    for who in case.others() {
        let found = finds_live(world, case, *who).await?;
        ensure(!found, "nothing", || format!("the record, for {who:?}"))?;
    }
    Ok(())
}

/// Whether `who` comes upon a new record in that way.
async fn finds(world: &World, case: Case, who: Who, way: Way) -> Result<bool, Stop> {
    let record = case.record(world)?;
    world.publish(Who::User, &record).await?;
    let mut talk = world.talk(who).await?;
    way.finds(&mut talk, &record).await
}

/// A record for everybody is published behind it: when that has come, the first will come no more.
async fn finds_live(world: &World, case: Case, who: Who) -> Result<bool, Stop> {
    let record = case.record(world)?;
    let marker = RecordBuilder::new(kind(UNIQUE)?, world.user.public());
    let marker = signed(marker, &world.user)?;
    let mut talk = world.talk(who).await?;
    let filter = of_kinds([record.view().kind(), marker.view().kind()])?;
    let id = talk.subscribe(&filter).await?;
    talk.until_complete(id).await?;
    world.publish(Who::User, &record).await?;
    world.publish(Who::User, &marker).await?;
    Ok(talk.until_record(id, &marker).await?.contains(&record.id()))
}

/// A private record of the user that is there, and one of the same kind of secret that is not.
async fn there_and_not(world: &World) -> Result<[Record; 2], Stop> {
    let there = Case::AuthorOnly.record(world)?;
    world.publish(Who::User, &there).await?;
    Ok([there, Case::AuthorOnly.record(world)?])
}

/// The replies to GETs with one query ID, for each of the two.
async fn same_get(world: &World) -> Outcome {
    let records = there_and_not(world).await?;
    for who in Case::AuthorOnly.others() {
        for by_id in [true, false] {
            let [there, absent] = records.each_ref().map(|record| match by_id {
                true => Reference::Id(record.id()),
                false => Reference::Address(record.view().address()),
            });
            let there = replies_to_get(world, *who, vec![there]).await?;
            let absent = replies_to_get(world, *who, vec![absent]).await?;
            same(&there, &absent)?;
        }
    }
    Ok(())
}

async fn replies_to_get(
    world: &World,
    who: Who,
    references: Vec<Reference>,
) -> Result<Answer, Stop> {
    world.talk(who).await?.get(references).await
}

/// Compared byte for byte: both are the first on their streams, so their query IDs are the same.
fn same(there: &Answer, absent: &Answer) -> Outcome {
    ensure(there.bytes == absent.bytes, "the same replies", || {
        let what = |answer: &Answer| format!("{} records, {}", answer.records.len(), answer.result);
        format!(
            "{} where it is there, {} where not",
            what(there),
            what(absent)
        )
    })
}

async fn same_mixed(world: &World) -> Outcome {
    let [there, absent] = there_and_not(world).await?;
    let visible = Case::Everybody.record(world)?;
    world.publish(Who::User, &visible).await?;
    let both = |record: &Record| vec![Reference::Id(record.id()), Reference::Id(visible.id())];
    for who in Case::AuthorOnly.others() {
        let with = replies_to_get(world, *who, both(&there)).await?;
        let without = replies_to_get(world, *who, both(&absent)).await?;
        same(&with, &without)?;
    }
    Ok(())
}

async fn same_query(world: &World) -> Outcome {
    let [there, absent] = there_and_not(world).await?;
    for who in Case::AuthorOnly.others() {
        for limit in [0, 1] {
            let filter = of_kinds([there.view().kind()])?;
            let with = world.talk(*who).await?.query(&filter, limit).await?;
            let filter = of_kinds([absent.view().kind()])?;
            let without = world.talk(*who).await?.query(&filter, limit).await?;
            same(&with, &without)?;
        }
    }
    Ok(())
}

async fn same_subscribe(world: &World) -> Outcome {
    let [there, absent] = there_and_not(world).await?;
    for who in Case::AuthorOnly.others() {
        let mut replies: Vec<Bytes> = Vec::new();
        for record in [&there, &absent] {
            let mut talk = world.talk(*who).await?;
            talk.subscribe(&of_kinds([record.view().kind()])?).await?;
            replies.push(talk.message().await?.1);
        }
        let [with, without] = replies.as_slice() else {
            return Err(failed("two replies", "others"));
        };
        ensure(with == without, "the same replies", || "others".into())?;
    }
    Ok(())
}

async fn same_limit(world: &World) -> Outcome {
    let kinds = [kind(UNIQUE)?, kind(AUTHOR_ONLY)?];
    let [public, private] =
        kinds.map(|kind| signed(RecordBuilder::new(kind, world.user.public()), &world.user));
    let (public, private) = (public?, private?);
    // The private one is the newer one.
    world.publish(Who::User, &public).await?;
    world.publish(Who::User, &private).await?;
    for who in Case::AuthorOnly.others() {
        let answer = world.talk(*who).await?.query(&of_kinds(kinds)?, 1).await?;
        ensure(
            answer.records == [public.bytes()],
            "the record that is seen",
            || format!("{} others", answer.records.len()),
        )?;
    }
    Ok(())
}

async fn same_duplicate(world: &World) -> Outcome {
    for who in [Who::Anonymous, Who::Stranger] {
        let [there, absent] = there_and_not(world).await?;
        let mut talk = world.talk(who).await?;
        let known = talk.submit(there.bytes()).await?;
        let new = talk.submit(absent.bytes()).await?;
        ensure(known == new, "one result", || {
            format!("{known} where it is there, {new} where not")
        })?;
    }
    Ok(())
}
