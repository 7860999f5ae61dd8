//! Records from flags and text.

use clap::Args;

use super::super::error::CliError;
use super::super::values::{self, TagValue};
use crate::client::Client;
use crate::wire::{
    Address, CoreTag, Kind, PublicKey, Record, RecordBuilder, Reference, SecretKey, TagsBuilder,
    Timestamp,
};

/// What the record is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "The record")]
pub(super) struct ComposeArgs {
    /// microblog, reply, blog, chat, profile, key-schedule, or 16 hexadecimal digits
    /// [default: microblog, or reply with --reply]
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,

    /// Hang a tag on it, TYPE:HEXVALUE; repeat it for several
    #[arg(long, value_name = "TAG")]
    tag: Vec<TagValue>,

    /// It is for that user; repeat it for several
    #[arg(long, value_name = "MOPUB0")]
    notify: Vec<PublicKey>,

    /// It answers that record; the record is looked up, for its kind and the root of the thread
    #[arg(long, value_name = "MOREF0")]
    reply: Option<Reference>,

    /// Kind of the record that is answered, where this server does not have it
    #[arg(long, value_name = "KIND", requires = "reply")]
    reply_kind: Option<Kind>,

    /// Have servers take it from you only, signed in
    #[arg(long)]
    from_author: bool,

    /// Derive its address from TEXT, so that it replaces or succeeds others at that address
    #[arg(long, value_name = "TEXT")]
    nonce_from: Option<String>,

    /// Your master key, where the key that signs is a subkey
    #[arg(long, value_name = "MOPUB0")]
    author: Option<PublicKey>,

    /// Date it: RFC 3339, nanoseconds, or how long ago (2h) [default: now]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    timestamp: Option<Timestamp>,
}

/// Every flag that shapes a new record.
pub(super) const FLAGS: [&str; 9] = [
    "kind",
    "tag",
    "notify",
    "reply",
    "reply_kind",
    "from_author",
    "nonce_from",
    "author",
    "timestamp",
];

impl ComposeArgs {
    /// What makes the records. A record that is answered is looked up with `client`.
    ///
    /// # Errors
    /// The look-up fails, or the tags do not fit.
    pub(super) async fn composer(
        &self,
        key: SecretKey,
        client: &Client,
    ) -> Result<Composer, CliError> {
        let thread = match self.reply {
            Some(reference) => Some(self.thread(reference, client).await?),
            None => None,
        };
        self.composer_in(key, thread.as_ref())
    }

    fn composer_in(&self, key: SecretKey, thread: Option<&Thread>) -> Result<Composer, CliError> {
        let default = match thread {
            Some(_) => Kind::REPLY_COMMENT,
            None => Kind::MICROBLOG_ROOT,
        };
        let kind = self.kind.unwrap_or(default);
        let author = self.author.unwrap_or_else(|| key.public());
        let mut tags = TagsBuilder::new();
        if let Some(Thread { parent, root }) = thread {
            tags = tags.reply(parent.0, parent.1).root(root.0, root.1);
        }
        tags = self.notify.iter().copied().fold(tags, TagsBuilder::notify);
        for tag in &self.tag {
            tags = tag.add_to(tags)?;
        }
        let nonce_from = self.nonce_from.as_deref();
        Ok(Composer {
            nonce: nonce_from.map(|text| Address::derived(text.as_bytes(), kind, author).nonce()),
            key,
            kind,
            author,
            tags,
            from_author: self.from_author,
            timestamp: self.timestamp,
        })
    }

    async fn thread(&self, reference: Reference, client: &Client) -> Result<Thread, CliError> {
        let mut results = client.get(vec![reference]).await?;
        match results.next().await? {
            Some(record) => Ok(Thread::answering(reference, &record)),
            None => {
                let kind = match reference {
                    Reference::Address(address) => Some(address.kind()),
                    Reference::Id(_) => self.reply_kind,
                };
                let kind = kind.ok_or(CliError::ReplyKind(reference))?;
                Ok(Thread::started_by(kind, reference))
            }
        }
    }
}

/// Where a reply belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thread {
    parent: (Kind, Reference),
    root: (Kind, Reference),
}

impl Thread {
    /// The thread of `record`, which the user calls `reference`.
    fn answering(reference: Reference, record: &Record) -> Self {
        let parent = (record.view().kind(), reference);
        let root = record.view().tags().find_map(|tag| match tag.core() {
            Some(CoreTag::Root(kind, reference)) => Some((kind, reference)),
            _ => None,
        });
        Self {
            parent,
            root: root.unwrap_or(parent),
        }
    }

