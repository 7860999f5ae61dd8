//! The service among real hosts, and its rules by themselves.

mod admission;
mod dialing;
mod quotas;
mod relaying;
mod vouching;
pub(in crate::reach) mod world;
