//! `mosaic blob`: data under their hash, handed in and fetched.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWrite;

use super::args::BlobCommand;
use super::context::Context;
use super::error::{CliError, Exit};
use super::output::refuse_terminal;
use super::rows::{BlobRow, StoredBlobRow};
use super::say;
use crate::base::limits;
use crate::client::{BlobError, Client};
use crate::wire::{BlobHash, BlobHasher};

/// Hands BLOBs in, or fetches one.
///
/// # Errors
/// No connection, files that cannot be read or written, or data that are not what was asked for.
pub(super) async fn run(context: &Context, command: &BlobCommand) -> Result<Exit, CliError> {
    match command {
        BlobCommand::Put { files } => put_all(context, files).await,
        BlobCommand::Get { hash, file } => get(context, *hash, file.as_deref()).await,
    }
}

/// A file whose hash is known.
struct Hashed {
    file: File,
    hash: BlobHash,
    length_bytes: u64,
}

async fn put_all(context: &Context, files: &[PathBuf]) -> Result<Exit, CliError> {
    let client = context.connect().await?;
    let mut output = context.output()?;
    let mut exit = Exit::Done;
    for path in files {
        // The head of a BLOB names its hash, so the file is read twice.
        let named = path.clone();
        let hashing = tokio::task::spawn_blocking(move || hash_file(&named));
        let hashed = hashing
            .await
            .map_err(|_| read_error(path, io::Error::other("a panic")))??;
        let row = put(&client, path, hashed).await?;
        if !row.is_accepted() {
            exit = Exit::Refused;
        }
        output.row(&row)?;
        output.flush()?;
    }
    client.close().await;
    Ok(exit)
}

fn hash_file(path: &Path) -> Result<Hashed, CliError> {
    let failed = |error| read_error(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let bar = bar("hashing", metadata.len());
    let mut hasher = BlobHasher::default();
    let mut buffer = vec![0; limits::BLOB_CHUNK_BYTES];
    let mut length_bytes: u64 = 0;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        length_bytes = length_bytes.saturating_add(read as u64);
        bar.set_position(length_bytes);
    }
    bar.finish_and_clear();
    file.rewind().map_err(failed)?;
    Ok(Hashed {
        file,
        hash: hasher.hash(),
        length_bytes,
    })
}

async fn put(client: &Client, path: &Path, hashed: Hashed) -> Result<StoredBlobRow, CliError> {
    let Hashed {
        file,
        hash,
        length_bytes,
    } = hashed;
    let mut file = tokio::fs::File::from_std(file);
    let bar = bar("sending", length_bytes);
    let mut progress = |done, _| bar.set_position(done);
    let result = client.put_blob(hash, length_bytes, &mut file, &mut progress);
    let result = Box::pin(result).await;
    bar.finish_and_clear();
    let result = result.map_err(|error| match error {
        BlobError::Read(source) => read_error(path, source),
        BlobError::Short(_) => read_error(path, io::Error::other("it was changed meanwhile")),
        other => other.into(),
    })?;
    let file = path.to_string_lossy().into_owned();
    Ok(StoredBlobRow::new(file, hash, length_bytes, result))
}

async fn get(context: &Context, hash: BlobHash, to: Option<&Path>) -> Result<Exit, CliError> {
    let output_file = context.common().output.as_deref();
    if to.is_some() && output_file.is_some() {
        return Err(CliError::BadValue {
            what: "the BLOB",
            why: "give -o or --output, not both".into(),
        });
    }
    let is_file = |path: &&Path| *path != Path::new("-");
    let Some(path) = to.or(output_file).filter(is_file) else {
        refuse_terminal("the BLOB")?;
        let client = context.connect().await?;
        let fetched = fetch(&client, hash, &mut tokio::io::stdout()).await;
        client.close().await;
        return fetched.map(|_| Exit::Done).map_err(|error| match error {
            BlobError::Write(source) => CliError::Output(source),
            other => other.into(),
        });
    };
    // In the file of --output there are the data and nothing else.
    let output = to.map(|_| context.output()).transpose()?;
    let client = context.connect().await?;
    let length_bytes = fetch_file(&client, hash, path).await?;
    client.close().await;
    if let Some(mut output) = output {
        let file = path.to_string_lossy().into_owned();
        output.row(&BlobRow::new(file, hash, length_bytes))?;
        output.flush()?;
    }
    Ok(Exit::Done)
}

/// Fetches to `path`. A regular file is replaced, and only once the hash was checked: whatever is
/// at `path` is whole. A device or a pipe is written into as the data come.
async fn fetch_file(client: &Client, hash: BlobHash, path: &Path) -> Result<u64, CliError> {
    let failed = |source| CliError::Write {
        path: path.to_owned(),
        source,
    };
    match tokio::fs::metadata(path).await {
        Ok(found) if !found.is_file() => {
            let file = OpenOptions::new().write(true).open(path).await;
            let mut file = file.map_err(failed)?;
            let fetched = fetch(client, hash, &mut file).await;
            fetched.map_err(|error| write_error(path, error))
        }
        // The file that a link leads to is replaced, not the link.
        Ok(_) => {
            let path = tokio::fs::canonicalize(path).await.map_err(failed)?;
            replace(client, hash, &path).await
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(client, hash, path).await,
        Err(error) => Err(failed(error)),
    }
}

/// Fetches into a new file beside `path`, of a name that nobody else has, which then takes its place.
async fn replace(client: &Client, hash: BlobHash, path: &Path) -> Result<u64, CliError> {
    let part = path.with_file_name(format!(".mosaic-{:016x}", rand::random::<u64>()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&part)
        .await;
    let mut file = file.map_err(|source| write_error(path, BlobError::Write(source)))?;
    let mut fetched = fetch(client, hash, &mut file).await;
    drop(file);
    if fetched.is_ok()
        && let Err(error) = tokio::fs::rename(&part, path).await
    {
        fetched = Err(BlobError::Write(error));
    }
    if fetched.is_err()
        && let Err(error) = tokio::fs::remove_file(&part).await
    {
        say(&format!("cannot remove {}: {error}", part.display()));
    }
    fetched.map_err(|error| write_error(path, error))
}

async fn fetch(
    client: &Client,
    hash: BlobHash,
    out: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<u64, BlobError> {
    let bar = bar("fetching", 0);
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let fetched = Box::pin(client.get_blob(hash, out, &mut progress)).await;
    bar.finish_and_clear();
    fetched
}

/// A progress bar on standard error, where that is a terminal.
fn bar(what: &'static str, length_bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(length_bytes);
    // A template that does not parse would leave the default style.
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

fn read_error(path: &Path, source: io::Error) -> CliError {
    CliError::Read {
        path: path.to_owned(),
        source,
    }
}

fn write_error(path: &Path, error: BlobError) -> CliError {
    match error {
        BlobError::Write(source) => CliError::Write {
            path: path.to_owned(),
            source,
        },
        other => other.into(),
    }
}

const BAR: &str = "{msg:>8} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
