//! Key schedules: which keys speak for whom.
//!
//! Every check uses a master key of its own, which no server can know: they are made where anybody
//! is served, and the schedule of a given user is never touched.

use std::time::Duration;

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::{Heard, Talk};
use super::super::world::{
    AUTHOR_ONLY, REPLACEABLE, UNIQUE, Who, World, built, kind, record, signed, taken,
};
use crate::client::RawConnection;
use crate::wire::{
    Attestation, ClientMessage, FilterBuilder, KeyMarker, KeyScheduleBuilder, Kind, ListedKey,
    Record, RecordBuilder, Reference, ResultCode, SecretKey, ServerMessage, Timestamp,
};

checks! {
    "schedule.subkey.signs", "wire 9", |world| signs(world),
        "A record signed by an active subkey is its master's.";
    "schedule.subkey.reads", "wire 9", |world| reads(world),
        "Who signs in with an active subkey reads what its master may read.";
    "schedule.subkey.from-author", "wire 9", |world| from_author(world),
        "Who signs in with an active subkey is the author, for records marked FROM_AUTHOR.";
    "schedule.subkey.filters", "wire 6, 9", |world| filters(world),
        "A filter of author keys finds such a record by its master alone, one of signing keys by the subkey alone.";
    "schedule.subkey.replaces", "wire 3, 9", |world| subkeys_replace(world),
        "A record signed by one active subkey replaces an older one signed by another of the same master.";
    "schedule.unlisted.replaces", "wire 9", |world| unlisted(world),
        "A record signed by a key that the author does not list replaces no record of the author.";
    "schedule.revoked.signs", "wire 9", |world| revoked_signs(world, Revocation::Whole),
        "Marker 0x40: a record signed by the revoked key is not accepted.";
    "schedule.revoked-from.signs", "wire 9", |world| revoked_signs(world, Revocation::From),
        "Marker 0x41: a record that is received after the revocation is not accepted.";
    "schedule.revoked.stored", "wire 9", |world| revoked_stored(world),
        "Marker 0x40: all records by the key are invalid, those too that were there before.";
    "schedule.revoked.reads", "wire 9", |world| revoked_reads(world),
        "Who signs in with a revoked key reads nothing of its master's.";
    "schedule.revoked.open", "wire 9", |world| revoked_open(world),
        "The same holds for a connection that was open before.";
    "schedule.revoked-from.before", "wire 9", |world| kept(world, in_an_hour()),
        "Marker 0x41: what was received and is dated before the revocation stays.";
    "schedule.revoked-from.dated", "wire 9", |world| dated_later(world),
        "Marker 0x41: a record that is dated after the revocation is not accepted.";
    "schedule.out-of-use", "wire 9", |world| kept(world, KeyMarker::OutOfUse(None)),
        "Marker 0x4F: nothing is revoked, the key's records stay.";
    "schedule.revocation-time", "wire 9", |world| no_time(world),
        "A revocation without a timestamp is INVALID.";
    "schedule.tags", "wire 9", |world| no_tag(world),
        "A key schedule without the subkey tag of a key that it lists is INVALID.";
    "schedule.signed-by-master", "wire 9", |world| signed_by_other(world, Kind::KEY_SCHEDULE),
        "A key schedule that the master did not sign is INVALID.";
    "schedule.attestation", "wire 9", |world| bad_attestation(world),
        "A key schedule with a bad attestation is INVALID.";
    "profile.signed-by-master", "wire 9", |world| signed_by_other(world, Kind::PROFILE),
        "A profile that the master did not sign is INVALID.";
}

/// A master with one subkey.
struct Family {
    master: SecretKey,
    subkey: SecretKey,
}

impl Family {
    fn new() -> Self {
        Self {
            master: SecretKey::generate(),
            subkey: SecretKey::generate(),
        }
    }

    /// The schedule that lists the subkey with `marker`, dated `seconds` after the first one.
    fn schedule(&self, marker: KeyMarker, seconds: u64) -> Result<Record, Stop> {
        self.listing(&[&self.subkey], marker, seconds)
    }

