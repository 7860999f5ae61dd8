use std::fs;
use std::path::Path;

use sha2::Digest as _;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::reach::endpoint::ListenerId;

fn listener(id: u16, transport: ProbeTransport, bound: &str) -> Listener {
    Listener {
        id: ListenerId(id),
        transport,
        bound: bound.parse().unwrap(),
    }
}

fn tcp(id: u16, bound: &str) -> Listener {
    listener(id, ProbeTransport::Tcp, bound)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Settings without the files of this machine.
fn settings(torrc: &[&Path], control: Option<&str>) -> OnionSettings {
    let mut settings = OnionSettings::new(Vec::new(), Vec::new(), control);
    settings.torrc = torrc.iter().map(PathBuf::from).collect();
    settings
}

#[test]
fn the_target_of_a_port_is_read_in_all_its_forms() {
    let check = |value: &str, expected: Option<&str>| {
        assert_eq!(target(value), expected.map(address), "{value}");
    };
    check("80", Some("127.0.0.1:80"));
    check("80 1320", Some("127.0.0.1:1320"));
    check("80 127.0.0.2:1320", Some("127.0.0.2:1320"));
    check("80 127.0.0.2", Some("127.0.0.2:80"));
    check("80 [::1]:1320", Some("[::1]:1320"));
    check("80 [::1]", Some("[::1]:80"));
    check("80 localhost:1320", Some("127.0.0.1:1320"));
    check("80 localhost", Some("127.0.0.1:80"));
    check("\"80 127.0.0.1:1320\"", Some("127.0.0.1:1320"));
    check("80 unix:/run/x.sock", None);
    check("80 localhoster:1", None);
    check("x 1320", None);
    check("", None);
}

#[test]
fn a_target_leads_to_tcp_listeners_at_its_address() {
    let check = |target: &str, bound: &Listener, expected: bool| {
        let found = hit(address(target), std::slice::from_ref(bound)).count();
        assert_eq!(found == 1, expected, "{target} {bound:?}");
    };
    check("127.0.0.1:1320", &tcp(0, "127.0.0.1:1320"), true);
    check("127.0.0.1:1320", &tcp(0, "0.0.0.0:1320"), true);
    check("[::1]:1320", &tcp(0, "[::]:1320"), true);
    check("11.1.0.1:1320", &tcp(0, "11.1.0.1:1320"), true);
    check("127.0.0.1:1320", &tcp(0, "127.0.0.1:1321"), false);
    check("127.0.0.1:1320", &tcp(0, "127.0.0.2:1320"), false);
    check("127.0.0.1:1320", &tcp(0, "[::]:1320"), false);
    check("11.1.0.1:1320", &tcp(0, "0.0.0.0:1320"), false);
    let quic = listener(0, ProbeTransport::Quic, "127.0.0.1:1320");
    check("127.0.0.1:1320", &quic, false);
}

#[tokio::test]
async fn an_onion_url_is_a_sign_and_another_is_none() {
    let onion = format!("mosaictcp://{}.onion/", "a".repeat(56));
    let urls = vec![
        "mosaic://server.example/".parse().unwrap(),
        onion.parse().unwrap(),
    ];
    let mut settings = settings(&[], None);
    settings.urls = urls;
    let signs = signs(&settings, &[]).await;
    let [OnionSign::Url(url)] = signs.as_slice() else {
        panic!("{signs:?}");
    };
    assert!(url.contains(".onion"), "{url}");
}

#[tokio::test]
async fn a_torrc_that_forwards_to_a_listener_is_a_sign() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("torrc");
    let text = "SocksPort 0\nHiddenServiceDir /var/lib/tor/x\nhiddenserviceport 80 127.0.0.1:1320\n\
                HiddenServicePort 81 127.0.0.1:1320\nHiddenServicePort 9999\n";
    fs::write(&file, text).unwrap();
    let listeners = [tcp(0, "11.1.0.1:1320"), tcp(1, "127.0.0.1:1320")];
    let signs = signs(&settings(&[&file], None), &listeners).await;
    let expected = OnionSign::Torrc {
        file: file.display().to_string(),
        listener: ListenerId(1),
    };
    assert_eq!(signs, [expected]);
}

