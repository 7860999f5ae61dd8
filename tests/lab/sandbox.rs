//! The sandbox: everything runs in namespaces of its own, without a link to the host's network.
//!
//! The process starts itself anew under `unshare`, once. The new process is number 1 of its process
//! namespace, so whatever it started ends with it, however it ends; and what it made of the network
//! and of files ends with the processes.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::Outcome;
use crate::netns::{NETNS_FOLDER, Netns, run};

/// Set in the process that is inside.
const INSIDE: &str = "MOSAICD_LAB_INSIDE";

/// Returns inside the sandbox; outside it, the process becomes `unshare`, which starts it anew.
///
/// # Errors
/// A tool is missing, or the system refuses namespaces: what to do about it. There is no laboratory
/// without them.
pub(crate) fn enter() -> Outcome {
    if std::env::var_os(INSIDE).is_some() {
        return prepare();
    }
    for (tool, arguments, package) in TOOLS {
        check_tool(tool, arguments, package)?;
    }
    let mut flags = vec!["--net", "--mount", "--pid", "--fork", "--kill-child"];
    if !geteuid().is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    try_unshare(&flags)?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let error = Command::new("unshare")
        .args(&flags)
        .arg("--")
        .arg(program)
        .args(arguments)
        .env(INSIDE, "1")
        .exec();
    Err(format!("cannot become unshare: {error}"))
}

/// What the laboratory calls, how each is asked whether it is there, and the package it is in.
const TOOLS: [(&str, &[&str], &str); 3] = [
    ("unshare", &["--version"], "util-linux"),
    ("ip", &["-V"], "iproute2"),
    ("nft", &["--version"], "nftables"),
];

fn check_tool(tool: &str, arguments: &[&str], package: &str) -> Outcome {
    let asked = Command::new(tool)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match asked {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{tool}` does not work: {status}")),
        Err(error) => Err(format!(
            "`{tool}` cannot be run ({error}); it is in the package {package}: \
             apt-get install -y iproute2 nftables util-linux"
        )),
    }
}

/// Tries the namespaces with a command that does nothing, so that a refusal can be explained.
fn try_unshare(flags: &[&str]) -> Outcome {
    let tried = Command::new("unshare")
        .args(flags)
        .args(["--", "true"])
        .output();
    let output = tried.map_err(|error| format!("cannot run unshare: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "this system refuses namespaces (unshare {}: {}); run as root, in a container with \
         CAP_SYS_ADMIN (docker run --privileged), or allow unprivileged user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)",
        flags.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// Gives the sandbox a place of its own for files and for the names of namespaces, and tries what
/// every topology needs.
fn prepare() -> Outcome {
    assert_sealed()?;
    // All of /run, for who is not root outside may make no folder in it.
    run(
        Command::new("mount").args(["-t", "tmpfs", "lab", "/run"]),
        "",
    )?;
    std::fs::create_dir_all(NETNS_FOLDER)
        .map_err(|error| format!("{NETNS_FOLDER} cannot be made: {error}"))?;
    std::fs::create_dir_all(FOLDER).map_err(|error| format!("{FOLDER} cannot be made: {error}"))?;
    let host = Netns::add("try".to_owned())?;
    host.ip("link add one type veth peer name other")
        .map_err(|why| format!("the kernel lacks veth: {why}"))?;
    host.nft(TRY_RULES)
        .map_err(|why| format!("the kernel lacks a part of nftables: {why}"))?;
    host.sysctls(&[("net/netfilter/nf_conntrack_udp_timeout", "30")])
        .map_err(|why| format!("the kernel lacks connection tracking: {why}"))
}

/// The folder for everything that is written. It is in memory, and gone with the last process of
/// the sandbox.
pub(crate) fn folder() -> &'static Path {
    Path::new(FOLDER)
}

/// In the /run of the sandbox.
const FOLDER: &str = "/run/mosaicd-lab";

/// Whatever goes wrong later, nothing can leave: there is no interface but loopback.
fn assert_sealed() -> Outcome {
    let mut list = String::new();
    std::fs::File::open("/proc/self/net/dev")
        .and_then(|mut file| file.read_to_string(&mut list))
        .map_err(|error| format!("/proc/self/net/dev: {error}"))?;
    let others: Vec<&str> = list
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next())
        .map(str::trim)
        .filter(|name| *name != "lo" && !FALLBACK_TUNNELS.contains(name))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the sandbox has interfaces it should not have: {others:?}"
    ))
}

/// Devices that some kernels put into every namespace; they lead nowhere.
const FALLBACK_TUNNELS: [&str; 7] = [
    "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "sit0", "ip6tnl0",
];

const TRY_RULES: &str = "
table inet try {
    set open { type inet_service; flags dynamic,timeout; timeout 10s; }
    chain forward {
        type filter hook forward priority 0;
        ct state established accept
        udp sport 1-65535 update @open { udp sport timeout 10s }
        numgen random mod 100 < 20 drop
    }
    chain prerouting {
        type nat hook prerouting priority dstnat;
        udp dport @open dnat ip to numgen inc mod 2 map { 0 : 10.7.0.11, 1 : 10.7.0.12 }
    }
    chain postrouting { type nat hook postrouting priority srcnat; masquerade fully-random; }
}
";
