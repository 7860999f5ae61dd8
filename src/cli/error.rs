//! What can go wrong in a command, and the exit code of each.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use thiserror::Error;

use super::escape::escape_line;
use super::refusal::Refusal;
use crate::base::Causes;
use crate::client::key_file::KeyFileError;
use crate::client::{BlobError, CatcherError, ConnectError, FollowError, RequestError, StreamEnd};
use crate::wire::{BuildError, FilterError, PublicKey, Reference, TagError};

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0: done.
    Done,
    /// 1: the server refused, or what was asked for is not there.
    Refused,
    /// 2: the command line, a file it names, or the lack of a key.
    Usage,
    /// 3: no connection, or it was lost.
    NoConnection,
    /// 4: the server is not the one it should be, or broke the protocol.
    Protocol,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::NoConnection => 3,
            Exit::Protocol => 4,
        })
    }
}

/// What went wrong.
#[derive(Debug, Error)]
pub(super) enum CliError {
    #[error("no asynchronous runtime")]
    Runtime(#[source] io::Error),
    #[error(
        "cannot tell where the configuration is kept: neither MOSAIC_CONFIG_DIR nor HOME is set"
    )]
    NoConfigDir,
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("key file {}", path.display())]
    KeyFile { path: PathBuf, source: KeyFileError },
    #[error("there is no key at {}; `mosaic key new` makes one", .0.display())]
    NoKey(PathBuf),
    #[error("no password")]
    Password(#[source] io::Error),
    #[error("the two passwords are not the same")]
    PasswordsDiffer,
    #[error("{}, line {line}: expected NAME ADDRESS KEY", path.display())]
    KnownServers { path: PathBuf, line: usize },
    #[error("no server given; use --server, MOSAIC_SERVER, or `mosaic server add`")]
    NoServer,
    #[error("several servers are known ({0}); choose one with --server or MOSAIC_SERVER")]
    WhichServer(String),
    #[error("no server is known by the name {0}; `mosaic server list` shows those that are")]
    UnknownName(String),
    #[error("{text} names no server: {why}")]
    BadServer { text: String, why: String },
    #[error("a server is known by the name {0} already; `mosaic server remove {0}` forgets it")]
    NameTaken(String),
    #[error("{address} holds the key {}, which is not known here; --accept-new remembers it", key.to_server_string())]
    NotTrusted { address: String, key: PublicKey },
    #[error("the server's key was not accepted")]
    Declined,
    #[error("the server's key changed")]
    KeyChanged,
    #[error("{what}: {why}")]
    BadValue { what: &'static str, why: String },
    #[error("{0} is not on this server, so its kind is unknown; give it with --reply-kind")]
    ReplyKind(Reference),
    #[error("cannot make the record")]
    Build(#[from] BuildError),
    #[error("cannot make the tags")]
    Tags(#[from] TagError),
    #[error("cannot make the filter")]
    Filter(#[from] FilterError),
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    #[error("cannot wait for the server to dial back")]
    Listen(#[from] CatcherError),
    #[error("the request failed")]
    Request(#[from] RequestError),
    #[error("the BLOB was not handed in or fetched")]
    Blob(#[from] BlobError),
    #[error("the subscription failed")]
    Follow(#[from] FollowError),
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error(
        "the server sent {0} records that are not what was asked for, or not signed by their signer"
    )]
    BadRecords(u64),
}

impl CliError {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Output(_) if self.is_reader_gone() => Exit::Done,
            Self::Runtime(_)
            | Self::NoConfigDir
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Output(_)
            | Self::KeyFile { .. }
            | Self::NoKey(_)
            | Self::Password(_)
            | Self::PasswordsDiffer
            | Self::KnownServers { .. }
            | Self::NoServer
            | Self::WhichServer(_)
            | Self::UnknownName(_)
            | Self::BadServer { .. }
            | Self::NameTaken(_)
            | Self::BadValue { .. }
            | Self::Build(_)
            | Self::Tags(_)
            | Self::Filter(_)
            | Self::Listen(_) => Exit::Usage,
            Self::NotTrusted { .. } | Self::Declined | Self::KeyChanged | Self::BadRecords(_) => {
                Exit::Protocol
            }
            Self::ReplyKind(_) | Self::Refused(_) => Exit::Refused,
            Self::Connect(error) => exit_of_connect(error),
            Self::Request(error) => exit_of_request(error),
            Self::Blob(error) => match error {
                BlobError::Request(error) => exit_of_request(error),
                BlobError::Refused(_) => Exit::Refused,
                BlobError::WrongData => Exit::Protocol,
                BlobError::Read(_) | BlobError::Short(_) | BlobError::Write(_) => Exit::Usage,
            },
            Self::Follow(error) => match error {
                FollowError::Connect(error) => exit_of_connect(error),
                FollowError::Request(error) => exit_of_request(error),
                FollowError::Closed(_) => Exit::Refused,
                FollowError::Filter(_) => Exit::Usage,
            },
        }
    }

    /// Whether the output went to a pipe whose reader has seen enough.
    pub(super) fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// An error and its causes in one line. Words of the server are among them, so it is escaped.
pub(super) fn chain(error: &dyn Error) -> String {
    escape_line(&Causes(error).to_string())
}

fn exit_of_connect(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Resolve { .. }
        | ConnectError::NoAddress(_)
        | ConnectError::NoAddressFor { .. }
        | ConnectError::Socket(_)
        | ConnectError::Identity(_)
        | ConnectError::Dial { .. }
        | ConnectError::Timeout(_)
        | ConnectError::Handshake { .. }
        | ConnectError::Unreachable { .. }
        | ConnectError::Channel { .. }
        | ConnectError::NoGreeting => Exit::NoConnection,
        ConnectError::Unsupported(_) => Exit::Usage,
        ConnectError::WrongKey { .. } | ConnectError::NoKey(_) => Exit::Protocol,
        ConnectError::Greeting(end) => exit_of_end(end),
        ConnectError::Refused(_) => Exit::Refused,
    }
}

fn exit_of_request(error: &RequestError) -> Exit {
    match error {
        RequestError::End(end) => exit_of_end(end),
        RequestError::Timeout => Exit::NoConnection,
        RequestError::NoExtensions | RequestError::Refused { .. } => Exit::Refused,
        RequestError::OneStream | RequestError::TooManyOpen => Exit::Usage,
    }
}

fn exit_of_end(end: &StreamEnd) -> Exit {
    match end {
        StreamEnd::Lost(_) | StreamEnd::Cut(_) | StreamEnd::Ended | StreamEnd::Dropped => {
            Exit::NoConnection
        }
        StreamEnd::Closing(_) => Exit::Refused,
        StreamEnd::Unrecognized | StreamEnd::Fault(_) => Exit::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ServerFault;
    use crate::wire::ResultCode;

    #[test]
    fn each_error_ends_with_the_code_of_its_kind() {
        let check = |error: CliError, expected| assert_eq!(error.exit(), expected, "{error}");
        check(CliError::NoServer, Exit::Usage);
        check(
            CliError::Refused(Refusal::from(ResultCode::TooOpen)),
            Exit::Refused,
        );
        check(CliError::KeyChanged, Exit::Protocol);
        check(CliError::BadRecords(1), Exit::Protocol);
        let timeout = ConnectError::Timeout(([127, 0, 0, 1], 1).into());
        check(timeout.into(), Exit::NoConnection);
        check(
            ConnectError::Refused(ResultCode::IpPermanentlyBanned).into(),
            Exit::Refused,
        );
        let fault = StreamEnd::Fault(ServerFault::Extension);
        check(RequestError::End(fault).into(), Exit::Protocol);
        check(
            RequestError::End(StreamEnd::Ended).into(),
            Exit::NoConnection,
        );
        check(
            FollowError::Closed(ResultCode::Unauthorized).into(),
            Exit::Refused,
        );
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = CliError::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(gone.exit(), Exit::Done);
        let full = CliError::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit(), Exit::Usage);
    }

    #[test]
    fn causes_follow_the_error_and_a_servers_words_are_escaped() {
        let refused = RequestError::Refused {
            result: ResultCode::TemporaryError,
            why: Some("see \u{1b}[2J".into()),
        };
        let text = chain(&CliError::from(refused));
        assert_eq!(
            text,
            "the request failed: refused: TEMPORARY_ERROR (see \\u{1b}[2J)"
        );
    }
}