#[test]
fn included_files_folders_and_patterns_are_read_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/b"), "HiddenServicePort 2").unwrap();
    fs::write(at("d/a"), "HiddenServicePort 1").unwrap();
    fs::write(at("d/.hidden"), "HiddenServicePort 7").unwrap();
    fs::write(at("x.conf"), "HiddenServicePort 3").unwrap();
    fs::write(at("x.old"), "HiddenServicePort 8").unwrap();
    let folder = folder.path().display();
    let text = format!(
        "%include {folder}/d\n%include {folder}/*.conf\n%include d/a\n%include torrc\n\
         %include {folder}/none\nHiddenServicePort 4\n"
    );
    fs::write(at("torrc"), text).unwrap();
    let mut ports: Vec<u16> = torrc::services(&[at("torrc")])
        .iter()
        .map(|(_, target)| target.port())
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 2, 3, 4]);
}

#[test]
fn inclusions_without_end_and_files_without_end_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for n in 0..crate::base::limits::TORRC_FILES_MAX * 2 {
        fs::write(folder.path().join(n.to_string()), "HiddenServicePort 5").unwrap();
        lines.push_str(&format!("%include {n}\n"));
    }
    let file = folder.path().join("torrc");
    fs::write(&file, lines).unwrap();
    let found = torrc::services(std::slice::from_ref(&file)).len();
    assert!(found < crate::base::limits::TORRC_FILES_MAX, "{found}");
    let endless = Path::new("/dev/zero").to_owned();
    assert!(torrc::services(&[endless]).is_empty());
}

/// What a Tor would say on its control port.
struct Script {
    auth: String,
    cookie: Option<[u8; 32]>,
    options: &'static str,
}

