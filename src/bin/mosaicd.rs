//! `mosaicd`, the server.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use mosaicd::server::commands::{self, Arguments};

/// Many small buffers of many connections are what the server allocates; this allocator is made
/// for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    commands::run(&arguments, &mut io::stdout(), &mut io::stderr())
}
