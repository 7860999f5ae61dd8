//! The keys of a scene's players, and the files that the programs need.

use std::net::SocketAddr;
use std::path::Path;

use mosaicd::client::key_file;
use mosaicd::wire::SecretKey;

use crate::Outcome;
use crate::scene::{Prober, Scene, Server};

/// Whom a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Player {
    /// A server, by the number of its key.
    Server(u8),
    /// A prober, by its place in the scene.
    Prober(u8),
    /// The user whom the tested server serves.
    User,
    /// Somebody it does not know.
    Stranger,
}

impl Player {
    /// The player's key, the same in every run.
    pub(crate) fn key(self) -> SecretKey {
        let (kind, number) = match self {
            Self::Server(number) => (1, number),
            Self::Prober(number) => (2, number),
            Self::User => (3, 0),
            Self::Stranger => (4, 0),
        };
        let mut seed = *b"mosaicd laboratory, throw away  ";
        seed[30] = kind;
        seed[31] = number;
        SecretKey::from_seed(seed)
    }

    /// Writes the key to a file in `folder` that others may not read, and returns its path.
    pub(crate) fn key_file(self, folder: &Path) -> Outcome<String> {
        let path = folder.join(format!("{self:?}.key"));
        if !path.exists() {
            key_file::store(&path, &self.key())
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(path.to_str().unwrap().to_owned())
    }
}

/// Prober number `place` of `scene` as others write it: `mosrv0KEY@address`.
pub(crate) fn prober_name(scene: &Scene, place: usize) -> String {
    let key = Player::Prober(u8::try_from(place).unwrap()).key().public();
    let prober = &scene.probers[place];
    format!("{}@{}", key.to_server_string(), prober.known_at)
}

/// The configuration of `server`, whose key is in `key_file`.
pub(crate) fn config(scene: &Scene, server: &Server, key_file: &str, scale: f64) -> String {
    let names = |is_pinned: bool| {
        let chosen = |(place, prober): (usize, &Prober)| {
            (prober.is_pinned == is_pinned).then(|| format!("{:?}", prober_name(scene, place)))
        };
        let names: Vec<String> = scene
            .probers
            .iter()
            .enumerate()
            .filter_map(chosen)
            .collect();
        names.join(", ")
    };
    let list = |addresses: &[SocketAddr]| {
        let quoted: Vec<String> = addresses.iter().map(|at| format!("\"{at}\"")).collect();
        quoted.join(", ")
    };
    format!(
        "name = \"laboratory\"
key_file = \"{key_file}\"
data_dir = \"data\"
listen = [{listen}]
listen_tcp = [{listen_tcp}]
shutdown_timeout = 2

[users]
mode = \"list\"
list = [\"{user}\"]

[application]
ids = [\"1:4\"]
submit = \"authenticated\"

[trace]
level = \"info\"

[reachability]
time_scale = {scale}
probers = [{probers}]
witnesses = [{witnesses}]
{more}",
        listen = list(&server.listen),
        listen_tcp = list(&server.listen_tcp),
        user = Player::User.key().public(),
        probers = names(false),
        witnesses = names(true),
        more = server.reachability,
    )
}
