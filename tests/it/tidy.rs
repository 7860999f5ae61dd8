//! The rules of the code base that a compiler does not hold: which module may import which, how long
//! files and functions may be, and that no source file is dead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may import from this crate. Arrows only go down.
const IMPORTS: [(&str, &[&str]); 19] = [
    ("bin/mosaicd", &["config", "server"]),
    ("bin/mosaic", &["cli"]),
    ("lib", &[]),
    ("cli", &["client", "config", "reach", "wire", "base"]),
    (
        "server",
        &[
            "admin", "reach", "net", "session", "fanout", "policy", "store", "verify", "identity",
            "config", "wire", "base",
        ],
    ),
    (
        "admin",
        &["store", "policy", "reach", "config", "wire", "base"],
    ),
    ("reach", &["client", "wire", "base"]),
    ("client", &["identity", "wire", "base"]),
    (
        "net",
        &["session", "store", "fanout", "identity", "wire", "base"],
    ),
    ("session", &["policy", "identity", "wire", "base"]),
    ("fanout", &["store", "policy", "wire", "base"]),
    ("policy", &["identity", "wire", "base"]),
    ("store", &["wire", "base"]),
    ("verify", &["wire", "base"]),
    ("identity", &["verify", "wire", "base"]),
    ("config", &["wire", "base"]),
    ("wire", &["base"]),
    ("base", &[]),
    ("tests", &[]),
];

/// External crates that only some modules may name.
const ONLY_IN: [(&str, &[&str]); 3] = [
    ("quinn", &["net", "client", "identity"]),
    ("rustls", &["net", "client", "identity"]),
    ("rocksdb", &["store"]),
];

/// Modules that are pure and know no runtime.
const WITHOUT_TOKIO: [&str; 3] = ["wire", "policy", "session"];

const FILE_MAX_LINES: usize = 600;
const FUNCTION_MAX_LINES: usize = 70;

struct Source {
    path: PathBuf,
    module: String,
    /// The text with comments, strings and character literals blanked out; line breaks stay.
    code: String,
}

impl Source {
    /// Whether the file is compiled for tests alone; those may reach across the tree to build what they test.
    fn is_test(&self) -> bool {
        self.path.iter().any(|part| {
            let part = part.to_str().unwrap();
            part == "tests" || part == "testing.rs" || part.ends_with("tests.rs")
        })
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    rust_files(&root().join(folder), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no source file under {folder}");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let inside = path.strip_prefix(root().join(folder)).unwrap();
            Source {
                module: module_of(inside),
                code: blank(&text),
                path,
            }
        })
        .collect()
}

fn module_of(inside_src: &Path) -> String {
    let mut parts = inside_src.iter().map(|part| part.to_str().unwrap());
    let first = parts.next().unwrap();
    let stem = |name: &str| name.trim_end_matches(".rs").to_owned();
    match (first, parts.next()) {
        ("bin", Some(name)) => format!("bin/{}", stem(name)),
        (first, _) => stem(first),
    }
}

/// Replaces what is no code by spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).unwrap_or(at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

