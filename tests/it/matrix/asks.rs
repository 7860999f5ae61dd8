//! The ways to ask for a record.

use bytes::Bytes;
use mosaicd::base::Role;
use mosaicd::wire::{
    ClientMessage, Filter, FilterBuilder, Kind, QueryId, ReadAccess, Record, RecordBuilder,
    Reference, ResultCode, ServerMessage, TagKind, TagsBuilder, Timestamp,
};

use super::cast::{Hand, Person, at};
use super::table::Row;

/// Something that was made for the test, with all that filters can find it by.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) record: Record,
    /// A tag that no other record has.
    mark: u64,
}

impl Made {
    fn view(&self) -> mosaicd::wire::RecordRef<'_> {
        self.record.view()
    }

    fn kind(&self) -> Kind {
        self.view().kind()
    }

    fn time(&self) -> Timestamp {
        self.view().timestamp()
    }
}

/// How a record is made.
pub(super) struct Draft<'a> {
    pub(super) author: Person,
    pub(super) signer: Hand,
    pub(super) notified: &'a [Person],
    pub(super) access: ReadAccess,
    pub(super) app: u32,
    /// Unlike that of every other record of the test.
    pub(super) number: u16,
}

impl Draft<'_> {
    pub(super) fn make(&self) -> Made {
        let access: u64 = match self.access {
            ReadAccess::AuthorOnly => 0b0000,
            ReadAccess::AuthorAndTagged => 0b0100,
            ReadAccess::Everybody => 0b1100,
        };
        let kind = (u64::from(self.app) << 32) | (u64::from(self.number) << 16) | access;
        let mark = u64::from(self.number);
        let mut tags = TagsBuilder::new();
        for person in self.notified {
            tags = tags.notify(person.key());
        }
        let record = RecordBuilder::new(Kind::new(kind).unwrap(), self.author.key())
            .timestamp(at(1_000 + mark))
            .tags(marked(tags, mark))
            .sign(&self.signer.secret().unwrap())
            .unwrap();
        Made { record, mark }
    }
}

fn marked(tags: TagsBuilder, mark: u64) -> TagsBuilder {
    tags.raw(TagKind(0x7777), &mark.to_be_bytes()).unwrap()
}

/// The record of a row, under a number that no other has.
pub(super) fn of_row(row: &Row, signer: Hand, number: u16) -> Made {
    let app = match row.shape {
        Role::Application => SERVED_APP,
        Role::Outbox | Role::Inbox | Role::Encryption => OTHER_APP,
    };
    let draft = Draft {
        author: row.author(),
        signer,
        // The served one stands behind the other one.
        notified: &[Person::Second, row.recipient()],
        access: row.access,
        app,
        number,
    };
    draft.make()
}

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    GetId,
    GetAddress,
    Query(Element),
    Stored,
    Live,
}

/// The elements that a filter can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Authors,
    Signers,
    Kinds,
    Timestamps,
    Tags,
    Since,
    Until,
    ReceivedSince,
    ReceivedUntil,
    Exclude,
    ExcludedTags,
}

pub(super) const ELEMENTS: [Element; 11] = [
    Element::Authors,
    Element::Signers,
    Element::Kinds,
    Element::Timestamps,
    Element::Tags,
    Element::Since,
    Element::Until,
    Element::ReceivedSince,
    Element::ReceivedUntil,
    Element::Exclude,
    Element::ExcludedTags,
];

/// All ways that are one request and its answer.
pub(super) fn one_by_one() -> Vec<Path> {
    let queries = ELEMENTS.map(Path::Query);
    let gets = [Path::GetId, Path::GetAddress];
    gets.into_iter()
        .chain(queries)
        .chain([Path::Stored])
        .collect()
}

/// The requests for one record and no other, by every way of [`one_by_one`]. `foreign` is a record
/// that it is not.
pub(super) fn for_one(made: &Made, foreign: &Made) -> Vec<ClientMessage> {
    let paths = one_by_one().into_iter().zip(0..);
    let requests = paths.map(|(path, id)| {
        let id = QueryId(id);
        let get = |reference| ClientMessage::Get {
            id,
            references: vec![reference],
        };
        match path {
            Path::GetId => get(Reference::Id(made.record.id())),
            Path::GetAddress => get(Reference::Address(made.view().address())),
            Path::Query(element) => ClientMessage::Query {
                id,
                limit: 0,
                filter: alone(element, made, foreign),
            },
            Path::Stored => ClientMessage::Subscribe {
                id,
                limit: 0,
                filter: span(made).build().unwrap(),
            },
            Path::Live => unreachable!("what is live is not asked for one by one"),
        }
    });
    requests.collect()
}

