//! Network namespaces: made, filled and entered by name.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::Outcome;

/// Where `ip netns` keeps its names; the sandbox has one of its own.
pub(crate) const NETNS_FOLDER: &str = "/run/netns";

/// A network namespace: one machine of a topology. Gone when dropped, once nothing runs in it.
pub(crate) struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace that answers to nobody yet: loopback is up, nothing is filtered.
    ///
    /// Addresses can be used at once, without duplicate detection, and packets may come in by
    /// another way than replies go out; a row that wants it stricter says so.
    pub(crate) fn add(name: String) -> Outcome<Self> {
        run(Command::new("ip").args(["netns", "add", &name]), "")?;
        let host = Self { name };
        host.sysctls(&[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/dad_transmits", "0"),
        ])?;
        host.ip("link set dev lo up")?;
        Ok(host)
    }

    /// The name that `ip netns` knows.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` inside, on a thread of its own. Sockets and processes that it makes stay inside.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Outcome<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| enter(&self.name).map(|()| work()));
            inside
                .join()
                .map_err(|_| format!("a thread in {} panicked", self.name))?
        })
    }

    /// Runs a future inside, on a runtime of its own.
    pub(crate) fn block_on<F: Future>(&self, work: impl FnOnce() -> F + Send) -> Outcome<F::Output>
    where
        F::Output: Send,
    {
        self.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            Ok(runtime.block_on(work()))
        })?
    }

    /// Starts a thread inside that lives on by itself.
    pub(crate) fn spawn_thread(&self, work: impl FnOnce() + Send + 'static) {
        let name = self.name.clone();
        // Whoever started it hears of its failure by what it does not do.
        thread::spawn(move || enter(&name).map(|()| work()));
    }

    /// Starts a process inside.
    pub(crate) fn spawn(&self, command: &mut Command) -> Outcome<Child> {
        let started = self.enter(|| command.spawn())?;
        started.map_err(|error| format!("{}: cannot start {command:?}: {error}", self.name))
    }

    /// Commands of `ip`, one a line.
    pub(crate) fn ip(&self, batch: &str) -> Outcome {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name, "-batch", "-"]);
        run(&mut ip, batch).map_err(|why| format!("{}: {why}", self.name))
    }

    /// A rule set, in the language of `nft`.
    pub(crate) fn nft(&self, rules: &str) -> Outcome {
        let loaded = self.enter(|| run(Command::new("nft").args(["-f", "-"]), rules))?;
        loaded.map_err(|why| format!("{}: {why}", self.name))
    }

    /// What `nft` lists, in JSON.
    pub(crate) fn listed(&self, what: &[&str]) -> Outcome<Value> {
        let mut nft = Command::new("nft");
        nft.args(["-j", "list"]).args(what);
        let output = self.enter(|| feed(&mut nft, ""))?;
        let output = output.map_err(|error| format!("{nft:?}: {error}"))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{nft:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Settings below `/proc/sys`.
    pub(crate) fn sysctls(&self, settings: &[(&str, &str)]) -> Outcome {
        self.enter(|| {
            for (name, value) in settings {
                std::fs::write(format!("/proc/sys/{name}"), value)
                    .map_err(|error| format!("{}: cannot set {name}: {error}", self.name))?;
            }
            Ok(())
        })?
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The sandbox ends with the process anyhow, so a name that is left behind hurts nobody.
        drop(run(
            Command::new("ip").args(["netns", "del", &self.name]),
            "",
        ));
    }
}

fn enter(name: &str) -> Outcome {
    let path = format!("{NETNS_FOLDER}/{name}");
    let file = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(file.as_fd(), kind)
        .map_err(|error| format!("cannot enter {name}: {error}"))
}

/// Runs `command` with `input` to its end.
pub(crate) fn run(command: &mut Command, input: &str) -> Outcome {
    match feed(command, input) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{command:?}: {}\n{input}", said.trim()))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn feed(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read to the end says itself what it did not like.
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait_with_output()
}