    /// The same for those subkeys.
    fn listing(
        &self,
        subkeys: &[&SecretKey],
        marker: KeyMarker,
        seconds: u64,
    ) -> Result<Record, Stop> {
        let mut builder = KeyScheduleBuilder::new(self.master.public());
        for subkey in subkeys {
            let attestation = Attestation::sign(subkey, self.master.public());
            builder = builder
                .list(marker, ListedKey::Signing(attestation))
                .map_err(|error| skipped(error.to_string()))?;
        }
        let record = builder.into_record();
        let record = record.map_err(|error| skipped(error.to_string()))?;
        let start = Timestamp::now().saturating_sub(Duration::from_secs(60));
        let record = record.timestamp(start.saturating_add(Duration::from_secs(seconds)));
        signed(record, &self.master)
    }

    /// A new family that the server knows, and a stream of the master.
    async fn settle(world: &World) -> Result<(Self, Talk), Stop> {
        let family = Self::new();
        let mut talk = world.fresh_as(&family.master).await?;
        let schedule = family.schedule(KeyMarker::ActiveSigning, 0)?;
        taken(talk.submit(schedule.bytes()).await?)?;
        Ok((family, talk))
    }

    /// A record of the master, signed by the subkey.
    fn by_subkey(&self, flags: u16) -> Result<Record, Stop> {
        signed(record(&self.master, flags)?, &self.subkey)
    }
}

async fn signs(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let record = family.by_subkey(UNIQUE)?;
    taken(talk.submit(record.bytes()).await?)?;
    let mut reader = world.talk(Who::Anonymous).await?;
    let found = reader.gets(&record).await?;
    ensure(found, "the record", || "nothing of it".into())
}

async fn reads(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let record = signed(record(&family.master, AUTHOR_ONLY)?, &family.master)?;
    taken(talk.submit(record.bytes()).await?)?;
    let mut device = world.fresh_as(&family.subkey).await?;
    let found = device.gets(&record).await?;
    ensure(found, "the master's record", || "nothing of it".into())
}

async fn from_author(world: &World) -> Outcome {
    let (family, _talk) = Family::settle(world).await?;
    let record = record(&family.master, UNIQUE)?.from_author(true);
    let record = signed(record, &family.subkey)?;
    let mut device = world.fresh_as(&family.subkey).await?;
    let result = device.submit(record.bytes()).await?;
    ensure(result == ResultCode::Accepted, "ACCEPTED", || {
        result.to_string()
    })
}

async fn filters(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let record = family.by_subkey(UNIQUE)?;
    taken(talk.submit(record.bytes()).await?)?;
    let (master, subkey) = (family.master.public(), family.subkey.public());
    let of_kind = || FilterBuilder::new().kinds([record.view().kind()]);
    let mut reader = world.talk(Who::Anonymous).await?;
    for (filter, what, is_found) in [
        (of_kind().authors([master]), "author is the master", true),
        (of_kind().authors([subkey]), "author is the subkey", false),
        (of_kind().signers([subkey]), "signer is the subkey", true),
        (of_kind().signers([master]), "signer is the master", false),
    ] {
        let found = reader.query(&built(filter)?, 0).await?.records;
        let is_right = found.contains(record.bytes()) == is_found;
        let expected = match is_found {
            true => format!("the record where the {what}"),
            false => format!("nothing where the {what}"),
        };
        ensure(is_right, &expected, || format!("{} records", found.len()))?;
    }
    Ok(())
}

/// Two records of one replaceable address of the master, a second apart.
fn older_and_newer(family: &Family, signers: [&SecretKey; 2]) -> Result<[Record; 2], Stop> {
    let kind = kind(REPLACEABLE)?;
    let start = Timestamp::now().saturating_sub(Duration::from_secs(10));
    let at = |seconds, key: &SecretKey| {
        let record = RecordBuilder::new(kind, family.master.public())
            .nonce([0x99; 8])
            .timestamp(start.saturating_add(Duration::from_secs(seconds)));
        signed(record, key)
    };
    let [older, newer] = signers;
    Ok([at(0, older)?, at(1, newer)?])
}

async fn subkeys_replace(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let other = SecretKey::generate();
    let both = family.listing(&[&family.subkey, &other], KeyMarker::ActiveSigning, 1)?;
    taken(talk.submit(both.bytes()).await?)?;
    let [older, newer] = older_and_newer(&family, [&family.subkey, &other])?;
    taken(talk.submit(older.bytes()).await?)?;
    taken(talk.submit(newer.bytes()).await?)?;
    let address = Reference::Address(newer.view().address());
    let answer = talk.get(vec![address]).await?;
    ensure(
        answer.records == [newer.bytes()],
        "the newer alone",
        || match answer.records.contains(older.bytes()) {
            true => "the older one".into(),
            false => format!("{} records", answer.records.len()),
        },
    )
}

