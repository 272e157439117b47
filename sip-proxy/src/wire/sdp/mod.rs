//! SDP (RFC 8866) as far as offers and answers of audio need it: a tolerant reader, a strict writer.

mod read;
mod write;

pub use read::{
    Connection, Direction, Media, MediaKind, Origin, RtpMap, SdpError, SdpErrorKind, SdpLimits, Session,
    parse, parse_with,
};
pub use write::SdpWriter;
