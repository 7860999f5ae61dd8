//! Records that exist already, read from a file or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::super::error::CliError;
use super::super::hex;
use crate::base::limits;
use crate::wire::Record;

/// Reads records on a thread of its own, a few ahead of what is handed in.
pub(super) struct RecordSource {
    entries: mpsc::Receiver<Result<ReadEntry, CliError>>,
    size_bytes: Option<u64>,
}

/// One entry of the input.
#[derive(Debug)]
pub(super) struct ReadEntry {
    pub(super) entry: Entry,
    /// Where it ends in the input.
    pub(super) end_bytes: u64,
}

/// What one entry holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Record(Record),
    /// No record; why, and where.
    Bad(String),
}

impl RecordSource {
    /// Opens the file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// [`CliError::Read`].
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let (input, size_bytes): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(|source| read_error(path, source))?;
            let size_bytes = file.metadata().ok().map(|metadata| metadata.len());
            (Box::new(file), size_bytes)
        };
        let (sender, entries) = mpsc::channel(limits::STREAM_SUBMISSIONS_MAX);
        let path = path.to_owned();
        // Ends with the input, or as soon as nobody takes the entries any more.
        std::thread::spawn(move || {
            let send = |entry| sender.blocking_send(entry).is_ok();
            let reader = BufReader::new(input);
            if let Err(source) = read_all(reader, |entry| send(Ok(entry))) {
                send(Err(read_error(&path, source)));
            }
        });
        Ok(Self {
            entries,
            size_bytes,
        })
    }

    /// The next entry; `None` at the end of the input.
    pub(super) async fn next(&mut self) -> Option<Result<ReadEntry, CliError>> {
        self.entries.recv().await
    }

    /// How long the input is, where that is known.
    pub(super) const fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }
}

/// The whole file at `path`, as the payload of one record; `-` is standard input.
///
/// # Errors
/// [`CliError::Read`]; a file that no record can hold is read no further than that shows.
pub(super) fn read_payload(path: &Path) -> Result<Vec<u8>, CliError> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|source| read_error(path, source))?)
    };
    let mut payload = Vec::new();
    let most = u64::try_from(limits::RECORD_MAX_BYTES).unwrap_or(u64::MAX);
    let read = input.take(most).read_to_end(&mut payload);
    read.map_err(|source| read_error(path, source))?;
    Ok(payload)
}

fn read_error(path: &Path, source: io::Error) -> CliError {
    CliError::Read {
        path: PathBuf::from(path),
        source,
    }
}

/// Reads the input to its end, or until `take` wants no more.
fn read_all(mut input: impl BufRead, take: impl FnMut(ReadEntry) -> bool) -> io::Result<()> {
    // The first byte of a record is that of its timestamp: an opening brace in the year 2253.
    match input.fill_buf()?.first() {
        None => Ok(()),
        Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => read_lines(input, take),
        Some(_) => read_raw(input, take),
    }
}

fn read_lines(mut input: impl BufRead, mut take: impl FnMut(ReadEntry) -> bool) -> io::Result<()> {
    let mut end_bytes = 0;
    for number in 1_u64.. {
        let mut line = Vec::new();
        let read = input
            .by_ref()
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        end_bytes += u64::try_from(read).unwrap_or(u64::MAX);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let entry = match parse_line(&line) {
            Ok(record) => Entry::Record(record),
            Err(why) => Entry::Bad(format!("line {number}: {why}")),
        };
        if !take(ReadEntry { entry, end_bytes }) {
            break;
        }
    }
    Ok(())
}

/// One line of JSON. Other keys are ignored.
#[derive(Deserialize)]
struct Line {
    hex: Option<String>,
    morecord: Option<String>,
}

fn parse_line(line: &[u8]) -> Result<Record, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match line {
        Line {
            hex: Some(digits), ..
        } => {
            let bytes = hex::decode(&digits).ok_or("hex is not hexadecimal")?;
            Record::parse(bytes.into()).map_err(|error| error.to_string())
        }
        Line {
            morecord: Some(text),
            ..
        } => text
            .parse()
            .map_err(|error: crate::wire::RecordError| error.to_string()),
        _ => Err("neither hex nor morecord".to_owned()),
    }
}

/// Records one after the other. Where one is broken, nobody knows where the next one starts.
fn read_raw(mut input: impl BufRead, mut take: impl FnMut(ReadEntry) -> bool) -> io::Result<()> {
    let mut end_bytes: u64 = 0;
    loop {
        let start = end_bytes;
        let mut record = Vec::new();
        let bad = |why: &str| Entry::Bad(format!("at byte {start}: {why}; the rest is not read"));
        let mut is_last = true;
        let entry = match read_record(&mut input, &mut record)? {
            Framed::End => return Ok(()),
            Framed::Truncated => bad("the input ends inside a record"),
            Framed::TooLong => bad("the lengths in its header make it longer than a record may be"),
            Framed::Whole => {
                is_last = false;
                match Record::parse(Bytes::from(record.clone())) {
                    Ok(record) => Entry::Record(record),
                    // Its length is known, so the next one can be read.
                    Err(error) => Entry::Bad(format!("at byte {start}: {error}")),
                }
            }
        };
        end_bytes += u64::try_from(record.len()).unwrap_or(u64::MAX);
        if !take(ReadEntry { entry, end_bytes }) || is_last {
            return Ok(());
        }
    }
}

