//! The checks, one file a group.

mod access;
mod blobs;
mod broken;
mod extension;
mod framing;
mod get;
mod hello;
mod query;
mod roles;
mod schedules;
mod signatures;
mod submissions;
mod subscribe;
mod transport;

use super::check::Check;

/// Every check, group by group.
pub(super) fn all() -> impl Iterator<Item = &'static Check> {
    [
        transport::CHECKS,
        hello::CHECKS,
        framing::CHECKS,
        broken::CHECKS,
        signatures::CHECKS,
        submissions::CHECKS,
        get::CHECKS,
        query::CHECKS,
        subscribe::CHECKS,
        access::CHECKS,
        roles::CHECKS,
        schedules::CHECKS,
        blobs::CHECKS,
        extension::CHECKS,
    ]
    .into_iter()
    .flatten()
}
