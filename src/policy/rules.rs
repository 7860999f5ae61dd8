//! What the operator decided: whom the server serves, and which applications.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::blobs::BlobRules;
use super::moderation::Moderation;
use crate::wire::{Kind, PublicKey};

/// The users whose outbox, inbox and encryption server this is.
pub trait Served: Send + Sync {
    /// Whether the user with that master key is served.
    ///
    /// Called several times for each record, so it must not block.
    fn contains(&self, master: &PublicKey) -> bool;
}

/// The operator's decisions that the role rules depend on.
#[derive(Clone)]
pub struct Rules {
    /// The users who are served.
    pub served: Arc<dyn Served>,
    /// Whether anyone may read the inbox's records whose read access is *everybody*.
    /// The specification says servers should allow it.
    pub inbox_public: bool,
    /// Which records of the inbox wait for the operator's word.
    pub moderation: Moderation,
    /// The rules of the application role.
    pub applications: AppRules,
    /// The rules of BLOBs.
    pub blobs: BlobRules,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("inbox_public", &self.inbox_public)
            .field("moderation", &self.moderation)
            .field("applications", &self.applications)
            .field("blobs", &self.blobs)
            .finish_non_exhaustive()
    }
}

/// The rules of the application role.
#[derive(Clone, Debug)]
pub struct AppRules {
    /// The applications whose records are taken.
    pub apps: Apps,
    /// Who may submit them.
    pub submit: AppSubmit,
}

/// A set of applications, optionally narrowed to single kinds of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apps {
    /// Every application.
    Any,
    /// The listed ones: application ID, and with it the one application-specific kind that is
    /// meant, or `None` for all kinds of the application.
    List(Vec<(u32, Option<u16>)>),
}

impl Apps {
    /// Whether records of that kind are in the set.
    #[must_use]
    pub fn contains(&self, kind: Kind) -> bool {
        match self {
            Self::Any => true,
            Self::List(list) => list.iter().any(|(app, number)| {
                *app == kind.app() && number.is_none_or(|number| number == kind.number())
            }),
        }
    }

    /// Whether at least one kind of the application is in the set.
    #[must_use]
    pub fn serves(&self, app: u32) -> bool {
        match self {
            Self::Any => true,
            Self::List(list) => list.iter().any(|(listed, _)| *listed == app),
        }
    }
}

/// Who may submit records to the application role.
#[derive(Clone, Debug)]
pub enum AppSubmit {
    /// Anyone, anonymous peers included.
    Anyone,
    /// Every authenticated peer whose key speaks for a master.
    Authenticated,
    /// Authenticated peers that speak for one of these masters.
    Listed(BTreeSet<PublicKey>),
}
