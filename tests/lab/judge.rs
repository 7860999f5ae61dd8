//! An independent client, which tries every role.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::Outcome;
use crate::cast::Player;
use crate::netns::Netns;
use crate::process::{finish, mosaic};
use crate::scene::{Door, Scene};

/// What became of the roles when they were tried.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// Where the client stood.
    from: &'static str,
    roles: [(Role, Seen); 4],
}

/// A role, and how it is tried: who delivers what, and who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Outbox,
    Inbox,
    Encryption,
    Application,
}

/// What a client saw of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// A record was taken, and was there to be read.
    Open,
    /// A record was taken, and is not there.
    Absent,
    /// Both were refused, for this reason.
    Closed(String),
    /// Something else.
    Odd(String),
}

impl Tried {
    /// Tries every role of the tested server of `scene`: from outside, at `outside`, if it is
    /// reached there, else from its own host. One that should be open is looked for more patiently.
    pub(crate) fn all(
        scene: &Scene,
        folder: PathBuf,
        outside: SocketAddr,
        is_open: bool,
    ) -> Outcome<Self> {
        Client::find(scene, folder, outside, is_open)?.try_roles()
    }

    /// Tries the further ways to the tested server, each of which must be as the scene says.
    pub(crate) fn doors(scene: &Scene, folder: &Path) -> Outcome {
        for Door {
            host,
            target,
            is_open,
        } in &scene.doors
        {
            let (host, stands) = (
                scene.world.at(host),
                if *host == "cli" { OUTSIDE } else { INSIDE },
            );
            let client = Client::new(scene, folder.to_owned(), (host, stands, target));
            // The reason is that door's own, not the server's verdict.
            let agreed = client.try_roles()?.agrees(*is_open, &[""]);
            agreed.map_err(|why| format!("at {target}: {why}"))?;
        }
        Ok(())
    }

    /// Tries every role of the tested server of `scene` from `host`, at `address`.
    pub(crate) fn from(
        scene: &Scene,
        folder: PathBuf,
        host: &str,
        address: SocketAddr,
    ) -> Outcome<Self> {
        Client::new(
            scene,
            folder,
            (scene.world.at(host), OUTSIDE, &address.to_string()),
        )
        .try_roles()
    }

