//! What a double does otherwise than an honest server.

/// The one thing in which the server differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An honest server with BLOBs, key schedules and the extension messages.
    None,

    // Other ways to keep every rule.
    /// Without BLOBs, key schedules and extension messages.
    Plain,
    /// Every record is refused before it is looked at.
    ServesNobody,
    /// What has come at once is answered last first.
    RepliesInReverse,
    /// The role of the operator is not configured.
    NoOperators,
    /// No record may be dated in the future.
    RefusesFuture,

    // The connection and its messages.
    BelievesCertificates,
    OffersEarlyData,
    TakesOtherProtocol,
    SecondHello,
    HighVersion,
    TakesHelloAuth,
    AnswersBeforeHello,
    GrantsMore,
    WrongPrefix,
    DirtyBytes,
    DirtyUnrecognized,
    DirtyAck,
    ReservedMustBeZero,
    GoesOnAfterUnknown,
    /// A length that its type cannot have is overlooked.
    LaxLength,
    /// Of what has come at once the first message alone is read.
    ReadsOneAtATime,
    /// A message that has not come whole is thrown away.
    ReadsWholeOnly,

    // Records.
    /// Whatever is wrong in this way is called good. Part of the name of the error of our reader.
    Believes(&'static str),
    BelievesSignatures,
    TakesTooLarge,
    ReadsIgnoredFlags,
    NothingIsDuplicate,
    AllIsInvalid,
    /// So is what somebody else than the author hands in.
    LettersAreInvalid,
    LastReplaces,
    /// Of a replaceable address the latest alone is served, but by ID and filter the others too.
    ReplacesByAddressAlone,
    UniqueReplaces,
    VersionedReplaces,
    KeepsEphemeral,
    EphemeralIsHeard,
    FromAuthorByAnybody,
    FromAuthorIsInvalid,
    /// ACCEPTED, but others see the record only after the submitter's next message.
    StoresLater,
    /// ACCEPTED, but a record is lost whose submitter goes away before its next message.
    ForgetsOnClose,

    // Reading.
    NothingIsSuccess,
    NothingIsNotFound,
    FoundIsNotFound,
    StopsAtMissing,
    /// Elements of that type pass everything.
    Ignores(u8),
    /// Elements of that type hold their first value alone.
    FirstOnly(u8),
    /// Author keys are taken for signing keys, and the other way round.
    SwapsKeys,
    ReceivedIsDated,
    /// Of two elements of a unique type the last counts.
    LastElementCounts,
    OpenIsInvalid,
    OldestFirst,
    NoLimit,
    /// LOCALLY COMPLETE comes before the stored records.
    CompleteFirst,
    CompleteTwice,
    NeverUnsubscribes,
    /// What an ended subscription would have got comes behind what an open one gets.
    TellsTheEnded,
    UnknownIsSuccess,
    /// A QUERY leaves the subscription with its ID as it is.
    QueryLeavesOpen,
    /// So does a SUBSCRIBE.
    SubscribeLeavesOpen,
    LiveTwice,

    // Who may read.
    /// What is for its author alone is for everybody.
    LeaksToStrangers,
    /// What is for the tagged is for everybody.
    IgnoresTags,
    /// That, in the answer to a QUERY alone.
    IgnoresTagsInQueries,
    /// That, of what arrives alone.
    IgnoresTagsInNews,
    /// That, on streams bound to encryption alone.
    IgnoresTagsWhereBound,
    FirstTagOnly,
    AuthorsSeeNothing,
    TaggedSeeNothing,
    AnonymousSeeNothing,
    /// On a stream bound to encryption too the author reads.
    AuthorReadsLetters,
    /// Another reply for what is there and may not be seen.
    RefusesTheInvisible,
    DuplicateTells,

    // Key schedules.
    SubkeysAreNobody,
    SubkeysAreHidden,
    SubkeysDoNotReplace,
    UnlistedReplaces,
    RevokedSign,
    RevokedStay,
    RevokedRead,
    RevokedFromIsWhole,
    OutOfUseIsRevoked,

    // BLOBs.
    BlobsAreForUsers,
    BlobsAreLost,
    BlobsOnce,
    BlobsUnderAnyHash,
    BlobsInPart,
    BlobsOfAnySize,
    BlobsEndTheStream,
    AbsentBlobIsSuccess,

    // Extension messages.
    ExtensionsUngranted,
    /// INFO REPLY lacks its keys.
    EmptyInfo,
    OtherKeyInInfo,
    OtherRequestId,
    BadBodyIsUnrecognized,
    OpensWhatIsOff,
    BindsLate,
    EverybodyIsOperator,
}
