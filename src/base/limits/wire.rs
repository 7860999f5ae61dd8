//! What one message, record or text may be.

/// Smallest record: a header of 152 bytes with nothing behind it (`mosaic-wire.md` section 4).
pub const RECORD_MIN_BYTES: usize = 152;

/// Largest record (`mosaic-wire.md` section 4).
pub const RECORD_MAX_BYTES: usize = 1 << 20;

/// Largest filter: its length is a u16, and a multiple of 8 (`mosaic-wire.md` section 6).
pub const FILTER_MAX_BYTES: usize = 65_536;

/// Most bytes of a message that carries a record: the record and its longest message header.
pub const RECORD_MESSAGE_MAX_BYTES: usize = RECORD_MAX_BYTES + 8;

/// Most references in one GET: a page of a long listing; more is a second request.
pub const GET_REFERENCES_MAX: usize = 1_024;

/// Most records a GET returns for one address; a longer history is paged by QUERY.
pub const GET_GROUP_MAX_RECORDS: usize = 1_000;

/// Most application IDs in one HELLO; a client wants a handful.
pub const HELLO_APPS_MAX: usize = 256;

/// Most bytes in the body of an extension message other than synchronisation (`extensions.md`).
pub const EXTENSION_BODY_MAX_BYTES: usize = 64 << 10;

/// Longest table of leap seconds that is read from the system; the real one has 5 KiB.
pub const LEAP_FILE_MAX_BYTES: u64 = 64 << 10;

/// Most included-tag elements of one filter. Each is one more condition, so a handful says a lot;
/// the bound keeps the cost of a match to one look-up per tag of the record.
pub const FILTER_TAG_CONDITIONS_MAX: usize = 64;

/// Nesting of maps and arrays in the body of an extension message; the deepest defined one has 3.
pub const EXTENSION_DEPTH_MAX: usize = 16;

/// Most characters of a `why` that quotes what the peer sent.
pub const WHY_MAX_CHARS: usize = 200;

/// Most bytes of a message that has a type but no defined content (HELLO AUTH, DHT LOOKUP).
pub const UNDEFINED_MESSAGE_MAX_BYTES: usize = 4 << 10;

/// Most keys a key schedule lists. Its tags, 65 535 bytes of 40 each, can name 1 638; a nostr key
/// may be listed twice, for signing and for encryption. One signature check each.
pub const KEY_SCHEDULE_ENTRIES_MAX: usize = 2_048;

/// Most bytes of a profile's payload: a name, a few lines and addresses, never a picture.
pub const PROFILE_MAX_BYTES: usize = 64 << 10;

/// Nesting of maps, arrays and tags in a profile; the defined fields have none.
pub const PROFILE_DEPTH_MAX: usize = 16;

/// Most bytes of a bootstrap text, set by the DHT that carries it (`mosaic-wire.md` section 9).
pub const BOOTSTRAP_MAX_BYTES: usize = 983;

/// Highest cost of an encrypted secret key: 2^22 rounds take 4 GiB, more is an attack.
pub const ENCRYPTED_KEY_MAX_LOG_N: u8 = 22;
