//! An error with what led to it.

use std::error::Error;
use std::fmt;

/// Writes an error and everything that led to it, in one line.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(pub &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn each_cause_follows_what_it_led_to() {
        let error = Outer(std::io::Error::other("no space"));
        assert_eq!(Causes(&error).to_string(), "cannot write: no space");
    }
}
