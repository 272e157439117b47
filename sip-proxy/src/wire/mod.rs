//! SIP on the wire: parsing and writing messages, zero-copy.
//!
//! [`parse`] makes one pass over a datagram and gives a [`Message`]: the bytes and an index into them. Fields
//! that every transaction asks for (Via branch, tags, Call-ID, CSeq …) are typed in that pass; all other
//! values are taken apart when they are asked for, by the types here ([`NameAddr`], [`Uri`], [`Via`],
//! [`Challenge`] …), which borrow from the message. [`Writer`] and [`respond`] append to a buffer of the caller.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use sip_proxy::wire::{Limits, Method, parse, respond};
//!
//! let datagram = Bytes::from_static(b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
//!     From: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: x\r\nCSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n");
//! let request = parse(datagram, &Limits::default()).expect("a sound request");
//! assert_eq!(request.cseq(), (7, Method::Options));
//! assert_eq!(request.top_via().branch, Some(&b"z9hG4bK1"[..]));
//!
//! let mut out = BytesMut::new();
//! let source = "192.0.2.1:5060".parse().expect("an address");
//! respond(&mut out, &request, 200, "OK", Some("tag2"), source).no_body();
//! assert!(out.starts_with(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"));
//! ```

mod address;
mod auth;
mod error;
mod grammar;
mod limits;
mod message;
mod multipart;
mod name;
mod overload;
mod parse;
mod scan;
pub mod sdp;
mod uri;
mod via;
mod writer;

pub use address::{Contact, NameAddr};
pub use auth::{Algorithm, Challenge, Credentials};
pub use error::{ParseError, ParseErrorKind, ValueError};
pub(crate) use grammar::is_token;
pub use grammar::{CommaSplit, Params, comma_split};
pub use limits::Limits;
pub use message::Message;
pub(crate) use multipart::{SDP, handling, is_kind};
pub use name::{HeaderName, Method};
pub use overload::Feedback;
pub(crate) use parse::content_length;
pub use parse::parse;
pub use uri::{Scheme, Uri, UriParams};
pub use via::{BRANCH_COOKIE, Transport, Via, host_ip};
pub(crate) use writer::respond_with;
pub use writer::{Writer, reply_address, respond};
