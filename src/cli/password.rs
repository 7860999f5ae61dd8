//! Where passwords and other secrets come from: a file, the environment, standard input, or the
//! terminal.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::CliError;

/// The password of an existing key.
///
/// # Errors
/// The file cannot be read, or there is neither a file, nor [`ENVIRONMENT`], nor a terminal.
pub(super) fn existing(file: Option<&Path>) -> io::Result<Zeroizing<String>> {
    match given(file)? {
        Some(password) => Ok(password),
        None => prompt("Password of the key: "),
    }
}

/// The password for a new key. From a terminal it is asked for twice.
///
/// # Errors
/// As [`existing`], [`CliError::PasswordsDiffer`], or an empty password.
pub(super) fn new(file: Option<&Path>) -> Result<Zeroizing<String>, CliError> {
    let password = match given(file).map_err(CliError::Password)? {
        Some(password) => password,
        None => {
            let password = prompt("New password: ").map_err(CliError::Password)?;
            let again = prompt("The same again: ").map_err(CliError::Password)?;
            if *password != *again {
                return Err(CliError::PasswordsDiffer);
            }
            password
        }
    };
    if password.is_empty() {
        let why = io::Error::new(io::ErrorKind::InvalidInput, "it is empty");
        return Err(CliError::Password(why));
    }
    Ok(password)
}

/// A secret other than a password, from standard input: its first line, or what is typed on a
/// terminal that is asked with `text`.
///
/// # Errors
/// Standard input cannot be read.
pub(super) fn from_input(text: &str) -> io::Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        return prompt(text);
    }
    first_line(io::stdin().lock())
}

fn first_line(input: impl BufRead) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(LINE_MAX_BYTES));
    let most = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
    input.take(most).read_line(&mut line)?;
    Ok(line)
}

fn given(file: Option<&Path>) -> io::Result<Option<Zeroizing<String>>> {
    if let Some(path) = file {
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        let first = text.lines().next().unwrap_or_default();
        return Ok(Some(Zeroizing::new(first.to_owned())));
    }
    match std::env::var(ENVIRONMENT) {
        Ok(password) => Ok(Some(Zeroizing::new(password))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "MOSAIC_PASSWORD is not UTF-8",
        )),
    }
}

fn prompt(text: &str) -> io::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "no terminal to ask on; use --password-file or MOSAIC_PASSWORD",
        ));
    }
    rpassword::prompt_password(text).map(Zeroizing::new)
}

/// No secret that is read as a line is nearly as long.
const LINE_MAX_BYTES: usize = 1_024;

/// Holds the password of the key file.
const ENVIRONMENT: &str = "MOSAIC_PASSWORD";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_gives_its_first_line_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for text in ["pass word", "pass word\n", "pass word\r\nmore\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(*existing(Some(&path)).unwrap(), "pass word");
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(new(Some(&path)), Err(CliError::Password(_))));
        assert!(existing(Some(&folder.path().join("none"))).is_err());
    }

    #[test]
    fn of_standard_input_a_secret_is_the_first_line_and_never_more_than_a_line_can_hold() {
        let check = |input: &[u8], expected: &str| {
            assert_eq!(first_line(input).unwrap().trim(), expected);
        };
        check(b"secret\nmore\n", "secret");
        check(b"secret", "secret");
        check(b"", "");
        let endless = first_line(io::BufReader::new(io::repeat(b'x'))).unwrap();
        assert_eq!(endless.len(), LINE_MAX_BYTES);
        assert!(first_line(&[0xff][..]).is_err());
    }
}
