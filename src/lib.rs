//! mosaicd: a server for the Mosaic protocol, and the client that goes with it.

pub mod base;
