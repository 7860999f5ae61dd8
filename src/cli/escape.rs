//! Strangers' text made harmless: what a terminal would obey or hide is written out.

use std::io::{self, Write};

use serde_json::ser::Formatter;

/// `text` in one line: line ends are written out too.
pub(super) fn escape_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut safe, character);
    }
    safe
}

/// The lines of `text`, each escaped. A line ends at LF, as strangers' text has no say in how the
/// rest of the output is laid out.
pub(super) fn escaped_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.strip_suffix('\n')
        .unwrap_or(text)
        .split('\n')
        .map(escape_line)
}

fn push(safe: &mut String, character: char) {
    match character {
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        _ if is_harmless(character) => safe.push(character),
        _ => safe.extend(character.escape_unicode()),
    }
}

/// JSON whose strings hold no character that a terminal would obey or hide, so that it can be looked
/// at as it is. To a program it says the same.
pub(super) struct HarmlessJson;

impl Formatter for HarmlessJson {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((place, harmful)) = rest.char_indices().find(|(_, it)| !is_harmless(*it)) {
            let (before, from_here) = rest.split_at(place);
            writer.write_all(before.as_bytes())?;
            for unit in harmful.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = from_here.strip_prefix(harmful).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Whether a terminal shows the character as itself, where it stands.
fn is_harmless(character: char) -> bool {
    if character.is_control() {
        return false;
    }
    !matches!(
        character,
        // Marks, embeddings, overrides and isolates that turn the direction of writing.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Line and paragraph separators.
        | '\u{2028}' | '\u{2029}'
        // Invisible: byte order mark, annotations, tags.
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        let check = |text: &str, expected: &str| assert_eq!(escape_line(text), expected);
        check("plain, größer, 日本, 🦀", "plain, größer, 日本, 🦀");
        check("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}");
        check("\u{9b}2J\u{7f}\u{0}", "\\u{9b}2J\\u{7f}\\u{0}");
        check("a\r\nb\tc", "a\\r\\nb\\tc");
        check("user\u{202e}gpj.exe", "user\\u{202e}gpj.exe");
        check("a\u{2028}b\u{e0041}", "a\\u{2028}b\\u{e0041}");
    }

    #[test]
    fn no_control_character_passes() {
        for character in ('\0'..='\u{10ffff}').filter(|character| character.is_control()) {
            assert!(!escape_line(&character.to_string()).contains(character));
        }
    }

    #[test]
    fn json_is_harmless_and_says_the_same() {
        let text = "a\u{9b}2J \u{7f} \u{202e}x\u{e0041}\u{1b}\n\"größer\"";
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, HarmlessJson);
        serde::Serialize::serialize(text, &mut serializer).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(json.chars().all(is_harmless), "{json}");
        assert!(json.contains("größer"));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn lines_end_at_a_line_feed_and_nowhere_else() {
        let lines: Vec<String> = escaped_lines("one\ntwo\r\n\u{85}three\n").collect();
        assert_eq!(lines, ["one", "two\\r", "\\u{85}three"]);
        assert_eq!(escaped_lines("").collect::<Vec<_>>(), [""]);
    }
}
