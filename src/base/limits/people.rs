//! Users, whom keys speak for, moderation, and orders of operators.

use std::time::Duration;

use super::RECORD_COST_KEYS;

/// Users an open registration admits (configuration `users.max`); one takes about 100 bytes.
pub const USERS_MAX: usize = 100_000;

/// Users who register themselves from one address (in IPv6 one network of 64 bits), at once after a
/// time of quiet and in an hour: keys cost nothing, and [`USERS_MAX`] places must not go to whoever
/// comes with the most of them. A household or a class fits in.
pub const REGISTRATIONS_PER_HOUR: u32 = 20;

/// Key schedules that are looked at to find out who listed a key; anybody can publish one that
/// names it, so most of what is found may be rubbish. A signature check each.
pub const DIRECTORY_SCAN_MAX_RECORDS: usize = 1_024;

/// Clients that wait to be registered as users, or to redeem an invitation; past it one is registered
/// with its first submission, or when it connects again.
pub const ARRIVALS_MAX: usize = 1_024;

/// Entries of newest key schedules kept at hand, a master counted as one more: 22 MB.
pub const DIRECTORY_SCHEDULES_MAX: usize = 131_072;

/// Signing keys of which it is kept at hand who may have listed them, each such master counted as
/// one more: 14 MB.
pub const DIRECTORY_KEYS_MAX: usize = 131_072;

/// Masters looked at for one signing key. Each needs the key's own attestation, so only the key's
/// holder can reach this.
pub const DIRECTORY_MASTERS_MAX: usize = 64;

/// Records that a user of a server with open registration or invitations may publish there, and as
/// many may be left for them, where the operator says nothing else: thirty a day for ten years.
pub const QUOTA_RECORDS: u64 = 100_000;

/// The same in bytes: one disk of 4 TB has room for two thousand users who fill both.
pub const QUOTA_BYTES: u64 = 1 << 30;

/// Served recipients of one record of whom is asked whether they know its writer: each can cost a
/// look into the indexes. Who writes to more at once is judged by the first ones.
pub const MODERATION_RECIPIENTS_MAX: usize = 8;

/// What it may cost to find out whether the recipients of one record have ever written to its writer,
/// all of them together: 256 records that are read, about a millisecond of the thread on which
/// everybody's records are stored. Past it the writer counts as a stranger, and an operator looks.
pub const MODERATION_SCAN_MAX_COST_KEYS: u64 = 256 * RECORD_COST_KEYS as u64;

/// Time for which a scan that was cut off is not tried again: it would cost as much and find as little.
pub const MODERATION_SCAN_PAUSE: Duration = Duration::from_secs(600);

/// Keys that one record makes acquainted with its author at once: what is kept of others must not be
/// pushed out by it. The store knows the rest.
pub const ACQUAINTED_AT_ONCE_MAX: usize = 64;

/// Pairs of a user and a writer of whom it is remembered whether they know each other, and as
/// many of whom that could not be found out: 8 MB each.
pub const ACQUAINTANCES_MAX: usize = 65_536;

/// Invitations that wait to be used. All of them are in memory, at some 200 bytes.
pub const INVITATIONS_MAX: usize = 100_000;

/// Bytes of what an operator notes with an invitation.
pub const INVITATION_NOTE_MAX_BYTES: usize = 256;

/// Wrong invitations of one key in a row after which it is told to wait, for [`REDEEM_PAUSE`]. Guessing
/// is hopeless at 128 bits; this keeps the trace and the thread that redeems from being flooded.
pub const REDEEM_TRIES_MAX: u32 = 8;

/// How long such a key has to wait.
pub const REDEEM_PAUSE: Duration = Duration::from_secs(60);

/// Keys of whom wrong invitations are remembered, the most recent ones.
pub const REDEEM_KEYS_MAX: usize = 4_096;

/// Users that one answer to an operator lists.
pub const USERS_PAGE_MAX: usize = 256;

/// Orders of operators that are carried out at a time, all connections together: each holds a thread
/// while it reads the store or waits for its sync. There are few operators.
pub const ADMIN_CALLS_AT_ONCE_MAX: usize = 2;

/// Registrations at a time of peers that hand in a BLOB, all connections together: each holds a
/// thread while it waits for its sync. Most find that there is nothing to do.
pub const REGISTRATIONS_AT_ONCE_MAX: usize = 1;

/// Rows of one step of a listing for an operator: with the longest texts 256 KiB, as much as a stream's
/// outbox holds. Between two steps the operator's client has to take what was sent.
pub const ADMIN_PAGE_MAX_ROWS: usize = 64;

/// Longest note, reason, name or filter in an operator's order.
pub const ADMIN_NOTE_MAX_BYTES: usize = 256;

/// Longest text in a row for an operator; a longer one is cut.
pub const ADMIN_TEXT_MAX_BYTES: usize = 4 << 10;

/// Records that one order names, to delete, release or reject them: with their recipients they stay
/// within the changes that one act may have.
pub const ADMIN_LIST_MAX: usize = 100;