fn span(made: &Made) -> FilterBuilder {
    FilterBuilder::new().since(made.time()).until(made.time())
}

/// A filter with that element that finds `made` alone.
fn alone(element: Element, made: &Made, foreign: &Made) -> Filter {
    let new = FilterBuilder::new;
    let moment = || new().timestamps([made.time()]);
    let filter = match element {
        Element::Authors => span(made).authors([made.view().author()]),
        Element::Signers => span(made).signers([made.view().signer()]),
        Element::Kinds => new().kinds([made.kind()]),
        Element::Timestamps => moment(),
        Element::Tags => new().tags(marked(TagsBuilder::new(), made.mark)),
        // No narrow element, no kinds: nothing but time.
        Element::Since => span(made),
        Element::Until => new().until(made.time()).kinds([made.kind()]),
        Element::ReceivedSince => moment().received_since(Timestamp::MIN),
        Element::ReceivedUntil => moment().received_until(Timestamp::MAX),
        Element::Exclude => moment().exclude([foreign.record.id().prefix()]),
        Element::ExcludedTags => moment().exclude_tags(marked(TagsBuilder::new(), foreign.mark)),
    };
    filter.build().unwrap()
}

/// Filters that find all of `made`: one without any element, and one with each element alone.
pub(super) fn for_all<'a>(made: impl Iterator<Item = &'a Made> + Clone) -> Vec<Filter> {
    let new = FilterBuilder::new;
    let foreign = Draft {
        author: Person::Stranger,
        signer: Hand::Own(Person::Stranger),
        notified: &[],
        access: ReadAccess::Everybody,
        app: OTHER_APP,
        number: u16::MAX,
    };
    let foreign = foreign.make();
    let wide = |element| match element {
        Element::Authors => new().authors(unique(made.clone().map(|it| it.view().author()))),
        Element::Signers => new().signers(unique(made.clone().map(|it| it.view().signer()))),
        Element::Kinds => new().kinds(made.clone().map(Made::kind)),
        Element::Timestamps => new().timestamps(made.clone().map(Made::time)),
        Element::Tags => {
            let marks = made.clone().map(|it| it.mark);
            new().tags(marks.fold(TagsBuilder::new(), marked))
        }
        Element::Since => new().since(at(1_000)),
        Element::Until => new().until(Timestamp::MAX),
        Element::ReceivedSince => new().received_since(Timestamp::MIN),
        Element::ReceivedUntil => new().received_until(Timestamp::MAX),
        Element::Exclude => new().exclude([foreign.record.id().prefix()]),
        Element::ExcludedTags => new().exclude_tags(marked(TagsBuilder::new(), foreign.mark)),
    };
    let wide = ELEMENTS.map(wide).into_iter();
    let filters = std::iter::once(new()).chain(wide);
    filters.map(|filter| filter.build().unwrap()).collect()
}

fn unique<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for value in values {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}

/// The bytes that answer a request of [`for_one`] where the record is there.
pub(super) fn found(path: Path, id: u16, made: &Made) -> Vec<Bytes> {
    let record = made.record.bytes().clone();
    let id = QueryId(id);
    let mut answer = vec![ServerMessage::Record { id, record }.encode()];
    answer.extend(closed(path, id, ResultCode::Success));
    answer
}

/// The bytes that answer it where nothing is there, on a stream that is bound so.
pub(super) fn nothing(path: Path, id: u16, hand: Hand, bound: Option<Role>) -> Vec<Bytes> {
    let id = QueryId(id);
    if hand == Hand::Nobody && bound == Some(Role::Encryption) {
        let result = ResultCode::RequiresAuthentication;
        return vec![ServerMessage::QueryClosed { id, result }.encode()];
    }
    match path {
        Path::GetId | Path::GetAddress => closed(path, id, ResultCode::NotFound),
        Path::Query(_) | Path::Stored | Path::Live => closed(path, id, ResultCode::Success),
    }
}

fn closed(path: Path, id: QueryId, result: ResultCode) -> Vec<Bytes> {
    let complete = ServerMessage::LocallyComplete { id }.encode();
    let closed = ServerMessage::QueryClosed { id, result }.encode();
    match path {
        Path::Stored => vec![complete, closed],
        _ => vec![closed],
    }
}

/// The application that the servers of the application's rows serve.
pub(super) const SERVED_APP: u32 = 99;

/// An application that is not configured anywhere.
pub(super) const OTHER_APP: u32 = 7;
