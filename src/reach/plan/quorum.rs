//! How many networks have to agree.

/// How many networks are tried, and how many have to agree.
///
/// # Source
/// `reachability.md` section (d.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quorum {
    /// Networks that a round tries.
    pub(super) tried: usize,
    /// Networks that have to reach the endpoint: more than can lie.
    pub(super) reached: usize,
    /// Of these, ones that this server had not contacted.
    pub(super) cold: usize,
    /// Networks whose failures are believed: more than can lie.
    pub(super) failed: usize,
}

impl Quorum {
    /// Two of five may lie.
    pub(super) const FULL: Self = Self {
        tried: 5,
        reached: 3,
        cold: 2,
        failed: 3,
    };

    /// One of three may lie. For young networks, and only beside a witness that the operator
    /// vouches for.
    pub(super) const SMALL: Self = Self {
        tried: 3,
        reached: 2,
        cold: 1,
        failed: 2,
    };

    /// The quorum among `usable` networks; where they are too few, how many are needed.
    pub(super) const fn among(usable: usize, has_pinned: bool) -> Result<Self, usize> {
        if usable >= Self::FULL.tried {
            Ok(Self::FULL)
        } else if !has_pinned {
            Err(Self::FULL.tried)
        } else if usable >= Self::SMALL.tried {
            Ok(Self::SMALL)
        } else {
            Err(Self::SMALL.tried)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_network_decides_only_beside_a_pinned_witness() {
        for (usable, has_pinned, expected) in [
            (0, false, Err(5)),
            (4, false, Err(5)),
            (5, false, Ok(Quorum::FULL)),
            (2, true, Err(3)),
            (3, true, Ok(Quorum::SMALL)),
            (4, true, Ok(Quorum::SMALL)),
            (5, true, Ok(Quorum::FULL)),
        ] {
            assert_eq!(Quorum::among(usable, has_pinned), expected, "{usable}");
        }
    }

    #[test]
    fn more_networks_have_to_agree_than_can_lie() {
        for quorum in [Quorum::FULL, Quorum::SMALL] {
            let liars = quorum.tried - quorum.reached;
            assert!(quorum.reached > liars && quorum.failed > liars);
        }
    }
}
