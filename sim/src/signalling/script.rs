//! What becomes of an INVITE at a peer, decided beforehand.

/// A provisional response.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    pub(crate) after_ms: u64,
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) early_media: bool,
    /// It comes from another branch of a fork: this is put before the tag.
    pub(crate) fork: Option<&'static str>,
}

/// How it ends.
#[derive(Clone, Debug, Default)]
pub(crate) enum Then {
    Answer {
        after_ms: u64,
    },
    Refuse {
        after_ms: u64,
        code: u16,
        reason: &'static str,
        extra: String,
    },
    #[default]
    Never,
}

/// What a CANCEL does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum OnCancel {
    /// 487, as it should be.
    #[default]
    Obey,
    /// 200 to the INVITE all the same, this much later.
    AnswerLate { after_ms: u64 },
    /// The INVITE gets no final response at all.
    Nothing,
}

/// The whole of it. Times from the INVITE, milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Not even 100.
    pub(crate) silent: bool,
    pub(crate) rings: Vec<Ring>,
    pub(crate) then: Then,
    pub(crate) on_cancel: OnCancel,
    /// The final response is sent twice at once.
    pub(crate) final_twice: bool,
    /// A second 200 with a tag of its own.
    pub(crate) forked_answer: bool,
    /// Changes its session now and then.
    pub(crate) reinvites: bool,
    /// From the answer.
    pub(crate) hang_up_after_ms: Option<u64>,
    /// From the ACK.
    pub(crate) hang_up_when_acked: Option<u64>,
    /// Packets of sound after the answer; 0: mute.
    pub(crate) packets: u32,
    /// Of these the first come every 20 ms, the others every 4 s.
    pub(crate) packets_quick: u32,
    /// Speaks for so long from the first packet, then is silent.
    pub(crate) speaks_ms: u64,
}