/// Where the comment, string or character literal that begins at `at` ends, if one begins there.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1).copied().unwrap_or(' ');
    match chars[at] {
        '/' if next == '/' => Some(find(chars, at, |window| window[0] == '\n')),
        '/' if next == '*' => Some(block_comment_end(chars, at)),
        '"' => Some(string_end(chars, at)),
        'r' if (next == '"' || next == '#') && !word_before(chars, at) => raw_string_end(chars, at),
        '\'' if next == '\\' => Some(find(chars, at + 3, |window| window[0] == '\'') + 1),
        '\'' if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

fn word_before(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too; any other letter before the `r` makes it part of a name.
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b'
}

fn find(chars: &[char], from: usize, is_end: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|at| is_end(&chars[*at..]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut place = at;
    while place + 1 < chars.len() {
        match (chars[place], chars[place + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                place += 1;
                continue;
            }
        }
        place += 2;
        if depth == 0 {
            return place;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut place = at + 1;
    while place < chars.len() && chars[place] != '"' {
        place += if chars[place] == '\\' { 2 } else { 1 };
    }
    place + 1
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let closing = |window: &[char]| {
        window[0] == '"' && window.len() > hashes && window[1..=hashes].iter().all(|c| *c == '#')
    };
    Some(find(chars, at + 2 + hashes, closing) + 1 + hashes)
}

/// The names that follow `prefix` in `code`, also inside `prefix{a, b::c}`.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut expects_name = true;
        for (place, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expects_name = true,
                c if c.is_alphanumeric() && expects_name => {
                    names.insert(word(&group[place..]));
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn mentions(code: &str, krate: &str) -> bool {
    code.match_indices(krate).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let after = &code[at + krate.len()..];
        let is_path =
            after.starts_with("::") || after.starts_with(';') || after.starts_with(" as ");
        is_path && !before.is_alphanumeric() && before != '_' && before != ':' && before != '.'
    })
}

/// Length in lines of every function, with the line of its `fn`.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let mut lengths = Vec::new();
    let starts = code.match_indices("fn ").map(|(at, _)| at).filter(|at| {
        code[..*at]
            .chars()
            .next_back()
            .is_none_or(|before| before.is_whitespace() || before == '(')
    });
    for at in starts {
        // A body opens with the first brace outside brackets; a `;` before it means there is none.
        let mut depth = 0_i32;
        let mut open = None;
        for (place, c) in code[at..].char_indices() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                '{' if depth == 0 => {
                    open = Some(at + place);
                    break;
                }
                ';' if depth == 0 => break,
                _ => {}
            }
            if depth < 0 {
                break;
            }
        }
        let Some(open) = open else { continue };
        let mut braces = 0_i32;
        let close = code[open..]
            .char_indices()
            .find(|(_, c)| {
                braces += i32::from(*c == '{') - i32::from(*c == '}');
                braces == 0
            })
            .map_or(code.len(), |(place, _)| open + place);
        let line = code[..at].matches('\n').count() + 1;
        lengths.push((line, code[at..close].matches('\n').count() + 1));
    }
    lengths
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn imports_only_go_down_the_module_tree() {
    let allowed: BTreeMap<&str, &[&str]> = IMPORTS.into_iter().collect();
    let mut problems = Vec::new();
    for source in sources("src")
        .into_iter()
        .filter(|source| !source.is_test())
    {
        let Some(may) = allowed.get(source.module.as_str()) else {
            problems.push(format!(
                "{}: a module that the tree does not name",
                source.path.display()
            ));
            continue;
        };
        let own = names_after(&source.code, "crate::");
        let from_bin = names_after(&source.code, "mosaicd::");
        for name in own.iter().chain(&from_bin) {
            let is_module = allowed.contains_key(name.as_str());
            if is_module && *name != source.module && !may.contains(&name.as_str()) {
                problems.push(format!("{}: imports {name}", source.path.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn external_crates_stay_in_the_modules_that_wrap_them() {
    let mut problems = Vec::new();
    for source in sources("src") {
        for (krate, modules) in ONLY_IN {
            if mentions(&source.code, krate) && !modules.contains(&source.module.as_str()) {
                problems.push(format!("{}: names {krate}", source.path.display()));
            }
        }
        let pure = WITHOUT_TOKIO.contains(&source.module.as_str());
        if pure && mentions(&source.code, "tokio") {
            problems.push(format!("{}: names tokio", source.path.display()));
        }
    }
    assert_none(&problems);
}

#[test]
fn files_and_functions_stay_short() {
    let mut problems = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for source in sources(folder) {
            let lines = source.code.lines().count();
            if lines > FILE_MAX_LINES {
                problems.push(format!("{}: {lines} lines", source.path.display()));
            }
            for (line, length) in functions(&source.code) {
                if length > FUNCTION_MAX_LINES {
                    problems.push(format!(
                        "{}:{line}: a function of {length} lines",
                        source.path.display()
                    ));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn binaries_are_thin() {
    for (name, most) in [("mosaicd", 100), ("mosaic", 60)] {
        let text = fs::read_to_string(root().join(format!("src/bin/{name}.rs"))).unwrap();
        assert!(
            text.lines().count() < most,
            "src/bin/{name}.rs has {} lines",
            text.lines().count()
        );
    }
}

#[test]
fn every_source_file_is_part_of_the_crate() {
    let mut problems = Vec::new();
    for source in sources("src").iter().chain(&sources("tests/it")) {
        let folder = source.path.parent().unwrap();
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        let is_root = folder.ends_with("bin") || matches!(stem, "lib" | "main");
        if is_root {
            continue;
        }
        // `a/mod.rs` is declared beside the folder `a`, any other file in its own folder or beside it.
        let (name, home) = if stem == "mod" {
            (
                folder.file_name().unwrap().to_str().unwrap(),
                folder.parent().unwrap(),
            )
        } else {
            (stem, folder)
        };
        let beside = home.with_extension("rs");
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|file| home.join(file));
        let declared = parents.iter().chain([&beside]).any(|parent| {
            let text = fs::read_to_string(parent).unwrap_or_default();
            blank(&text).lines().any(|line| {
                let line = line.trim();
                line.ends_with(&format!("mod {name};"))
            })
        });
        if !declared {
            problems.push(format!(
                "{}: no `mod {name};` names it",
                source.path.display()
            ));
        }
    }
    assert_none(&problems);
}

#[test]
fn the_top_level_holds_what_was_agreed_and_nothing_else() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "certs",
        "docs",
        "tests",
        "benches",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ];
    let mut missing: BTreeSet<&str> = agreed.into_iter().collect();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        assert!(missing.remove(name.as_str()), "the top level has {name}");
    }
    assert!(missing.is_empty(), "the top level lacks {missing:?}");
}

#[test]
fn the_scanner_sees_code_and_nothing_but_code() {
    let code = blank(
        "let a = \"fn x() {\"; // fn y() {\n/* { /* { */ */ let b = '{'; r#\"{\"#; 'a: loop {}",
    );
    assert_eq!(code.matches('{').count(), 1, "{code}");
    assert_eq!(
        names_after(
            "use crate::{base::limits, wire::{Kind, Tag}};\ncrate::store::x();",
            "crate::"
        ),
        ["base", "store", "wire"].map(String::from).into()
    );
    assert!(mentions("use tokio::sync;", "tokio"));
    assert!(!mentions("let tokio_like = crate::tokio::x;", "tokio"));
    assert_eq!(
        functions("fn a(x: [u8; 2]) -> u8 {\n\n}\ntrait T { fn b(); }"),
        [(1, 3)]
    );
}
