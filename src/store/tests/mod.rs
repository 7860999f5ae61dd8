//! Tests of the store as a whole.

mod blobs;
mod checking;
mod model;
mod moving;
mod planning;
mod recovery;
mod support;
mod writing;