impl Script {
    fn open() -> Self {
        Self {
            auth: "METHODS=NULL".into(),
            cookie: None,
            options: "250-HiddenServiceDir=/x\r\n250-HiddenServicePort=80 127.0.0.1:1320\r\n250 \
                      HiddenServicePort=81 unix:/y\r\n",
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut lines = BufReader::new(reader).lines();
        let mut expected = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = match line.split(' ').next().unwrap() {
                "PROTOCOLINFO" => format!(
                    "250-PROTOCOLINFO 1\r\n250-AUTH {}\r\n250-VERSION Tor=\"0.4.8\"\r\n250 OK\r\n",
                    self.auth
                ),
                "AUTHCHALLENGE" => {
                    let (answer, proof) = self.challenge(&line);
                    expected = proof;
                    answer
                }
                "AUTHENTICATE" => {
                    if line.trim_start_matches("AUTHENTICATE").trim() == expected {
                        "250 OK\r\n".into()
                    } else {
                        "515 Bad authentication\r\n".into()
                    }
                }
                "GETCONF" => self.options.to_owned(),
                _ => return,
            };
            if writer.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn challenge(&self, line: &str) -> (String, String) {
        let ours = unhex(line.rsplit(' ').next().unwrap());
        let theirs = [9_u8; 32];
        let content = [&self.cookie.unwrap(), ours.as_slice(), &theirs].concat();
        let hash = hmac(
            "Tor safe cookie authentication server-to-controller hash",
            &content,
        );
        let proof = hmac(
            "Tor safe cookie authentication controller-to-server hash",
            &content,
        );
        let (hash, theirs) = (hex(&hash), hex(&theirs));
        let answer = format!("250 AUTHCHALLENGE SERVERHASH={hash} SERVERNONCE={theirs}\r\n");
        (answer, hex(&proof))
    }
}

fn hmac(key: &str, content: &[u8]) -> Vec<u8> {
    let block = |pad: u8| {
        let mut block = [pad; 64];
        for (to, from) in block.iter_mut().zip(key.bytes()) {
            *to ^= from;
        }
        block.to_vec()
    };
    let inner = sha2::Sha256::digest([block(0x36), content.to_vec()].concat());
    sha2::Sha256::digest([block(0x5c), inner.to_vec()].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The signs with a control port that answers by `script`.
async fn told(script: Script) -> Vec<OnionSign> {
    let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = control.local_addr().unwrap().to_string();
    let settings = settings(&[], Some(&text));
    let serving = async {
        let (stream, _) = control.accept().await.unwrap();
        script.serve(stream).await;
    };
    let listeners = [tcp(0, "127.0.0.1:1320"), tcp(1, "127.0.0.1:1")];
    let (signs, ()) = tokio::join!(signs(&settings, &listeners), serving);
    signs
}

const TOLD: [OnionSign; 1] = [OnionSign::ControlPort(ListenerId(0))];

#[tokio::test]
async fn a_control_port_that_says_so_is_a_sign() {
    assert_eq!(told(Script::open()).await, TOLD);
}

#[tokio::test]
async fn a_control_socket_in_the_file_system_is_asked_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let control = UnixListener::bind(&path).unwrap();
    let settings = settings(&[], path.to_str());
    let serving = async {
        let (stream, _) = control.accept().await.unwrap();
        Script::open().serve(stream).await;
    };
    let listeners = [tcp(0, "0.0.0.0:1320")];
    let (signs, ()) = tokio::join!(signs(&settings, &listeners), serving);
    assert_eq!(signs, TOLD);
}

#[tokio::test]
async fn a_cookie_is_proved_to_a_tor_that_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a \"cookie\"");
    fs::write(&file, [5; 32]).unwrap();
    let quoted = file.display().to_string().replace('"', "\\\"");
    let script = |cookie| Script {
        auth: format!("METHODS=COOKIE,SAFECOOKIE COOKIEFILE=\"{quoted}\""),
        cookie: Some(cookie),
        ..Script::open()
    };
    assert_eq!(told(script([5; 32])).await, TOLD);
    assert_eq!(told(script([6; 32])).await, [], "it does not know it");
    fs::write(&file, [5; 33]).unwrap();
    assert_eq!(told(script([5; 32])).await, [], "no cookie");
}

#[tokio::test]
async fn a_control_port_that_wants_a_password_or_talks_nonsense_gives_no_sign() {
    let password = Script {
        auth: "METHODS=COOKIE,HASHEDPASSWORD COOKIEFILE=\"/etc/hostname\"".into(),
        ..Script::open()
    };
    assert_eq!(told(password).await, []);
    let nonsense = [
        "552 unknown\r\n",
        "25\r\n",
        "\r\n",
        "250\r\n",
        "x\n",
        "250xa\r\n",
        "250 x\r\n",
    ];
    for options in nonsense {
        let script = Script {
            options,
            ..Script::open()
        };
        assert_eq!(told(script).await, [], "{options:?}");
    }
}

#[tokio::test]
async fn a_control_port_that_never_ends_its_line_is_cut_off() {
    let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = control.local_addr().unwrap().to_string();
    let settings = settings(&[], Some(&text));
    let talking = async {
        let (mut stream, _) = control.accept().await.unwrap();
        let mut sent = 0_u64;
        while stream.write_all(&[b'2'; 4_096]).await.is_ok() {
            sent += 4_096;
            assert!(sent < 64 << 20, "it is read without end");
        }
    };
    let listeners = [tcp(0, "127.0.0.1:1320")];
    let (signs, ()) = tokio::join!(signs(&settings, &listeners), talking);
    assert_eq!(signs, []);
}

#[tokio::test]
async fn where_nobody_answers_there_is_no_sign() {
    let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = control.local_addr().unwrap().to_string();
    drop(control);
    assert_eq!(signs(&settings(&[], Some(&text)), &[]).await, []);
    let none = Path::new("/nonexistent/torrc");
    assert_eq!(
        signs(&settings(&[none], Some("/nonexistent")), &[]).await,
        []
    );
}
