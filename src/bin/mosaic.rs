//! `mosaic`: the client for Mosaic servers.

use std::process::ExitCode;

fn main() -> ExitCode {
    mosaicd::cli::main()
}
