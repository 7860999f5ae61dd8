//! Nouns that every other module shares, and every bound of the crate with its unit and reason.

mod causes;
pub mod limits;
mod network;
mod role;
mod seq;

pub use causes::Causes;
pub use network::Network;
pub use role::{Role, RoleSet};
pub use seq::Seq;
