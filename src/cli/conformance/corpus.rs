//! The records that the checks of filters ask for.

use std::time::Duration;

use super::check::Stop;
use super::world::{UNIQUE, Who, World, kind, plain, signed};
use crate::wire::{Kind, Record, RecordBuilder, TagKind, TagsBuilder, Timestamp};

/// Records of the user, oldest first, a second apart, and what they have in common.
///
/// | record | kind | tags |
/// |--------|------|---------|
/// | 0 | 0 | all, X |
/// | 1 | 0 | all, X, Y |
/// | 2 | 1 | all, Y |
/// | 3 | 1 | all |
/// | 4 | 2 | all, X |
pub(super) struct Corpus {
    pub(super) records: Vec<Record>,
    pub(super) kinds: [Kind; 3],
    /// Value of the tag that all of them have.
    all: [u8; 24],
    x: [u8; 24],
    y: [u8; 24],
    /// A record that passes none of their filters.
    pub(super) other: Record,
}

impl Corpus {
    pub(super) async fn publish(world: &World) -> Result<Self, Stop> {
        let mut corpus = Self {
            records: Vec::new(),
            kinds: [kind(UNIQUE)?, kind(UNIQUE)?, kind(UNIQUE)?],
            all: rand::random(),
            x: rand::random(),
            y: rand::random(),
            other: plain(&world.user, UNIQUE)?,
        };
        let [k0, k1, k2] = corpus.kinds;
        let all = || tag(&corpus.all);
        let rows = [
            (k0, corpus.with_x(all())),
            (k0, corpus.with_y(corpus.with_x(all()))),
            (k1, corpus.with_y(all())),
            (k1, all()),
            (k2, corpus.with_x(all())),
        ];
        let start = Timestamp::now().saturating_sub(Duration::from_secs(10));
        for (seconds, (kind, tags)) in (0..).zip(rows) {
            let record = RecordBuilder::new(kind, world.user.public())
                .timestamp(start.saturating_add(Duration::from_secs(seconds)))
                .tags(tags);
            corpus.records.push(signed(record, &world.user)?);
        }
        // Neither in the order of their age nor in the opposite one.
        for place in [2, 0, 4, 1, 3] {
            if let Some(record) = corpus.records.get(place) {
                world.publish(Who::User, record).await?;
            }
        }
        world.publish(Who::User, &corpus.other).await?;
        Ok(corpus)
    }

    /// The tag that all have.
    pub(super) fn tag_of_all(&self) -> TagsBuilder {
        tag(&self.all)
    }

    pub(super) fn tag_x(&self) -> TagsBuilder {
        tag(&self.x)
    }

    pub(super) fn tag_y(&self) -> TagsBuilder {
        tag(&self.y)
    }

    pub(super) fn with_x(&self, tags: TagsBuilder) -> TagsBuilder {
        with(tags, &self.x)
    }

    pub(super) fn with_y(&self, tags: TagsBuilder) -> TagsBuilder {
        with(tags, &self.y)
    }

    /// When the record at `place` is dated.
    pub(super) fn timestamp(&self, place: usize) -> Timestamp {
        let record = self.records.get(place);
        record.map_or(Timestamp::MIN, |record| record.view().timestamp())
    }
}

fn tag(value: &[u8; 24]) -> TagsBuilder {
    with(TagsBuilder::new(), value)
}

/// `tags` with one more; 24 bytes always fit.
fn with(tags: TagsBuilder, value: &[u8; 24]) -> TagsBuilder {
    tags.clone().raw(TEST_TAG, value).unwrap_or(tags)
}

/// A tag of the example application.
const TEST_TAG: TagKind = TagKind(0x7f99);
