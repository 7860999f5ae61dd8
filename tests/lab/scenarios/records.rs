//! Real clients that publish and subscribe while something happens.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::cast::Player;
use crate::netns::Netns;
use crate::process::{Process, mosaic};

/// Where the server is, as `--server` takes it, and which records are meant.
pub(super) struct Room<'a> {
    pub(super) server: String,
    pub(super) folder: &'a Path,
    /// Arguments that name the role.
    pub(super) role: &'a [&'a str],
    pub(super) kind: &'a str,
    pub(super) author: Player,
}

impl Room<'_> {
    /// Subscribes from `host`, until `count` records were there.
    pub(super) fn subscribe(&self, host: &Netns, count: usize) -> Outcome<Process> {
        let key = Player::Stranger.key_file(self.folder)?;
        let author = self.author.key().public().to_string();
        let mut command = mosaic(
            self.folder,
            &["--json", "--server", &self.server, "--key", &key],
        );
        command
            .args(["subscribe", "--author", &author, "--kind", self.kind])
            .args(["--count", &count.to_string(), "--timeout", "300"])
            .args(self.role);
        Process::start(
            host,
            "subscriber",
            &mut command,
            self.folder.join("subscriber"),
        )
    }

    /// Starts to publish from `host`.
    pub(super) fn publish(&self, host: &Netns) -> Outcome<Publisher> {
        let key = self.author.key_file(self.folder)?;
        let mut command = mosaic(
            self.folder,
            &["--json", "--server", &self.server, "--key", &key],
        );
        command
            .args(["publish", "--stdin-lines", "--kind", self.kind])
            .args(self.role)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Publisher {
            child: host.spawn(&mut command)?,
        })
    }
}

/// A client that publishes what it is told.
pub(super) struct Publisher {
    child: Child,
}

impl Publisher {
    /// Publishes one record.
    pub(super) fn say(&mut self, text: &str) -> Outcome {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{text}").map_err(|error| format!("the publisher ended: {error}"))
    }

    /// Waits until everything was taken.
    pub(super) fn finish(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the publisher failed: {status}")),
        }
    }
}

/// The text of record `number`.
pub(super) fn text(number: usize) -> String {
    format!("record number {number:05}")
}

/// Waits until `subscriber` has every one of `count` records, and checks that it has each once.
pub(super) fn all_once(subscriber: &Process, count: usize, patience: Duration) -> Outcome {
    let begin = Instant::now();
    loop {
        let output = subscriber.output();
        let times: Vec<usize> = (0..count)
            .map(|number| output.matches(&text(number)).count())
            .collect();
        if let Some(twice) = times.iter().position(|times| *times > 1) {
            return Err(format!("record {twice} arrived {} times", times[twice]));
        }
        let missing = times.iter().filter(|times| **times == 0).count();
        if missing == 0 {
            return Ok(());
        }
        if begin.elapsed() > patience {
            return Err(format!(
                "{missing} of {count} records did not arrive\n{}",
                subscriber.tail(5)
            ));
        }
        sleep(Duration::from_millis(100));
    }
}
