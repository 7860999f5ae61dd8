//! Rules that the operator changes while the server runs.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::rules::Rules;

/// The rules as they are at this moment. They are swapped whole: whoever decides takes them once and
/// decides by those, so no decision sees half of a change.
#[derive(Debug)]
pub struct LiveRules {
    rules: ArcSwap<Rules>,
}

impl LiveRules {
    /// Begins with these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules: ArcSwap::from_pointee(rules),
        }
    }

    /// The rules of one decision. Costs no more than an atomic load, so it may be asked for each
    /// record; not to be kept for longer than the decision takes.
    #[must_use]
    pub fn now(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// From here on `rules` hold, for every decision that begins.
    pub fn swap(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::rules;

    #[test]
    fn a_decision_that_has_begun_keeps_its_rules() {
        let live = LiveRules::new(rules());
        let before = live.now();
        live.swap(Rules {
            inbox_public: !before.inbox_public,
            ..rules()
        });
        assert_ne!(before.inbox_public, live.now().inbox_public);
    }
}
