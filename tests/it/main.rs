//! The whole, over real sockets and real processes.
//!
//! The modules say `cfg(test)` though nothing else compiles them, so that the lints know their helpers for test code.

#[cfg(test)]
mod support;

#[cfg(test)]
mod admin;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod blob;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod real_input;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod slow_reader;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod users;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod wide;
