//! The whole, over real sockets and real processes.

mod support;

mod bad_input;
mod cli;
mod crash;
mod handshake;
mod real_input;
mod serve;
mod slow_reader;
mod tidy;
mod vectors;
