//! Tests of the store as a whole.

mod acting;
mod blobs;
mod charging;
mod checking;
mod holding;
mod ledger;
mod model;
mod moving;
mod paging;
mod planning;
mod recovery;
mod support;
mod writing;
