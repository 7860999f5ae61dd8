//! The one list of known keys.

/// What a value may look like before its range is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// Text that names a file or folder.
    Path,
    Integer,
    Boolean,
    Number,
    TextList,
    /// A word, or a list of words and numbers.
    WordOrList,
}

impl Form {
    /// The form in words, for an error.
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Path => "a path, as a text",
            Self::Integer => "an integer",
            Self::Boolean => "true or false",
            Self::Number => "a number",
            Self::TextList => "a list of texts",
            Self::WordOrList => "a text, or a list of texts and integers",
        }
    }
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its dotted path in the file, such as `users.max`.
    pub path: &'static str,
    pub(super) form: Form,
}

const fn key(path: &'static str, form: Form) -> Key {
    Key { path, form }
}

/// Every key there is, in the order of `docs/CONFIG.md`.
pub const KEYS: &[Key] = &[
    key("name", Form::Text),
    key("description", Form::Text),
    key("contact", Form::Text),
    key("terms", Form::Text),
    key("key_file", Form::Path),
    key("key_password_file", Form::Path),
    key("data_dir", Form::Path),
    key("listen", Form::TextList),
    key("listen_tcp", Form::TextList),
    key("roles", Form::TextList),
    key("shutdown_timeout", Form::Integer),
    key("operators", Form::TextList),
    key("users.mode", Form::Text),
    key("users.list", Form::TextList),
    key("users.max", Form::Integer),
    key("quotas.records", Form::Integer),
    key("quotas.bytes", Form::Integer),
    key("quotas.delivered_records", Form::Integer),
    key("quotas.delivered_bytes", Form::Integer),
    key("inbox.public", Form::Boolean),
    key("inbox.moderation", Form::Text),
    key("application.ids", Form::WordOrList),
    key("application.submit", Form::WordOrList),
    key("blobs.enabled", Form::Boolean),
    key("blobs.submit", Form::Text),
    key("blobs.read", Form::Text),
    key("blobs.bytes_max", Form::Integer),
    key("blobs.user_bytes", Form::Integer),
    key("reachability.probers", Form::TextList),
    key("reachability.witnesses", Form::TextList),
    key("reachability.urls", Form::TextList),
    key("reachability.accept_static_nat", Form::TextList),
    key("reachability.allow_ipv6_only", Form::Boolean),
    key("reachability.probe_others", Form::Boolean),
    key("reachability.torrc", Form::TextList),
    key("reachability.tor_control", Form::Text),
    key("reachability.time_scale", Form::Number),
    key("limits.connections", Form::Integer),
    key("limits.query_results", Form::Integer),
    key("limits.query_scan", Form::Integer),
    key("limits.wide_filters", Form::Text),
    key("limits.network_threads", Form::Integer),
    key("limits.verify_threads", Form::Integer),
    key("rates.handshakes", Form::Integer),
    key("rates.streams", Form::Integer),
    key("rates.submissions", Form::Integer),
    key("rates.submissions_burst", Form::Integer),
    key("rates.bytes", Form::Integer),
    key("rates.query_rows", Form::Integer),
    key("rates.burst", Form::Integer),
    key("rates.connections", Form::Integer),
    key("rates.user_factor", Form::Integer),
    key("rates.loopback_factor", Form::Integer),
    key("store.free_space_floor", Form::Integer),
    key("trace.level", Form::Text),
    key("trace.format", Form::Text),
];

/// The known key with exactly that path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The environment variable that overrides the key at `path`: `users.max` is `MOSAICD_USERS_MAX`.
#[must_use]
pub fn environment_name(path: &str) -> String {
    format!(
        "{ENVIRONMENT_PREFIX}{}",
        path.replace('.', "_").to_uppercase()
    )
}

/// The known key whose path is nearest to `path`, by edit distance.
#[must_use]
pub fn nearest(path: &str) -> &'static str {
    KEYS.iter()
        .map(|key| (edit_distance(path, key.path), key.path))
        .min()
        .map_or("", |(_, known)| known)
}

/// The known key whose environment variable was probably meant by `name`, if one is near.
///
/// Only near misses count: a variable that merely begins alike may belong to someone else (an
/// orchestrator sets `MOSAICD_SERVICE_HOST` for a service of that name).
pub(super) fn near_environment_name(name: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|key| (edit_distance(name, &environment_name(key.path)), key.path))
        .min()
        .filter(|(distance, _)| *distance <= ENVIRONMENT_SLIP_MAX_EDITS)
        .map(|(_, path)| path)
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two texts.
///
/// Names beyond [`NAME_MAX_CHARS`] are cut: a wrong key may be as long as its file.
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(NAME_MAX_CHARS).collect();
    let right: Vec<char> = right.chars().take(NAME_MAX_CHARS).collect();
    let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.iter().enumerate() {
        let mut row = Vec::with_capacity(right.len() + 1);
        row.push(i + 1);
        for (j, to) in right.iter().enumerate() {
            let replaced = cell(&last, j) + usize::from(from != to);
            let removed = cell(&last, j + 1) + 1;
            let added = cell(&row, j) + 1;
            let mut best = replaced.min(removed).min(added);
            let swapped =
                i > 0 && j > 0 && left.get(i - 1) == Some(to) && right.get(j - 1) == Some(from);
            if swapped {
                best = best.min(cell(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    cell(&last, right.len())
}

/// What the name of every environment variable of the server begins with.
pub(super) const ENVIRONMENT_PREFIX: &str = "MOSAICD_";

/// Most edits at which a wrong variable is taken for a slip of the pen.
const ENVIRONMENT_SLIP_MAX_EDITS: usize = 2;

/// Longest part of a name that is compared.
const NAME_MAX_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_insertions_deletions_replacements_and_swaps() {
        let check = |left: &str, right: &str, expected: usize| {
            assert_eq!(edit_distance(left, right), expected, "{left} {right}");
            assert_eq!(edit_distance(right, left), expected, "{right} {left}");
        };
        check("", "", 0);
        check("", "abc", 3);
        check("listen", "listen", 0);
        check("lisen", "listen", 1);
        check("lisetn", "listen", 1);
        check("Listen", "listen", 1);
        check("kitten", "sitting", 3);
    }

    #[test]
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        assert_eq!(nearest("user.mode"), "users.mode");
        assert_eq!(nearest("lisetn"), "listen");
        assert_eq!(nearest("store.free_space"), "store.free_space_floor");
    }

    #[test]
    fn only_a_slip_in_an_environment_name_is_taken_for_a_key() {
        assert_eq!(
            near_environment_name("MOSAICD_USERS_MOD"),
            Some("users.mode")
        );
        assert_eq!(near_environment_name("MOSAICD_SERVICE_HOST"), None);
        assert_eq!(near_environment_name("MOSAICD_PORT"), None);
    }

    #[test]
    fn no_two_keys_share_an_environment_name() {
        let mut names: Vec<String> = KEYS.iter().map(|key| environment_name(key.path)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn every_key_is_documented_with_its_environment_name() {
        let page = include_str!("../../docs/CONFIG.md");
        for key in KEYS {
            let row = format!("| `{}` |", key.path);
            assert!(
                page.contains(&row),
                "docs/CONFIG.md has no row for {}",
                key.path
            );
        }
    }
}
