//! Passwords of key files: from a file, from the environment, or from the terminal.

use std::io::{self, IsTerminal};
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::ENVIRONMENT_PASSWORD;
use crate::server::key::first_line;

/// The password of a key file that exists: of the environment, or else asked for.
pub(super) fn existing() -> io::Result<Zeroizing<String>> {
    match of_environment() {
        Some(password) => Ok(password),
        None => ask("password of the key file: "),
    }
}

/// The password of a new key file: the first line of `file`, of the environment, or else asked
/// for twice.
pub(super) fn new(file: Option<&Path>) -> io::Result<Zeroizing<String>> {
    if let Some(file) = file {
        return not_empty(first_line(file)?);
    }
    if let Some(password) = of_environment() {
        return not_empty(password);
    }
    let first = not_empty(ask("new password: ")?)?;
    if *ask("the same again: ")? == *first {
        Ok(first)
    } else {
        Err(io::Error::other("the two passwords differ"))
    }
}

fn of_environment() -> Option<Zeroizing<String>> {
    std::env::var(ENVIRONMENT_PASSWORD).ok().map(Zeroizing::new)
}

fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        let message = format!("no terminal to ask on; set {ENVIRONMENT_PASSWORD}, or name a file");
        return Err(io::Error::other(message));
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new)
}

fn not_empty(password: Zeroizing<String>) -> io::Result<Zeroizing<String>> {
    if password.is_empty() {
        return Err(io::Error::other("the password is empty"));
    }
    Ok(password)
}
