//! Programs that run in a world.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mosaicd::config::ENVIRONMENT_LABORATORY;

use crate::Outcome;
use crate::netns::Netns;

/// A program that runs until this is dropped; what it writes goes to a file.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in `host`; `log` takes what it writes.
    pub(crate) fn start(
        host: &Netns,
        name: &str,
        command: &mut Command,
        log: PathBuf,
    ) -> Outcome<Self> {
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let both = file.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(file).stderr(both);
        Ok(Self {
            child: host.spawn(command)?,
            name: name.to_owned(),
            log,
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits for a line that contains `text`.
    ///
    /// # Errors
    /// The program ended, or took too long.
    pub(crate) fn wait_for(&mut self, text: &str) -> Outcome {
        let begin = Instant::now();
        while begin.elapsed() < START_PATIENCE {
            if self.output().lines().any(|line| line.contains(text)) {
                return Ok(());
            }
            self.check()?;
            sleep(Duration::from_millis(10));
        }
        Err(format!(
            "{} does not say {text}:\n{}",
            self.name,
            self.tail(20)
        ))
    }

    /// Whether the program still runs.
    ///
    /// # Errors
    /// How it ended.
    pub(crate) fn check(&mut self) -> Outcome {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended: {status}\n{}", self.name, self.tail(20))),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// All that the program wrote so far.
    pub(crate) fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of it.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let output = self.output();
        let all: Vec<&str> = output.lines().collect();
        let from = all.len().saturating_sub(lines);
        all.get(from..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `command` in `host` to its end, which must come in time.
pub(crate) fn finish(host: &Netns, command: &mut Command) -> Outcome<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = host.spawn(command)?;
    child
        .wait_with_output()
        .map_err(|error| format!("{command:?}: {error}"))
}

/// `mosaicd` with `arguments`.
pub(crate) fn mosaicd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaicd"));
    command
        .args(arguments)
        .env_clear()
        .env(ENVIRONMENT_LABORATORY, "1");
    command
}

/// `mosaic` with its configuration in `folder`.
pub(crate) fn mosaic(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    command
        .env_clear()
        .arg("--config-dir")
        .arg(folder)
        .args(arguments);
    command
}

/// A server opens its store and binds its sockets in well under a second; a loaded machine is slow.
const START_PATIENCE: Duration = Duration::from_secs(30);
