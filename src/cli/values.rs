//! Values of flags that need more than a type's own reading.

use std::str::FromStr;
use std::time::Duration;

use super::hex;
use crate::base::Role;
use crate::wire::{TagError, TagKind, TagsBuilder, Timestamp};

/// Reads a time: nanoseconds, RFC 3339, or how long ago (`90s`, `5m`, `2h`, `7d`, `1w`).
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    match ago(text) {
        Some(span) => Ok(Timestamp::now().saturating_sub(span)),
        None => text
            .parse()
            .map_err(|error| format!("{error}, nor how long ago, like 90s, 5m, 2h, 7d")),
    }
}

/// Reads a span of time, in the units of how long ago something was.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    ago(text).ok_or_else(|| "not a span of time, like 90s, 5m, 2h, 7d".to_owned())
}

/// Reads a role's name.
pub(super) fn role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
        format!("not one of {}", names.join(", "))
    })
}

fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds_each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let count = text.strip_suffix(unit)?;
    let is_count = !count.is_empty() && count.bytes().all(|digit| digit.is_ascii_digit());
    let count: u64 = is_count.then(|| count.parse().ok())??;
    count.checked_mul(seconds_each).map(Duration::from_secs)
}

/// One tag, as `TYPE:HEXVALUE`; the type is decimal, or hexadecimal behind `0x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TagValue {
    kind: TagKind,
    value: Vec<u8>,
}

impl TagValue {
    /// `tags` with this one behind them.
    pub(super) fn add_to(&self, tags: TagsBuilder) -> Result<TagsBuilder, TagError> {
        tags.raw(self.kind, &self.value)
    }
}

impl FromStr for TagValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once(':').ok_or("expected TYPE:HEXVALUE")?;
        let kind = match kind.strip_prefix("0x") {
            Some(digits) if !digits.starts_with('+') => u16::from_str_radix(digits, 16),
            _ => kind.parse(),
        };
        Ok(Self {
            kind: TagKind(kind.map_err(|_| "the type is not a number up to 65535")?),
            value: hex::decode(value).ok_or("the value is not hexadecimal")?,
        })
    }
}

/// Tags of which a record must have one: `TYPE:HEXVALUE`, several separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TagChoice(Vec<TagValue>);

impl TagChoice {
    /// The tags, one behind the other.
    pub(super) fn tags(&self) -> Result<TagsBuilder, TagError> {
        let none = TagsBuilder::new();
        self.0.iter().try_fold(none, |tags, tag| tag.add_to(tags))
    }
}

impl FromStr for TagChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_how_long_ago() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("5m", 300),
            ("2h", 7_200),
            ("1w", 604_800),
        ] {
            assert_eq!(ago(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert!(time("2h").unwrap() < Timestamp::now());
        assert_eq!(time("77").unwrap().nanos(), 77);
        assert!(time("2025-01-31T12:00:00Z").is_ok());
        for text in [
            "",
            "h",
            "-2h",
            "+2h",
            "2x",
            "99999999999999999999d",
            "yesterday",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_is_its_type_and_the_digits_of_its_value() {
        let check = |text: &str, kind, value: &[u8]| {
            let expected = TagValue {
                kind: TagKind(kind),
                value: value.to_vec(),
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        };
        check("1:", 1, &[]);
        check("0x22:00ff", 0x22, &[0, 255]);
        check("65535:AB", 65_535, &[0xab]);
        for text in [
            "", "1", "65536:00", "x:00", "1:0", "1:0g", "0x+1:00", "-1:00",
        ] {
            assert!(text.parse::<TagValue>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags_of_one_choice_are_separated_by_commas() {
        let choice: TagChoice = "5:01,6:02".parse().unwrap();
        let tags = choice.tags().unwrap().into_bytes();
        assert_eq!(tags, [5, 0, 5, 0, 1, 5, 0, 6, 0, 2]);
        assert!("5:01,".parse::<TagChoice>().is_err());
    }

    #[test]
    fn a_role_has_its_own_name_only() {
        assert_eq!(role("inbox"), Ok(Role::Inbox));
        assert!(role("operator").is_err());
    }
}
