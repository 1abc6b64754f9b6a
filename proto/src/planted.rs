//! Planted faults: mistakes on purpose, one at a time, so that a test can prove that the tests would see them.
//!
//! The place of a fault asks [`planted`] and goes wrong if it is told so. Without the feature `planted-faults`, which no crate enables, the
//! answer is a constant and nothing of it is left in a build.

/// Says whether `fault` is planted now.
#[cfg(not(feature = "planted-faults"))]
#[inline]
pub const fn planted(_fault: Fault) -> bool {
    false
}

/// Says whether `fault` is planted now.
#[cfg(feature = "planted-faults")]
pub fn planted(fault: Fault) -> bool {
    switch::is_on(fault)
}

/// Makes the enum and the lists that belong to it: what each fault breaks, and the promise that it breaks.
macro_rules! faults {
    ($(#[doc = $what:literal] $fault:ident: $promise:ident,)+) => {
        /// What can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $what] $fault,)+
        }

        #[cfg(feature = "planted-faults")]
        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$fault,)+];

            /// What it breaks.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$fault => $what,)+ }
            }

            /// The promise that it breaks.
            pub const fn promise(self) -> Promise {
                match self { $(Self::$fault => Promise::$promise,)+ }
            }
        }
    };
}

faults! {
    /// A change that waits for the end of its interval is forgotten.
    DropTrailingEdge: Fresh,
    /// A lane speaks twice as often as it may.
    HalveInterval: Bounded,
    /// The first change of a lane waits for an interval as well.
    DelayLeadingEdge: Fresh,
    /// A field that became unknown is not named in `clear`.
    ForgetClear: Honest,
    /// The extremes of an interval still hold those of the record before.
    KeepExtremes: Complete,
    /// The extremes of an interval begin anew with each input.
    ResetExtremes: Complete,
    /// Each input of a record counts twice.
    DoubleMergeCount: Complete,
    /// An event leaves before the state that was pending in front of it.
    EventBeforeState: Complete,
    /// An event for a client that cannot take it now is dropped.
    DropEvent: Complete,
    /// A loss is noted and never told.
    UntoldGap: Complete,
    /// The ring of events overflows, and nobody is told that those who come back have lost some.
    UntoldRingOverflow: Complete,
    /// The oldest trades of a full lane go without a word.
    UntoldTradeLoss: Complete,
    /// A client that was given the newest state gets the older trades of its lane behind it.
    TradesBehindState: Complete,
    /// A client that comes back to a node behind its token is told the single trades below it.
    TradesBelowToken: Complete,
    /// A client that waits for its images is given deltas.
    DeltaBeforeImage: Honest,
    /// The images leave before the ack of their Subscribe.
    ImagesBeforeAck: Honest,
    /// A snapshot is said to be complete before its images.
    CompleteBeforeImages: Honest,
    /// A record leaves without the info of its instrument.
    OmitInfo: Honest,
    /// An instrument's new scales are not told to those who have the old ones.
    UntoldScales: Honest,
    /// The resume token covers what has been applied, told or not.
    TokenAhead: Complete,
    /// A resume token of another log counts as one of this log.
    AcceptForeignToken: Honest,
    /// A client that resumes gets no images, whatever changed.
    ResumeWithoutImages: Fresh,
    /// A client that resumes is not given the events in between.
    ResumeWithoutEvents: Complete,
    /// Clients keep what an ended log had said.
    UntoldReset: Honest,
    /// An update that is older than the book is applied.
    ApplyOlderUpdate: Honest,
    /// A paused client gets data.
    IgnorePause: Bounded,
    /// A client that can take data again gets the newest changes first.
    NewestDirtyFirst: Fresh,
    /// A client that was behind is told one input by halves.
    TellByHalves: Honest,
    /// A client is told that it is slow, and never that this is over.
    NeverClearSlow: Honest,
    /// A socket that can take data again is not written to.
    ForgetWritable: Fresh,
    /// Data counts as a heartbeat, so that under load none comes.
    NoHeartbeatUnderLoad: Honest,
    /// Clients are not told when a feed changes its health.
    UntoldFeedState: Honest,
    /// An instrument that appears late does not join the patterns that name it.
    IgnoreLateInstrument: Fresh,
    /// Unsubscribing leaves the place in the lane behind.
    LeakLane: Bounded,
    /// A change of rate forgets what the old lane had pending.
    DropCarryOver: Fresh,
    /// The least rate that is granted is not kept.
    IgnoreMinimumRate: Bounded,
    /// A rule for the rate of some instruments is not kept.
    IgnoreRateRule: Bounded,
    /// A checkpoint does not say which events its images stand for.
    CheckpointWithoutEvents: Complete,
    /// What waits for a client, or is replayed to it, keeps the scales that it was encoded at.
    KeepOldScales: Honest,
    /// A change of scales that waited is told as the newest one, before what is at the scales in between.
    TellNewestInfo: Honest,
    /// The extremes that a paused client is owed keep the scales of before.
    KeepOldExtremes: Honest,
    /// What a client has not reported is no bound to what is written.
    IgnoreWindow: Fresh,
    /// A report of frames that were never sent, or were reported before, is believed.
    BelieveFalseProgress: Fresh,
    /// A client that is watched is written to without a bound.
    WatchWithoutBound: Fresh,
    /// What waited for room goes on waiting when a client is not watched any more.
    WaitBeyondWatch: Fresh,
    /// The end of watching takes the credit of a client that reports by itself.
    UnwatchReporter: Fresh,
    /// A client that is watched counts as stalled while nothing waits for it.
    StallWatched: Fresh,
    /// What nobody looks for is waited for.
    AwaitUnseen: Fresh,
    /// What was written counts as arrived, whatever the kernel says.
    BelieveWritten: Fresh,
    /// The last bytes of a flow are looked for as late as a little by itself.
    LookLate: Fresh,
    /// A socket that takes nothing any more is looked at as often as one that does.
    LookAtStuck: Bounded,
    /// JSON writes quantities at the scale of prices.
    WrongQuantityScale: Same,
    /// The client applies records that are older than what it shows.
    ClientAppliesOlder: Honest,
    /// The client takes a field that is cleared to be zero.
    ClientClearsToZero: Honest,
    /// The client takes silence for health.
    ClientIgnoresSilence: Honest,
    /// The client takes no notice of a frame that is missing.
    ClientIgnoresHole: Complete,
    /// The client does not ask again for what it wants after a reconnect.
    ClientForgetsWanted: Fresh,
    /// The client takes a resume token before it has the images that the token covers.
    ClientTakesTokenEarly: Fresh,
    /// The client gives events twice that are replayed to it.
    ClientRepeatsEvents: Complete,
    /// The client keeps gaps to itself.
    ClientIgnoresGap: Complete,
    /// The client tells a loss again that it has told before.
    ClientRepeatsGaps: Complete,
    /// The client takes an event that shares its message with the first image for one that was before.
    ClientBeginsBehindEvents: Complete,
    /// The client keeps the loss of single trades to itself, where only the rest was resumed.
    ClientResumesTradesAlways: Complete,
    /// The client takes the token of one node to cover the single trades that it asked another one for later.
    ClientHoldsLaterTrades: Complete,
    /// The client gives a new subscription the trades of one that has ended.
    ClientTakesTradesOfOthers: Complete,
    /// The client shows an event without the unread state before it.
    ClientSkipsStateBeforeEvent: Complete,
    /// The client takes the token of one node to cover what another, which lags behind, has said since.
    ClientTrustsTokenOfOthers: Fresh,
    /// The client takes what a node that lags behind has not come to for told, since another had told it.
    ClientTrustsLaggingNodes: Complete,
    /// The client drops what belongs below an event that came before its images.
    ClientDropsBelowEvents: Fresh,
    /// The client keeps the positions of an ended log.
    ClientKeepsPositions: Fresh,
    /// The client keeps the clock of the node before.
    ClientKeepsClock: Honest,
    /// The client takes an answer to an earlier question for a token.
    ClientTakesLateToken: Same,
    /// The client knocks ever again within the shortest time.
    ClientNeverBacksOff: Bounded,
    /// All clients come back at the same moment.
    ClientWithoutJitter: Bounded,
    /// A moment of Live is enough to forget the failures before it.
    ClientForgivesEarly: Bounded,
    /// The client never reports what it has processed.
    ClientReportsNothing: Fresh,
}

/// The five sentences of the design, in a word each.
#[cfg(feature = "planted-faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// What is shown is as new as the link allows.
    Fresh,
    /// A client knows how old and how true its data is.
    Honest,
    /// What counts is never conflated away.
    Complete,
    /// Memory and work have limits.
    Bounded,
    /// The same on every node, in every encoding and SDK.
    Same,
}

#[cfg(feature = "planted-faults")]
pub use switch::plant;

#[cfg(feature = "planted-faults")]
mod switch {
    use alloc::format;
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::Fault;

    /// Plants the fault of this name in the whole process, in place of any other. No fault has the empty name.
    pub fn plant(name: &str) {
        let place = Fault::ALL.iter().position(|fault| format!("{fault:?}") == name);
        PLANTED.store(place.unwrap_or(NONE), Ordering::Relaxed);
    }

    pub(super) fn is_on(fault: Fault) -> bool {
        PLANTED.load(Ordering::Relaxed) == fault as usize
    }

    static PLANTED: AtomicUsize = AtomicUsize::new(NONE);
    /// Nothing is planted.
    const NONE: usize = usize::MAX;
}