async fn unlisted(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let unlisted = SecretKey::generate();
    for (signer, name) in [(&family.master, "master"), (&family.subkey, "subkey")] {
        let [real, forged] = older_and_newer(&family, [signer, &unlisted])?;
        taken(talk.submit(real.bytes()).await?)?;
        let mut stranger = world.talk(Who::Stranger).await?;
        stranger.submit(forged.bytes()).await?;
        let address = Reference::Address(real.view().address());
        let answer = talk.get(vec![address]).await?;
        let is_there = answer.records.contains(real.bytes());
        let expected = format!("the record that the {name} signed");
        ensure(is_there, &expected, || "it was replaced".into())?;
    }
    Ok(())
}

/// What a schedule says of a key that was lost.
#[derive(Clone, Copy)]
enum Revocation {
    Whole,
    From,
}

impl Revocation {
    fn marker(self) -> KeyMarker {
        let now = Timestamp::now().saturating_sub(Duration::from_secs(1));
        match self {
            Self::Whole => KeyMarker::Revoked(now),
            Self::From => KeyMarker::RevokedFrom(now),
        }
    }
}

async fn revoke(family: &Family, talk: &mut Talk, revocation: Revocation) -> Outcome {
    let schedule = family.schedule(revocation.marker(), 1)?;
    taken(talk.submit(schedule.bytes()).await?)
}

async fn revoked_signs(world: &World, revocation: Revocation) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    taken(talk.submit(family.by_subkey(UNIQUE)?.bytes()).await?)?;
    revoke(&family, &mut talk, revocation).await?;
    let record = family.by_subkey(UNIQUE)?;
    let result = talk.submit(record.bytes()).await?;
    ensure(!result.is_success(), "a refusal", || result.to_string())?;
    let found = talk.gets(&record).await?;
    ensure(!found, "nothing kept of it", || {
        "the record is served".into()
    })
}

async fn revoked_stored(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let record = family.by_subkey(UNIQUE)?;
    taken(talk.submit(record.bytes()).await?)?;
    revoke(&family, &mut talk, Revocation::Whole).await?;
    let mut reader = world.talk(Who::Anonymous).await?;
    let found = reader.gets(&record).await?;
    ensure(!found, "nothing", || "the record is served still".into())
}

async fn revoked_reads(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let record = signed(record(&family.master, AUTHOR_ONLY)?, &family.master)?;
    taken(talk.submit(record.bytes()).await?)?;
    revoke(&family, &mut talk, Revocation::Whole).await?;
    match visit(world, &family.subkey).await {
        Ok(mut device) => {
            let found = device.gets(&record).await?;
            ensure(!found, "nothing", || "the master's record".into())
        }
        Err(Stop::TooFast) => Err(Stop::TooFast),
        // It is not even let in, unless nobody is at this moment.
        Err(_) => world.fresh(Who::Anonymous).await.map(drop),
    }
}

/// A stream of whoever holds `key`, who may be turned away: that is not tried again.
async fn visit(world: &World, key: &SecretKey) -> Result<Talk, Stop> {
    let connecting = RawConnection::connect(&world.target, Some(key), world.patience);
    let connection = Box::pin(connecting)
        .await
        .map_err(|error| failed("a connection", super::super::super::error::chain(&error)))?;
    let mut talk = world.stream_of(connection).await?;
    talk.hello(Vec::new()).await?;
    Ok(talk)
}

async fn revoked_open(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let mut device = world.fresh_as(&family.subkey).await?;
    let record = signed(record(&family.master, AUTHOR_ONLY)?, &family.master)?;
    taken(talk.submit(record.bytes()).await?)?;
    revoke(&family, &mut talk, Revocation::Whole).await?;
    let id = device.new_id();
    let references = vec![Reference::Id(record.id())];
    device
        .send(ClientMessage::Get { id, references }.encode())
        .await?;
    match device.hear().await? {
        Heard::Message(ServerMessage::Record { .. }, _) => {
            Err(failed("nothing", "the master's record"))
        }
        // Answered as if it were not there.
        Heard::Message(..) => Ok(()),
        // Closed, unless the server is gone.
        Heard::End(_) => world.fresh(Who::Anonymous).await.map(drop),
        Heard::Data(_) => Err(failed("nothing", "data of a BLOB")),
    }
}

