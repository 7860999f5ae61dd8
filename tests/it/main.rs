//! The whole, over real sockets and real processes.

mod support;

mod bad_input;
mod crash;
mod real_input;
mod slow_reader;
mod tidy;
mod vectors;
