//! The control socket: how `mosaicd status` and `mosaicd check` speak to the server that runs.
//!
//! A Unix socket in the data folder, for the owner of that folder alone. A request is one line, the
//! name of a call; the reply is one line of JSON. Then the connection ends.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::status::{StatusSource, Told};
use crate::base::limits::{
    CONTROL_CONNECTIONS_MAX, CONTROL_REPLY_MAX_BYTES, CONTROL_REQUEST_MAX_BYTES, CONTROL_TIMEOUT,
};

/// What an operator's program may ask of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Call {
    /// What is known at this moment.
    Status,
    /// A whole new test of the reachability, and what is known then.
    Check,
}

impl Call {
    const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Check => "check",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Status, Self::Check]
            .into_iter()
            .find(|call| call.name() == name)
    }
}

/// The server's end. The socket's file is removed when it is dropped.
#[derive(Debug)]
pub(in crate::server) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Where the control socket of the server with that data folder is.
pub(in crate::server) fn control_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

impl ControlSocket {
    /// Opens the socket in the data folder `data_dir`. One that an earlier process left is
    /// replaced: whoever gets here holds the lock of the record store beside it.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::server) fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = control_path(data_dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers requests until it is dropped.
    pub(in crate::server) async fn run(self, source: Arc<StatusSource>) {
        let room = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
        let mut requests = JoinSet::new();
        loop {
            // Cancel safe: a connection that was not taken waits in the socket's queue.
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(joined) = requests.join_next() => {
                    if let Err(error) = joined {
                        tracing::error!(%error, "a request on the control socket panicked");
                    }
                    continue;
                }
            };
            match (accepted, Arc::clone(&room).try_acquire_owned()) {
                (Ok((stream, _)), Ok(permit)) => {
                    let source = Arc::clone(&source);
                    requests.spawn(async move {
                        if let Err(error) = serve(stream, &source).await {
                            tracing::debug!(%error, "a request on the control socket failed");
                        }
                        drop(permit);
                    });
                }
                (Ok(_), Err(_)) => tracing::debug!("too many requests on the control socket"),
                (Err(error), _) => {
                    tracing::warn!(%error, "cannot accept on the control socket");
                    // Out of files, most likely: a moment later there may be some.
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A file that stays is replaced by the next server.
        drop(fs::remove_file(&self.path));
    }
}

async fn serve(stream: UnixStream, source: &StatusSource) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(CONTROL_REQUEST_MAX_BYTES));
    timeout(CONTROL_TIMEOUT, reader.read_line(&mut line)).await??;
    let reply = match Call::from_name(line.trim_end()) {
        Some(Call::Status) => source.status().await,
        Some(Call::Check) => {
            let mut rest = Vec::new();
            tokio::select! {
                reply = source.check() => reply,
                // Whoever asked says nothing more, so this is its end.
                _ = reader.read_to_end(&mut rest) => return Ok(()),
            }
        }
        None => return Err(io::Error::other("a call that is not known")),
    };
    let mut reply = serde_json::to_vec(&reply).map_err(io::Error::other)?;
    reply.push(b'\n');
    timeout(CONTROL_TIMEOUT, writer.write_all(&reply)).await??;
    writer.shutdown().await
}

/// Asks the server whose data folder is `data_dir`. `None` where no server runs there.
///
/// # Errors
/// What the system says, or that the reply makes no sense.
pub(in crate::server) async fn ask(data_dir: &Path, call: Call) -> io::Result<Option<Told>> {
    let stream = match UnixStream::connect(control_path(data_dir)).await {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (reader, mut writer) = stream.into_split();
    let request = format!("{}\n", call.name());
    writer.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    let mut reader = reader.take(CONTROL_REPLY_MAX_BYTES);
    reader.read_to_end(&mut reply).await?;
    if reply.is_empty() {
        return Err(io::Error::other("the server gave no answer"));
    }
    serde_json::from_slice(&reply)
        .map(Some)
        .map_err(io::Error::other)
}

/// Whether a connection failed because no server is there.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