fn in_an_hour() -> KeyMarker {
    KeyMarker::RevokedFrom(Timestamp::now().saturating_add(HOUR))
}

/// What a key signed is still served when the schedule says `marker` of it.
async fn kept(world: &World, marker: KeyMarker) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let earlier = Timestamp::now().saturating_sub(HOUR);
    let record = record(&family.master, UNIQUE)?.timestamp(earlier);
    let record = signed(record, &family.subkey)?;
    taken(talk.submit(record.bytes()).await?)?;
    taken(talk.submit(family.schedule(marker, 1)?.bytes()).await?)?;
    let mut reader = world.talk(Who::Anonymous).await?;
    let found = reader.gets(&record).await?;
    ensure(found, "the record", || "nothing of it".into())
}

async fn dated_later(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    taken(
        talk.submit(family.schedule(in_an_hour(), 1)?.bytes())
            .await?,
    )?;
    let later = Timestamp::now().saturating_add(HOUR.saturating_mul(2));
    let dated = |key| signed(record(&family.master, UNIQUE)?.timestamp(later), key);
    // Where the master's is not taken either, a refusal shows nothing.
    taken(talk.submit(dated(&family.master)?.bytes()).await?)?;
    let record = dated(&family.subkey)?;
    let result = talk.submit(record.bytes()).await?;
    ensure(!result.is_success(), "a refusal", || result.to_string())
}

async fn no_time(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let schedule = family.schedule(KeyMarker::Revoked(Timestamp::MIN), 1)?;
    expect_invalid(&mut talk, &schedule).await
}

async fn no_tag(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let schedule = family.schedule(KeyMarker::ActiveSigning, 1)?;
    let record = RecordBuilder::new(Kind::KEY_SCHEDULE, family.master.public())
        .nonce(schedule.view().nonce())
        .payload(schedule.view().payload().to_vec());
    expect_invalid(&mut talk, &signed(record, &family.master)?).await
}

async fn signed_by_other(world: &World, kind: Kind) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let record = if kind == Kind::KEY_SCHEDULE {
        let entries = family.schedule(KeyMarker::ActiveSigning, 1)?;
        let view = entries.view();
        let tags = crate::wire::TagsBuilder::new().subkey(family.subkey.public());
        RecordBuilder::new(kind, family.master.public())
            .nonce(view.nonce())
            .tags(tags)
            .payload(view.payload().to_vec())
    } else {
        // A map with `name`.
        let name = b"\xa1\x64name\x64test".to_vec();
        RecordBuilder::new(kind, family.master.public()).payload(name)
    };
    expect_invalid(&mut talk, &signed(record, &family.subkey)?).await
}

async fn expect_invalid(talk: &mut Talk, record: &Record) -> Outcome {
    match talk.submit(record.bytes()).await? {
        ResultCode::Invalid => Ok(()),
        other => Err(failed("SUBMISSION RESULT (INVALID)", other.to_string())),
    }
}

/// A schedule with another byte in the signature of its attestation, signed by its master.
async fn bad_attestation(world: &World) -> Outcome {
    let (family, mut talk) = Family::settle(world).await?;
    let schedule = family.schedule(KeyMarker::ActiveSigning, 1)?;
    let mut payload = schedule.view().payload().to_vec();
    if let Some(byte) = payload.get_mut(ATTESTATION_SIGNATURE_AT) {
        *byte ^= 0x40;
    }
    let tags = crate::wire::TagsBuilder::new().subkey(family.subkey.public());
    let record = RecordBuilder::new(Kind::KEY_SCHEDULE, family.master.public())
        .nonce(schedule.view().nonce())
        .tags(tags)
        .payload(payload);
    expect_invalid(&mut talk, &signed(record, &family.master)?).await
}

const HOUR: Duration = Duration::from_secs(3_600);

/// The first byte of the signature in its attestation: entry header, then 72 bytes that are signed.
const ATTESTATION_SIGNATURE_AT: usize = 16 + 72;
