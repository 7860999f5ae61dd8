//! The onion services that Tor's control port tells of.
//!
//! # Source
//! Tor's control-spec: PROTOCOLINFO, AUTHCHALLENGE, AUTHENTICATE, GETCONF.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::target;
use crate::base::limits;

/// Where Tor is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ControlAddress {
    /// A port of this machine's loopback interface.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl ControlAddress {
    /// Reads an address and port on loopback, or an absolute path, with or without `unix:`. `None`
    /// for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let path = Path::new(text.strip_prefix("unix:").unwrap_or(text));
        if path.is_absolute() {
            return Some(Self::Unix(path.to_owned()));
        }
        let address: SocketAddr = text.parse().ok()?;
        // What is told there is told to this machine's users alone.
        address.ip().is_loopback().then_some(Self::Tcp(address))
    }
}

/// Why the control port tells nothing.
#[derive(Debug, Error)]
pub(super) enum ControlError {
    /// It cannot be reached, or went away.
    #[error("no connection")]
    Io(#[from] io::Error),
    /// It did not answer within [`TOR_CONTROL_TIMEOUT`](limits::TOR_CONTROL_TIMEOUT).
    #[error("no answer in time")]
    Timeout,
    /// It answered with an error, or with what is no answer.
    #[error("it says: {0}")]
    Said(String),
    /// It wants a password, which is not known here.
    #[error("it wants a password")]
    Password,
    /// The cookie file that it names is none, or is not its own.
    #[error("it does not prove to know its cookie")]
    Cookie,
}

/// The targets of the onion services in Tor's configuration as it is now. Those that a program set
/// up are not among them, for Tor does not tell where they lead.
pub(super) async fn services(address: &ControlAddress) -> Result<Vec<SocketAddr>, ControlError> {
    let asked = async {
        match address {
            ControlAddress::Tcp(address) => ask(TcpStream::connect(address).await?).await,
            ControlAddress::Unix(path) => ask(UnixStream::connect(path).await?).await,
        }
    };
    let answered = timeout(limits::TOR_CONTROL_TIMEOUT, asked).await;
    answered.map_err(|_| ControlError::Timeout)?
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Vec<SocketAddr>, ControlError> {
    let (reader, writer) = tokio::io::split(stream);
    let reader = BufReader::new(reader.take(limits::TOR_CONTROL_MAX_BYTES));
    let mut control = Control { reader, writer };
    control.authenticate().await?;
    // The lines of one service belong together, so Tor tells all of them at once or none.
    let options = control.call("GETCONF HiddenServiceOptions").await?;
    control.writer.write_all(b"QUIT\r\n").await?;
    let port = |line: &String| {
        let (keyword, value) = line.split_once('=')?;
        let is_port = keyword.eq_ignore_ascii_case("HiddenServicePort");
        is_port.then(|| target(value)).flatten()
    };
    Ok(options.iter().filter_map(port).collect())
}

struct Control<R, W> {
    reader: R,
    writer: W,
}

impl<R: AsyncBufReadExt + Unpin, W: AsyncWriteExt + Unpin> Control<R, W> {
    async fn authenticate(&mut self) -> Result<(), ControlError> {
        let info = self.call("PROTOCOLINFO 1").await?;
        let auth = info.iter().find_map(|line| line.strip_prefix("AUTH "));
        let auth = auth.unwrap_or_default();
        let methods = parameter(auth, "METHODS").unwrap_or_default();
        let has = |method| methods.split(',').any(|it| it == method);
        let proof = if has("NULL") {
            String::new()
        } else if has("SAFECOOKIE") {
            let file = parameter(auth, "COOKIEFILE").ok_or(ControlError::Cookie)?;
            self.prove_cookie(Path::new(&file)).await?
        } else {
            // The method COOKIE would show any file of 32 bytes to whoever sits on the port.
            return Err(ControlError::Password);
        };
        self.call(format!("AUTHENTICATE {proof}").trim_end())
            .await?;
        Ok(())
    }

    /// Shows that we can read the cookie, once the other end has shown that it knows it.
    async fn prove_cookie(&mut self, file: &Path) -> Result<String, ControlError> {
        let cookie = read_cookie(file).await?;
        let ours: [u8; 32] = rand::random();
        let challenge = format!("AUTHCHALLENGE SAFECOOKIE {}", hex(&ours));
        let said = self.call(&challenge).await?;
        let said = said
            .first()
            .and_then(|line| line.strip_prefix("AUTHCHALLENGE "));
        let said = said.unwrap_or_default();
        let theirs = parameter(said, "SERVERNONCE").and_then(|text| unhex(&text));
        let shown = parameter(said, "SERVERHASH").and_then(|text| unhex(&text));
        let (theirs, shown) = theirs.zip(shown).ok_or(ControlError::Cookie)?;
        let content = [cookie, ours, theirs].concat();
        // Comparing two `Hash` takes the same time wherever they differ.
        let expected = blake3::Hash::from(hmac(SERVER_HASH_KEY, &content));
        if expected != blake3::Hash::from(shown) {
            return Err(ControlError::Cookie);
        }
        Ok(hex(&hmac(CONTROLLER_HASH_KEY, &content)))
    }

    /// Says one line, and returns the lines of the answer without their codes.
    async fn call(&mut self, line: &str) -> Result<Vec<String>, ControlError> {
        self.writer.write_all(line.as_bytes()).await?;
        self.writer.write_all(b"\r\n").await?;
        let mut answer = Vec::new();
        loop {
            let line = self.line().await?;
            let (code, rest) = line.split_at_checked(3).ok_or_else(|| said(&line))?;
            let (mark, text) = rest.split_at_checked(1).ok_or_else(|| said(&line))?;
            if code != "250" {
                return Err(said(&line));
            }
            answer.push(text.to_owned());
            match mark {
                " " => return Ok(answer),
                "-" => {}
                // Data behind the line, up to one that is a dot.
                "+" => while self.line().await? != "." {},
                _ => return Err(said(&line)),
            }
        }
    }

    /// The next line. All lines together are at most as long as the reader was limited to.
    async fn line(&mut self) -> Result<String, ControlError> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).await? == 0 || !line.ends_with('\n') {
            return Err(ControlError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

async fn read_cookie(file: &Path) -> Result<[u8; 32], ControlError> {
    // A path that Tor names is read as far as a cookie is long, and must end there.
    if !tokio::fs::metadata(file).await?.is_file() {
        return Err(ControlError::Cookie);
    }
    let mut bytes = Vec::with_capacity(33);
    let file = File::open(file).await?;
    file.take(33).read_to_end(&mut bytes).await?;
    bytes.try_into().map_err(|_| ControlError::Cookie)
}

fn said(line: &str) -> ControlError {
    let short = line.chars().take(limits::WHY_MAX_CHARS);
    ControlError::Said(short.flat_map(char::escape_default).collect())
}

/// The value of `name=value` or `name="value"` among such pairs.
fn parameter(pairs: &str, name: &str) -> Option<String> {
    let mut rest = pairs;
    loop {
        let (key, behind) = rest.trim_start().split_once('=')?;
        let (value, behind) = match behind.strip_prefix('"') {
            None => {
                let (value, behind) = behind.split_once(' ').unwrap_or((behind, ""));
                (value.to_owned(), behind)
            }
            Some(quoted) => unquote(quoted)?,
        };
        if key == name {
            return Some(value);
        }
        rest = behind;
    }
}

/// The text up to the closing quotation mark, and what is behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(place + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        write!(text, "{byte:02X}").ok();
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |c: char| u8::try_from(c.to_digit(16)?).ok();
    let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
    let digits = digits?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}

/// HMAC-SHA-256 with a key shorter than a block (RFC 2104).
fn hmac(key: &[u8], content: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        Sha256::new_with_prefix(block)
    };
    let inner = padded(0x36).chain_update(content).finalize();
    padded(0x5c).chain_update(inner).finalize().into()
}

const SERVER_HASH_KEY: &[u8] = b"Tor safe cookie authentication server-to-controller hash";

const CONTROLLER_HASH_KEY: &[u8] = b"Tor safe cookie authentication controller-to-server hash";

const _: () = assert!(SERVER_HASH_KEY.len() <= 64 && CONTROLLER_HASH_KEY.len() <= 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_quoted_and_bare() {
        let pairs = r#"METHODS=COOKIE,SAFECOOKIE COOKIEFILE="/a b/\"c\\" LAST=x"#;
        let check = |name, expected: Option<&str>| {
            assert_eq!(parameter(pairs, name).as_deref(), expected, "{name}");
        };
        check("METHODS", Some("COOKIE,SAFECOOKIE"));
        check("COOKIEFILE", Some("/a b/\"c\\"));
        check("LAST", Some("x"));
        check("NONE", None);
        assert_eq!(parameter("A=\"never closed", "A"), None);
    }

    #[test]
    fn an_hmac_is_that_of_the_specification() {
        // RFC 4231, test case 2.
        let hash = hmac(b"Jefe", b"what do ya want for nothing?");
        let expected = "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843";
        assert_eq!(hex(&hash), expected);
        assert_eq!(unhex(expected), Some(hash));
        assert_eq!(unhex("5B"), None);
        assert_eq!(unhex(&"+1".repeat(32)), None, "a sign is no digit");
    }

    #[test]
    fn tor_is_asked_on_this_machine_only() {
        let tcp = |text: &str| Some(ControlAddress::Tcp(text.parse().unwrap()));
        let check = |text: &str, expected| assert_eq!(ControlAddress::parse(text), expected);
        check("127.0.0.1:9051", tcp("127.0.0.1:9051"));
        check("[::1]:9051", tcp("[::1]:9051"));
        check("11.1.0.1:9051", None);
        check("tor.example:9051", None);
        let path = || Some(ControlAddress::Unix("/run/tor/control".into()));
        check("/run/tor/control", path());
        check("unix:/run/tor/control", path());
        check("run/tor/control", None);
    }
}