enum Framed {
    Whole,
    End,
    Truncated,
    TooLong,
}

/// Reads the bytes of one record, as many as its header says.
fn read_record(input: &mut impl BufRead, record: &mut Vec<u8>) -> io::Result<Framed> {
    fill(input, record, limits::RECORD_MIN_BYTES)?;
    if record.is_empty() {
        return Ok(Framed::End);
    }
    let Some(lengths) = record.get(144..limits::RECORD_MIN_BYTES) else {
        return Ok(Framed::Truncated);
    };
    let Some(length) = record_length(lengths) else {
        return Ok(Framed::TooLong);
    };
    fill(input, record, length)?;
    Ok(if record.len() == length {
        Framed::Whole
    } else {
        Framed::Truncated
    })
}

/// Reads until `record` has `length` bytes or the input ends.
fn fill(input: &mut impl BufRead, record: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let missing = u64::try_from(length.saturating_sub(record.len())).unwrap_or(u64::MAX);
    input.by_ref().take(missing).read_to_end(record)?;
    Ok(())
}

/// Length of the record with those lengths of tags, signature and payload (`mosaic-wire.md`
/// section 4); `None` where it is longer than a record may be.
fn record_length(lengths: &[u8]) -> Option<usize> {
    let [t0, t1, s0, s1, p0, p1, p2, p3] = *lengths.first_chunk::<8>()?;
    let tags = usize::from(u16::from_le_bytes([t0, t1]));
    let signature = usize::from(u16::from_le_bytes([s0, s1]));
    let payload = usize::try_from(u32::from_le_bytes([p0, p1, p2, p3])).ok()?;
    let mut length = limits::RECORD_MIN_BYTES;
    for part in [tags, payload, signature] {
        length = length.checked_add(part.checked_next_multiple_of(8)?)?;
    }
    (length <= limits::RECORD_MAX_BYTES).then_some(length)
}

/// A record in hexadecimal, the rest of `mosaic query --json` with its payload a second time, and
/// room for keys of others. Longer lines are read in parts, which are no JSON.
const LINE_MAX_BYTES: u64 = 8 * (1 << 20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Kind, RecordBuilder, SecretKey};

    fn record(payload: &str) -> Record {
        let key = SecretKey::from_seed([3; 32]);
        let builder = RecordBuilder::new(Kind::CHAT_MESSAGE, key.public());
        builder.payload(payload.to_owned()).sign(&key).unwrap()
    }

    fn entries(input: &[u8]) -> Vec<Entry> {
        let mut found = Vec::new();
        read_all(input, |read| {
            assert!(read.end_bytes <= input.len() as u64);
            found.push(read.entry);
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn json_lines_hold_records_in_two_forms() {
        let (one, two) = (record("one"), record("two"));
        let input = format!(
            "\n{{\"hex\": \"{}\", \"id\": \"ignored\"}}\n  \n{{\"morecord\": \"{two}\"}}",
            hex::encode(one.bytes()),
        );
        assert_eq!(
            entries(input.as_bytes()),
            [Entry::Record(one), Entry::Record(two)]
        );
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_and_the_next_ones_are_read() {
        let good = record("good");
        let input = format!(
            "{{}}\nnot json\n{{\"hex\": \"zz\"}}\n{{\"hex\": \"00\"}}\n{{\"morecord\": \"{good}\"}}\n"
        );
        let entries = entries(input.as_bytes());
        let (last, bad) = entries.split_last().unwrap();
        assert_eq!(*last, Entry::Record(good));
        for (place, entry) in bad.iter().enumerate() {
            let Entry::Bad(why) = entry else {
                panic!("{entry:?}");
            };
            assert!(why.starts_with(&format!("line {}: ", place + 1)), "{why}");
        }
        assert_eq!(bad.len(), 4);
    }

    #[test]
    fn raw_records_stand_one_after_the_other() {
        let records = [record(""), record("a longer one"), record("three")];
        let input: Vec<u8> = records
            .iter()
            .flat_map(|record| record.bytes().to_vec())
            .collect();
        assert_eq!(entries(&input), records.map(Entry::Record));
        assert_eq!(entries(&[]), []);
    }

    #[test]
    fn a_raw_record_that_is_wrong_but_whole_is_passed_over() {
        let mut broken = record("one").bytes().to_vec();
        broken[136] |= 0x80;
        let good = record("two");
        let input = [&broken[..], good.bytes()].concat();
        let entries = entries(&input);
        assert!(matches!(&entries[..], [Entry::Bad(_), Entry::Record(found)] if *found == good));
    }

    #[test]
    fn raw_input_that_ends_early_or_claims_too_much_ends_the_reading() {
        let whole = record("one");
        for length in 1..whole.bytes().len() {
            let input = &whole.bytes()[..length];
            assert!(matches!(&entries(input)[..], [Entry::Bad(_)]), "{length}");
        }
        let mut huge = whole.bytes().to_vec();
        huge[148..152].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(&entries(&huge)[..], [Entry::Bad(_)]));
    }
}
