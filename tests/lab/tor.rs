//! Something that speaks enough of Tor's control protocol to tell of an onion service.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Outcome;
use crate::netns::Netns;

/// A control port in its host's namespace, until it is dropped.
pub(crate) struct TorControl {
    is_over: Arc<AtomicBool>,
}

impl TorControl {
    /// Listens at `address` in `host`; the onion service forwards port 1320 to 127.0.0.1:1320.
    pub(crate) fn start(host: &Netns, address: SocketAddr) -> Outcome<Self> {
        let bound = host.enter(|| {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            std::io::Result::Ok(listener)
        })?;
        let listener = bound.map_err(|error| format!("{address}: {error}"))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(serve(&stream)),
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        Ok(Self { is_over })
    }
}

impl Drop for TorControl {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn serve(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut writer = stream;
    for line in BufReader::new(stream).lines() {
        writer.write_all(answer(line?.trim_end()).as_bytes())?;
    }
    Ok(())
}

/// The answer to one line, as control-spec has it.
fn answer(line: &str) -> String {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match command.to_ascii_uppercase().as_str() {
        "PROTOCOLINFO" => "250-PROTOCOLINFO 1\r\n\
             250-AUTH METHODS=NULL\r\n\
             250-VERSION Tor=\"0.4.8.12\"\r\n\
             250 OK\r\n"
            .to_owned(),
        "AUTHENTICATE" | "QUIT" => "250 OK\r\n".to_owned(),
        "GETCONF" if rest.to_ascii_lowercase().contains("hiddenservice") => {
            "250-HiddenServiceDir=/var/lib/tor/mosaic\r\n\
             250 HiddenServicePort=1320 127.0.0.1:1320\r\n"
                .to_owned()
        }
        "GETCONF" => format!("250 {rest}\r\n"),
        "GETINFO" => {
            let keys: Vec<String> = rest
                .split_whitespace()
                .map(|key| format!("250-{key}=\r\n"))
                .collect();
            keys.concat() + "250 OK\r\n"
        }
        _ => "510 Unrecognized command\r\n".to_owned(),
    }
}
