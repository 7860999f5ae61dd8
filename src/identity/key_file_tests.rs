//! Key files: who may read them, and what they may hold.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::key_file::{KeyFileError, load, store, store_encrypted};
use crate::wire::SecretKey;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn load_plain(path: &Path) -> Result<SecretKey, KeyFileError> {
    load(path, || panic!("a plain key needs no password"))
}

fn load_with(path: &Path, password: &str) -> Result<SecretKey, KeyFileError> {
    load(path, || Ok(Zeroizing::new(password.to_owned())))
}

/// A file with that text and those permissions.
fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_stored_key_is_private_and_comes_back() {
    let folder = folder();
    let path = folder.path().join("server.key");
    let key = SecretKey::generate();
    store(&path, &key).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(load_plain(&path).unwrap().seed(), key.seed());
}

#[test]
fn an_encrypted_key_comes_back_with_its_password_only() {
    let folder = folder();
    let path = folder.path().join("user.key");
    let key = SecretKey::generate();
    store_encrypted(&path, &key, "correct horse", 4).unwrap();
    assert_eq!(mode(&path), 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&*key.to_printable()), "{text}");
    assert_eq!(
        load_with(&path, "correct horse").unwrap().seed(),
        key.seed()
    );
    assert!(matches!(
        load_with(&path, "battery staple"),
        Err(KeyFileError::Encrypted(_))
    ));
    let no_terminal = load(&path, || Err(io::ErrorKind::NotConnected.into()));
    assert!(matches!(no_terminal, Err(KeyFileError::Password(_))));
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let folder = folder();
    let path = folder.path().join("server.key");
    fs::write(&path, "precious").unwrap();
    let key = SecretKey::generate();
    assert!(matches!(store(&path, &key), Err(KeyFileError::Exists)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = folder.path().join("missing").join("server.key");
    assert!(matches!(store(&nowhere, &key), Err(KeyFileError::Write(_))));
}

#[test]
fn a_key_that_others_may_read_is_refused_and_the_remedy_named() {
    let folder = folder();
    let path = folder.path().join("server.key");
    let key = SecretKey::generate();
    for mode in [0o640, 0o604, 0o620, 0o601, 0o644] {
        write(&path, &key.to_printable(), mode);
        let error = load_plain(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::NotPrivate { mode: m } if m == mode));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    write(&path, "mocryptsec0anything", 0o644);
    assert!(matches!(
        load_plain(&path),
        Err(KeyFileError::NotPrivate { .. })
    ));
    write(&path, &key.to_printable(), 0o400);
    assert!(load_plain(&path).is_ok());
}

#[test]
fn development_keys_may_be_readable_by_all() {
    let folder = folder();
    let path = folder.path().join("DEVELOPMENT-ONLY-server.key");
    let text = include_str!("../../certs/DEVELOPMENT-ONLY-server.key");
    write(&path, text, 0o644);
    let key = load_plain(&path).unwrap();
    assert!(super::is_development_key(&key.public()));
}

#[test]
fn a_file_holds_one_key_and_comments() {
    let folder = folder();
    let path = folder.path().join("server.key");
    let key = SecretKey::from_seed([3; 32]);
    let line = key.to_printable();
    let check = |text: &str, good: bool| {
        write(&path, text, 0o600);
        assert_eq!(load_plain(&path).is_ok(), good, "{text}");
    };
    check(&line, true);
    check(
        &format!("# a comment\n\n  {}  \r\n# another\n", *line),
        true,
    );
    check("", false);
    check("# only a comment\n", false);
    check(&format!("{0}\n{0}\n", *line), false);
    check(&key.public().to_string(), false);
    check(&format!("{}{}", *line, "#".repeat(10_000)), false);
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(load_plain(&path), Err(KeyFileError::Read(_))));
    fs::remove_file(&path).unwrap();
    assert!(matches!(load_plain(&path), Err(KeyFileError::Read(_))));
}
