//! Why a message was refused, and what is owed to its sender.

use super::{HeaderName, Message, Method};
use crate::status::reason_phrase;

/// A refused message.
#[derive(Debug, Clone)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where, in bytes from the start of the datagram.
    pub offset: usize,
    /// What could still be read, if it was a request that may be answered: the header lines are there
    /// verbatim (enough for [`crate::wire::respond`]), the typed fields only as far as they were sound.
    /// Kept inline, not boxed: hostile input shall not cost an allocation.
    pub partial: Option<Message>,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// Nothing but line ends: a keep-alive (RFC 5626 §3.5.1), not a message.
    KeepAlive,
    /// Not SIP at all: the first line is neither a request line nor a status line.
    NotSip,
    /// The request line has the parts of one, but not the shape (RFC 3261 §25.1): spaces, method.
    RequestLine,
    /// The Request-URI is not a URI, is bracketed, or carries headers (RFC 3261 §19.1.1).
    RequestUri,
    /// A SIP version other than 2.0.
    Version,
    /// The status code is not three digits, 100 to 699.
    StatusCode,
    /// A header line without a colon, with a wrong name, or with a bare CR.
    HeaderLine,
    /// The empty line after the headers is missing.
    HeadersNotEnded,
    /// A mandatory header is missing.
    Missing(HeaderName),
    /// A header that may appear once appears again.
    Duplicate(HeaderName),
    /// The value of this header breaks its grammar or its range.
    Value(HeaderName),
    /// The method in CSeq is not the method of the request.
    CSeqMethod,
    /// Content-Length promises more than the datagram holds (RFC 3261 §18.3).
    BodyTruncated,
    /// Longer than [`crate::wire::Limits::message_bytes_max`].
    TooLong,
    /// More header lines than [`crate::wire::Limits::headers_max`].
    TooManyHeaders,
    /// A header line longer than [`crate::wire::Limits::header_bytes_max`].
    HeaderTooLong,
    /// More Via lines than [`crate::wire::Limits::vias_max`].
    TooManyVias,
}

impl ParseErrorKind {
    /// A reason phrase that tells the other side's operator what to repair.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::KeepAlive | Self::NotSip => "Bad Request",
            Self::RequestLine => "Bad Request Line",
            Self::RequestUri => "Bad Request-URI",
            Self::Version => "Version Not Supported",
            Self::StatusCode => "Bad Status Code",
            Self::HeaderLine => "Bad Header Line",
            Self::HeadersNotEnded => "Missing Empty Line",
            Self::Missing(HeaderName::From) => "Missing From",
            Self::Missing(HeaderName::To) => "Missing To",
            Self::Missing(HeaderName::CallId) => "Missing Call-ID",
            Self::Missing(HeaderName::CSeq) => "Missing CSeq",
            Self::Missing(_) => "Missing Header",
            Self::Duplicate(_) => "Repeated Header",
            Self::Value(HeaderName::Via) => "Bad Via",
            Self::Value(HeaderName::From) => "Bad From",
            Self::Value(HeaderName::To) => "Bad To",
            Self::Value(HeaderName::CallId) => "Bad Call-ID",
            Self::Value(HeaderName::CSeq) => "Bad CSeq",
            Self::Value(HeaderName::Contact) => "Bad Contact",
            Self::Value(HeaderName::MaxForwards) => "Bad Max-Forwards",
            Self::Value(HeaderName::ContentLength) => "Bad Content-Length",
            Self::Value(_) => "Bad Header Value",
            Self::CSeqMethod => "CSeq Method Mismatch",
            Self::BodyTruncated => "Body Shorter Than Content-Length",
            Self::TooLong | Self::TooManyHeaders | Self::HeaderTooLong | Self::TooManyVias => {
                "Message Too Large"
            }
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TooLong | Self::TooManyHeaders | Self::HeaderTooLong | Self::TooManyVias => 513,
            _ => 400,
        }
    }
}

impl ParseError {
    /// The status and reason to answer with, if an answer is owed and can be made from
    /// [`ParseError::partial`]. `None` means silence: responses, ACK (RFC 3261 §17: never answered),
    /// keep-alives, what is not SIP, and what has no Via to answer along.
    #[must_use]
    pub fn answer(&self) -> Option<(u16, &'static str)> {
        let partial = self.partial.as_ref()?;
        if !partial.is_request() || partial.method() == Method::Ack {
            return None;
        }
        partial.header(HeaderName::Via)?;
        // RFC 4475 §3.1.2.18: that the method is not known says more than what its CSeq is wrong in.
        if self.kind == ParseErrorKind::CSeqMethod && partial.method() == Method::Other {
            return Some((501, reason_phrase(501)));
        }
        Some((self.kind.status(), self.kind.reason()))
    }
}

impl core::fmt::Display for ParseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} at byte {}", self.kind, self.offset)
    }
}

impl core::error::Error for ParseError {}

/// A header value that breaks its grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueError {
    /// Where, in bytes from the start of the value.
    pub offset: usize,
}

impl core::fmt::Display for ValueError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "bad value at byte {}", self.offset)
    }
}

impl core::error::Error for ValueError {}
