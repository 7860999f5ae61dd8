//! The onion services of Tor's configuration files.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tracing::debug;

use super::target;
use crate::base::limits;

/// The targets of the onion services in `files` and in what they include, each with its file.
///
/// A file that cannot be read is passed over. Reads at most
/// [`TORRC_FILES_MAX`](limits::TORRC_FILES_MAX) files, and of each
/// [`TORRC_MAX_BYTES`](limits::TORRC_MAX_BYTES).
pub(super) fn services(files: &[PathBuf]) -> Vec<(PathBuf, SocketAddr)> {
    let mut waiting: VecDeque<PathBuf> = files.iter().cloned().collect();
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut found = Vec::new();
    while let Some(file) = waiting.pop_front() {
        if seen.len() >= limits::TORRC_FILES_MAX {
            debug!("more configuration files of Tor than are looked at");
            break;
        }
        // A file that includes itself is read once.
        if seen.contains(&file) {
            continue;
        }
        match read(&file) {
            Ok(text) => {
                for (keyword, value) in lines(&text) {
                    if keyword.eq_ignore_ascii_case("HiddenServicePort") {
                        found.extend(target(&value).map(|target| (file.clone(), target)));
                    } else if keyword.eq_ignore_ascii_case("%include") {
                        let path = value.trim().trim_matches('"');
                        let folder = file.parent().unwrap_or(Path::new("/"));
                        waiting.extend(included(&folder.join(path)));
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                debug!(file = %file.display(), %error, "cannot read a configuration of Tor");
            }
        }
        seen.push(file);
    }
    found
}

fn read(file: &Path) -> io::Result<String> {
    // Of a pipe nobody knows when it would end.
    if !fs::metadata(file)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::open(file)?
        .take(limits::TORRC_MAX_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Keyword and value of each line. A line that ends in a backslash goes on in the next one.
fn lines(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut rest = text.lines();
    let logical = std::iter::from_fn(move || {
        let mut whole = without_comment(rest.next()?).to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match rest.next() {
                Some(next) => whole.push_str(without_comment(next)),
                None => break,
            }
        }
        Some(whole)
    });
    logical.filter_map(|line| {
        let line = line.trim();
        let (keyword, value) = line.split_once(char::is_whitespace)?;
        Some((keyword.to_owned(), value.trim().to_owned()))
    })
}

fn without_comment(line: &str) -> &str {
    line.split_once('#')
        .map_or(line, |(before, _)| before)
        .trim_end()
}

/// The files that an inclusion of `path` means: a file, those of a folder, or those that match a
/// pattern in the last part of the path. In the order of their names, as Tor reads them.
fn included(path: &Path) -> Vec<PathBuf> {
    let pattern = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    match pattern {
        Some(pattern) if pattern.contains(['*', '?']) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            listed(folder, |name| matches(&pattern, name))
        }
        _ if path.is_dir() => listed(path, |_| true),
        _ => vec![path.to_owned()],
    }
}

fn listed(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.take(limits::TORRC_ENTRIES_MAX).flatten();
    let wanted = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| !name.starts_with('.') && is_wanted(&name))
    };
    let mut files: Vec<PathBuf> = names.map(|entry| entry.path()).filter(wanted).collect();
    files.retain(|path| path.is_file());
    files.sort_unstable();
    files
}

/// Whether `name` matches `pattern`, in which `*` stands for anything and `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the last `*` stands, and how far the name was when it was met.
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some(wanted), _) if *wanted == '?' || name.get(seen) == Some(wanted) => {
                at += 1;
                seen += 1;
            }
            // It stands for one character more than thought so far.
            (_, Some((place, from))) => {
                star = Some((place, from + 1));
                at = place + 1;
                seen = from + 1;
            }
            (_, None) => return false,
        }
    }
    let rest = pattern.get(at..).unwrap_or_default();
    rest.iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_tor_reads_them() {
        let text = "# HiddenServicePort 1\n\n  SocksPort  0 # none\nHiddenServicePort 80 \\\n \
                    127.0.0.1:1320\r\nalone\nLast 1\\";
        let read: Vec<_> = lines(text).collect();
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("SocksPort", "0"),
            ("HiddenServicePort", "80  127.0.0.1:1320"),
            ("Last", "1"),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        };
        check("*", "", true);
        check("*.conf", "a.conf", true);
        check("*.conf", "a.conf.old", false);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("*a*b", "xaybzb", true);
        check("*a*b", "xaybz", false);
        check("**", "x", true);
    }
}
