//! What all connections of a listener have in common.

use std::sync::Arc;

use crate::policy::{Gate, Rules};

/// What all connections of a listener have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which roles the listener serves at this moment.
    pub gate: Arc<Gate>,
    /// Whom and what the server serves.
    pub rules: Arc<Rules>,
    /// The applications that HELLO ACK grants to those who ask for them. The extension set of
    /// this server is granted beside them and is not listed here.
    pub apps: Vec<u32>,
    /// Whether a filter without a narrow element is refused with `TOO_OPEN`.
    pub refuse_wide_filters: bool,
}