    /// Compares with what should be: outbox, inbox and encryption open or not, with one of
    /// `verdicts` as the reason, and the application role open always.
    pub(crate) fn agrees(&self, is_open: bool, verdicts: &[&str]) -> Outcome {
        for (role, seen) in &self.roles {
            let is_fine = match (role, seen, is_open) {
                (Role::Application, seen, _) | (_, seen, true) => *seen == Seen::Open,
                // A connection to loopback learns no more than that it is one.
                (_, Seen::Closed(_), false) if self.from == LOOPBACK => true,
                (_, Seen::Closed(why), false) => {
                    verdicts.iter().any(|verdict| why.contains(verdict))
                }
                _ => false,
            };
            if !is_fine {
                return Err(format!("{role:?}, tried from {}: {seen:?}", self.from));
            }
        }
        if is_open && self.from != OUTSIDE {
            return Err("open, but not reached from outside".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (role, seen) in &self.roles {
            let name = format!("{role:?}").to_lowercase();
            match seen {
                Seen::Open => write!(f, "{name} ")?,
                Seen::Closed(_) => write!(f, "({name}) ")?,
                Seen::Absent | Seen::Odd(_) => write!(f, "?{name}? ")?,
            }
        }
        write!(f, "from {}", self.from)
    }
}

const OUTSIDE: &str = "outside";

const INSIDE: &str = "its host";

const LOOPBACK: &str = "loopback";

/// A client that knows where the server is.
struct Client<'a> {
    host: &'a Netns,
    stands: &'static str,
    server: String,
    folder: PathBuf,
    count: u32,
}

impl<'a> Client<'a> {
    fn find(
        scene: &'a Scene,
        folder: PathBuf,
        outside: SocketAddr,
        is_open: bool,
    ) -> Outcome<Self> {
        let server = &scene.servers[0];
        let (cli, own) = (scene.world.at("cli"), scene.world.at(server.host));
        let loopback = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), scene.inside.port());
        let places = [
            (cli, OUTSIDE, outside),
            (own, INSIDE, scene.inside),
            (own, INSIDE, loopback),
        ];
        let mut said = String::new();
        for (host, stands, address) in places {
            let stands = if address.ip().is_loopback() {
                LOOPBACK
            } else {
                stands
            };
            let client = Self::new(scene, folder.clone(), (host, stands, &address.to_string()));
            let tries = if is_open { TRIES_MAX } else { 1 };
            let output = client.run(Player::Stranger, &["info"], tries)?;
            if output.status.success() {
                return Ok(client);
            }
            said += &format!("{stands}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Err(format!("no client reaches the server:\n{said}"))
    }

    fn new(
        scene: &Scene,
        folder: PathBuf,
        (host, stands, target): (&'a Netns, &'static str, &str),
    ) -> Self {
        let key = Player::Server(scene.servers[0].key).key().public();
        Self {
            host,
            stands,
            server: format!("{}@{target}", key.to_server_string()),
            folder,
            count: 0,
        }
    }

    fn try_roles(mut self) -> Outcome<Tried> {
        let roles = [
            Role::Outbox,
            Role::Inbox,
            Role::Encryption,
            Role::Application,
        ];
        let mut tried = Vec::new();
        for role in roles {
            tried.push((role, self.attempt(role)?));
        }
        Ok(Tried {
            from: self.stands,
            roles: tried.try_into().unwrap(),
        })
    }

    /// Runs the client; where it gets no connection, up to `tries` times.
    fn run(&self, as_whom: Player, arguments: &[&str], tries: usize) -> Outcome<Output> {
        let key_file = as_whom.key_file(&self.folder)?;
        let mut command = mosaic(&self.folder, &["--json", "--wait", "4", "--server"]);
        command
            .args([&self.server, "--key", &key_file])
            .args(arguments);
        let mut output = finish(self.host, &mut command)?;
        for _ in 1..tries {
            if output.status.code() != Some(NO_CONNECTION) {
                break;
            }
            output = finish(self.host, &mut command)?;
        }
        Ok(output)
    }

    /// Delivers a record to `role` and reads it there.
    fn attempt(&mut self, role: Role) -> Outcome<Seen> {
        self.count += 1;
        let text = format!(
            "try {} from {} {}",
            self.count,
            self.stands,
            std::process::id()
        );
        let user = Player::User.key().public().to_string();
        let stranger = Player::Stranger.key().public().to_string();
        let (author, address, read_as, more): (_, _, _, &[&str]) = match role {
            Role::Outbox => (
                Player::User,
                &user,
                Player::Stranger,
                &["--kind", "microblog"],
            ),
            Role::Inbox => (
                Player::Stranger,
                &stranger,
                Player::User,
                &["--kind", "microblog", "--notify", &user],
            ),
            Role::Encryption => (
                Player::Stranger,
                &stranger,
                Player::User,
                &["--kind", PRIVATE_MESSAGE, "--notify", &user],
            ),
            Role::Application => (
                Player::Stranger,
                &stranger,
                Player::User,
                &["--kind", "chat"],
            ),
        };
        let name = format!("{role:?}").to_lowercase();
        let mut bind = vec!["--role", name.as_str()];
        if role == Role::Application {
            bind.extend(["--app", "1"]);
        }
        let publish = [&["publish"], more, &bind, &[text.as_str()]].concat();
        let written = self.run(author, &publish, TRIES_MAX)?;
        let query = [&["query", "--author", address.as_str()], bind.as_slice()].concat();
        let mut seen = see(&written, &self.run(read_as, &query, TRIES_MAX)?, &text);
        for _ in 0..READS_MAX {
            if seen != Seen::Absent {
                break;
            }
            // Where two servers share an address, the next connection ends at the other one.
            seen = see(&written, &self.run(read_as, &query, TRIES_MAX)?, &text);
        }
        Ok(seen)
    }
}

fn see(written: &Output, read: &Output, text: &str) -> Seen {
    let say = |output: &Output| {
        format!(
            "{} {} {}",
            output.status,
            String::from_utf8_lossy(&output.stdout).trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    };
    let is_there = String::from_utf8_lossy(&read.stdout).contains(text);
    match (written.status.code(), read.status.code()) {
        (Some(0), Some(0)) if is_there => Seen::Open,
        (Some(0), Some(0)) => Seen::Absent,
        (Some(1), Some(1)) if !is_there => Seen::Closed(say(read)),
        _ => Seen::Odd(format!("publish: {}; query: {}", say(written), say(read))),
    }
}

/// Exit code of a client that was not connected, or lost its connection.
const NO_CONNECTION: i32 = 3;

/// Times that a client tries to connect: one row loses a fifth of all packets.
const TRIES_MAX: usize = 4;

/// Times that a record is looked for again.
const READS_MAX: usize = 2;

/// *Author + tagged*, unique, of application 1.
const PRIVATE_MESSAGE: &str = "0000000100630004";