    /// The thread that the record answered starts itself.
    const fn started_by(kind: Kind, reference: Reference) -> Self {
        let parent = (kind, reference);
        Self {
            parent,
            root: parent,
        }
    }
}

/// Makes records that differ in their payload alone.
#[derive(Debug)]
pub(super) struct Composer {
    key: SecretKey,
    kind: Kind,
    author: PublicKey,
    tags: TagsBuilder,
    nonce: Option<[u8; 8]>,
    from_author: bool,
    timestamp: Option<Timestamp>,
}

impl Composer {
    /// A record with that payload, signed.
    ///
    /// # Errors
    /// It would be too long, or its kind promises text and the payload is none.
    pub(super) fn record(&self, payload: Vec<u8>) -> Result<Record, CliError> {
        if self.kind.is_printable() && std::str::from_utf8(&payload).is_err() {
            return Err(CliError::BadValue {
                what: "the payload",
                why: "it is not UTF-8, which records of this kind must be".into(),
            });
        }
        let mut builder = RecordBuilder::new(self.kind, self.author)
            .tags(self.tags.clone())
            .from_author(self.from_author)
            .payload(payload);
        if let Some(nonce) = self.nonce {
            builder = builder.nonce(nonce);
        }
        if let Some(timestamp) = self.timestamp {
            builder = builder.timestamp(timestamp);
        }
        Ok(builder.sign(&self.key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    #[test]
    fn flags_shape_the_record() {
        let args = ComposeArgs {
            kind: Some(Kind::CHAT_MESSAGE),
            tag: vec!["900:00ff".parse().unwrap()],
            notify: vec![key(2).public(), key(3).public()],
            from_author: true,
            nonce_from: Some("home page".into()),
            author: Some(key(4).public()),
            timestamp: Some(Timestamp::from_nanos(5).unwrap()),
            ..ComposeArgs::default()
        };
        let composer = args.composer_in(key(1), None).unwrap();
        let record = composer.record(b"hello".to_vec()).unwrap();
        let view = record.view();
        assert_eq!(view.kind(), Kind::CHAT_MESSAGE);
        assert_eq!(view.author(), key(4).public());
        assert_eq!(view.signer(), key(1).public());
        assert_eq!(view.timestamp().nanos(), 5);
        assert!(view.flags().from_author());
        let expected = Address::derived(b"home page", Kind::CHAT_MESSAGE, key(4).public());
        assert_eq!(view.address(), expected);
        let notified: Vec<_> = view.notifies().collect();
        assert_eq!(notified, [key(2).public(), key(3).public()]);
        assert_eq!(view.tags().last().unwrap().value(), [0, 255]);
        assert_eq!(view.payload(), b"hello");
    }

    #[test]
    fn a_text_is_a_microblog_of_ones_own_at_an_address_of_its_own() {
        let composer = ComposeArgs::default().composer_in(key(1), None).unwrap();
        let one = composer.record(b"one".to_vec()).unwrap();
        let two = composer.record(b"two".to_vec()).unwrap();
        assert_eq!(one.view().kind(), Kind::MICROBLOG_ROOT);
        assert_eq!(one.view().author(), key(1).public());
        assert_ne!(one.view().address(), two.view().address());
    }

    #[test]
    fn a_reply_names_what_it_answers_and_the_root_of_the_thread() {
        let start = ComposeArgs::default().composer_in(key(1), None).unwrap();
        let start = start.record(b"start".to_vec()).unwrap();
        let start_reference = Reference::from(start.id());
        let first = Thread::answering(start_reference, &start);
        let started = (Kind::MICROBLOG_ROOT, start_reference);
        assert_eq!(
            first,
            Thread {
                parent: started,
                root: started
            }
        );

        let reply = ComposeArgs::default()
            .composer_in(key(2), Some(&first))
            .unwrap();
        let reply = reply.record(b"reply".to_vec()).unwrap();
        assert_eq!(reply.view().kind(), Kind::REPLY_COMMENT);
        let core: Vec<_> = reply.view().tags().filter_map(|tag| tag.core()).collect();
        let expected = [
            CoreTag::Reply(started.0, started.1),
            CoreTag::Root(started.0, started.1),
        ];
        assert_eq!(core, expected);

        let second = Thread::answering(Reference::from(reply.id()), &reply);
        assert_eq!(second.root, started);
        assert_eq!(second.parent, (Kind::REPLY_COMMENT, reply.id().into()));
    }

    #[test]
    fn a_kind_that_promises_text_takes_no_other_payload() {
        let composer = ComposeArgs::default().composer_in(key(1), None).unwrap();
        let error = composer.record(vec![0xff]).unwrap_err();
        assert!(matches!(error, CliError::BadValue { .. }));
    }
}
