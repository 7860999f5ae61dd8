//! Where results go, and in which form.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Serializer;

use super::error::CliError;
use super::escape::HarmlessJson;

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Text for people.
    Human,
    /// One JSON object a line.
    Json,
    /// MessagePack maps, one after the other.
    MessagePack,
}

/// Something that is printed in every form: serialized for programs, or as text.
pub(super) trait Row: Serialize {
    /// Writes it for people, whole lines, escaped.
    ///
    /// # Errors
    /// The output cannot be written.
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// The results of one command.
pub(super) struct Output {
    format: Format,
    writer: BufWriter<Box<dyn Write + Send>>,
    is_terminal: bool,
}

impl Output {
    /// Standard output, or the file at `path`.
    ///
    /// # Errors
    /// [`CliError::Write`]: the file cannot be made. [`CliError::BadValue`]: bytes for a terminal.
    pub(super) fn open(format: Format, path: Option<&Path>) -> Result<Self, CliError> {
        if path.is_none() && format == Format::MessagePack {
            refuse_terminal("--msgpack")?;
        }
        let (writer, is_terminal): (Box<dyn Write + Send>, bool) = match path {
            None => (Box::new(io::stdout()), io::stdout().is_terminal()),
            Some(path) => (Box::new(create(path)?), false),
        };
        Ok(Self {
            format,
            writer: BufWriter::new(writer),
            is_terminal,
        })
    }

    /// Output into `writer`.
    #[cfg(test)]
    pub(super) fn into_writer(format: Format, writer: impl Write + Send + 'static) -> Self {
        Self {
            format,
            writer: BufWriter::new(Box::new(writer)),
            is_terminal: false,
        }
    }

    /// Prints one result. It may wait in a buffer until [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub(super) fn row(&mut self, row: &impl Row) -> Result<(), CliError> {
        match self.format {
            Format::Human => row.write_text(&mut self.writer),
            Format::Json => {
                let out = &mut self.writer;
                let mut serializer = Serializer::with_formatter(&mut *out, HarmlessJson);
                let written = row.serialize(&mut serializer).map_err(io::Error::from);
                written.and_then(|()| out.write_all(b"\n"))
            }
            Format::MessagePack => {
                rmp_serde::encode::write_named(&mut self.writer, row).map_err(io::Error::other)
            }
        }
        .map_err(CliError::Output)
    }

    /// Hands everything that was printed on.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(CliError::Output)
    }

    /// The form of the results.
    pub(super) const fn format(&self) -> Format {
        self.format
    }

    /// Whether a person reads along.
    pub(super) const fn is_for_a_person(&self) -> bool {
        self.is_terminal && matches!(self.format, Format::Human)
    }
}

/// Where raw records go.
pub(super) struct RawOutput {
    path: PathBuf,
    writer: BufWriter<Box<dyn Write + Send>>,
}

impl RawOutput {
    /// The file at `path`; `-` is standard output.
    ///
    /// # Errors
    /// [`CliError::Write`]: the file cannot be made. [`CliError::BadValue`]: standard output is a
    /// terminal.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let writer: Box<dyn Write + Send> = if path == Path::new("-") {
            refuse_terminal("--raw")?;
            Box::new(io::stdout())
        } else {
            Box::new(create(path)?)
        };
        Ok(Self {
            path: path.to_owned(),
            writer: BufWriter::new(writer),
        })
    }

    /// Writes one record as it is.
    ///
    /// # Errors
    /// [`CliError::Output`] or [`CliError::Write`].
    pub(super) fn record(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.writer
            .write_all(bytes)
            .map_err(|error| self.failed(error))
    }

    /// Hands everything that was written on.
    ///
    /// # Errors
    /// [`CliError::Output`] or [`CliError::Write`].
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> CliError {
        if self.path == Path::new("-") {
            return CliError::Output(source);
        }
        CliError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

/// Strangers' bytes as they are would have a terminal do what they say.
///
/// # Errors
/// [`CliError::BadValue`]: standard output, where `what` goes, is a terminal.
pub(super) fn refuse_terminal(what: &'static str) -> Result<(), CliError> {
    if !io::stdout().is_terminal() {
        return Ok(());
    }
    Err(CliError::BadValue {
        what,
        why: "standard output is a terminal; name a file, or use a pipe".into(),
    })
}

fn create(path: &Path) -> Result<File, CliError> {
    File::create(path).map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}
