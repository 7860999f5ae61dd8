//! `mosaic blob`: codes, and which files are touched.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::io;

use mosaicd::wire::BlobHash;
use serde_json::Value;
use tempfile::TempDir;

use super::{BYTES_MAX, data, server};
use crate::support::{DevServer, mosaic};

/// Someone at the command line, with a key and files of their own.
struct Person<'a> {
    server: &'a DevServer,
    home: TempDir,
}

impl<'a> Person<'a> {
    fn new(server: &'a DevServer) -> Self {
        let home = TempDir::new().unwrap();
        let person = Self { server, home };
        assert_eq!(person.run(&["key", "new"]).0, 0);
        person
    }

    /// The path of a file of theirs.
    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    /// The names of all their files.
    fn files(&self) -> BTreeSet<String> {
        let files = std::fs::read_dir(self.home.path()).unwrap();
        let name = |file: io::Result<DirEntry>| file.unwrap().file_name();
        files
            .map(|file| name(file).into_string().unwrap())
            .collect()
    }

    /// Runs `mosaic`; the exit code, and what it printed.
    fn run(&self, arguments: &[&str]) -> (i32, Vec<u8>) {
        let mut command = mosaic(self.home.path());
        command
            .env("MOSAIC_SERVER", self.server.name())
            .args(arguments);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), output.stdout)
    }

    /// What a command printed that must succeed.
    fn done(&self, arguments: &[&str]) -> String {
        let (code, output) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}");
        String::from_utf8_lossy(&output).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_hand_files_in_fetch_them_and_end_with_the_right_codes() {
    let server = server(&[]).await;
    let person = Person::new(&server);
    let path = |name: &str| person.path(name);
    let code = |arguments: &[&str]| person.run(arguments).0;
    let (first, second) = (data(1, 200_000), data(2, 0));
    std::fs::write(path("first"), &first).unwrap();
    std::fs::write(path("second"), &second).unwrap();
    std::fs::write(path("large"), data(3, BYTES_MAX + 1)).unwrap();

    let text = person.done(&["blob", "put", "--json", &path("first"), &path("second")]);
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2);
    let hash = BlobHash::of(&first).to_string();
    assert_eq!(rows[0]["hash"], hash.as_str());
    assert_eq!(rows[0]["bytes"], 200_000);
    assert_eq!(rows[0]["result"], "ACCEPTED");
    let text = person.done(&["blob", "put", &path("first")]);
    assert!(text.starts_with(&format!("{hash}  DUPLICATE")), "{text}");
    assert_eq!(code(&["blob", "put", &path("large")]), 1);
    assert_eq!(code(&["blob", "put", "--anonymous", &path("second")]), 1);
    assert_eq!(code(&["blob", "put", &path("absent")]), 2);

    let text = person.done(&["blob", "get", &hash, "-o", &path("copy"), "--json"]);
    let row: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(row["hash"], rows[0]["hash"]);
    assert!(std::fs::read(path("copy")).unwrap() == first);
    assert_eq!(person.run(&["blob", "get", &hash]), (0, first));
    let absent = BlobHash::of(b"absent").to_string();
    assert_eq!(code(&["blob", "get", &absent, "-o", &path("none")]), 1);
    assert_eq!(code(&["blob", "get", "no hash"]), 2);
    let nowhere = path("no/such/folder");
    assert_eq!(code(&["blob", "get", &hash, "-o", &nowhere]), 2);
    assert_eq!(code(&["blob", "get", &hash, "-o", &path("")]), 2);
    let files = person.files();
    assert!(files.contains("copy") && !files.contains("none"));
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fetched_goes_where_the_command_line_says_and_not_to_two_places() {
    let server = server(&[]).await;
    let person = Person::new(&server);
    let blob = data(1, 100_000);
    let hash = BlobHash::of(&blob).to_string();
    std::fs::write(person.path("blob"), &blob).unwrap();
    person.done(&["blob", "put", &person.path("blob")]);
    let copy = person.path("copy");
    let get = ["blob", "get", &hash];
    let said = person.done(&[&get[..], &["--output", &copy]].concat());
    assert!(said.is_empty(), "the output is in the file");
    assert!(std::fs::read(&copy).unwrap() == blob);
    for output in [["-o", "-"], ["--output", "-"]] {
        let run = person.run(&[&get[..], &output].concat());
        assert!(run == (0, blob.clone()), "{output:?}");
    }
    let before = person.files();
    for to in [copy.as_str(), "-"] {
        let both = ["-o", to, "--output", &person.path("other")];
        assert_eq!(person.run(&[&get[..], &both].concat()), (2, Vec::new()));
    }
    assert_eq!(person.files(), before);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_touches_no_file_but_its_own_which_is_whole_at_any_time() {
    let server = server(&[]).await;
    let person = Person::new(&server);
    let path = |name: &str| person.path(name);
    let blob = data(1, 100_000);
    let hash = BlobHash::of(&blob).to_string();
    let absent = BlobHash::of(b"absent").to_string();
    std::fs::write(path("blob"), &blob).unwrap();
    person.done(&["blob", "put", &path("blob")]);
    std::fs::write(path("copy.part"), "mine").unwrap();
    std::fs::write(path("old"), "old").unwrap();
    std::os::unix::fs::symlink(path("old"), path("link")).unwrap();
    std::os::unix::fs::symlink("/dev/null", path("null")).unwrap();
    let before = person.files();

    for name in ["copy", "old", "link", "null"] {
        let run = person.run(&["blob", "get", &absent, "-o", &path(name)]);
        assert_eq!(run, (1, Vec::new()));
    }
    assert_eq!(person.files(), before, "nothing is left");
    assert_eq!(std::fs::read(path("old")).unwrap(), b"old");
    for name in ["copy", "link", "null"] {
        person.done(&["blob", "get", &hash, "-o", &path(name)]);
    }
    for name in ["copy", "old"] {
        assert!(std::fs::read(path(name)).unwrap() == blob, "{name}");
    }
    assert_eq!(std::fs::read(path("copy.part")).unwrap(), b"mine");
    for name in ["link", "null"] {
        let there = std::fs::symlink_metadata(path(name)).unwrap();
        assert!(there.is_symlink(), "{name} leads where it led");
    }
    let mut after = person.files();
    after.remove("copy");
    assert_eq!(after, before);
    server.stop_cleanly().await;
}
