//! Methods and header names: text to number and back.

/// A request method. An extension method is [`Method::Other`]; its text is read from the message
/// ([`crate::wire::Message::method_text`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// A method this table does not know.
    Other,
}

impl Method {
    /// The method with this text. Methods are case-sensitive (RFC 3261 §7.1).
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Self {
        match text {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            _ => Self::Other,
        }
    }

    /// The method's text; empty for [`Method::Other`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other => "",
        }
    }
}

macro_rules! header_names {
    ($($variant:ident $text:literal $($compact:literal)?;)*) => {
        /// A header field name this program knows; any other is [`HeaderName::Other`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum HeaderName { $($variant,)* /** A name this table does not know. */ Other }

        const LONG: &[(&str, HeaderName)] = &[$(($text, HeaderName::$variant),)*];
        const COMPACT: &[(u8, HeaderName)] = &[$($(($compact, HeaderName::$variant),)?)*];

        impl HeaderName {
            /// How many names there are, `Other` included.
            pub const COUNT: usize = LONG.len() + 1;

            /// The name as it is written out (the long form); empty for [`HeaderName::Other`].
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Other => "" }
            }

            /// The name with the colon and the space that follow it.
            pub(crate) const fn prefix(self) -> &'static [u8] {
                match self { $(Self::$variant => concat!($text, ": ").as_bytes(),)* Self::Other => b": " }
            }
        }
    };
}

header_names! {
    Via "Via" b'v';
    From "From" b'f';
    To "To" b't';
    CallId "Call-ID" b'i';
    CSeq "CSeq";
    Contact "Contact" b'm';
    MaxForwards "Max-Forwards";
    ContentLength "Content-Length" b'l';
    ContentType "Content-Type" b'c';
    Route "Route";
    RecordRoute "Record-Route";
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthenticate "Proxy-Authenticate";
    AuthenticationInfo "Authentication-Info";
    Expires "Expires";
    MinExpires "Min-Expires";
    Require "Require";
    ProxyRequire "Proxy-Require";
    Supported "Supported" b'k';
    Unsupported "Unsupported";
    Allow "Allow";
    AllowEvents "Allow-Events" b'u';
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    Reason "Reason";
    RetryAfter "Retry-After";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    RemotePartyId "Remote-Party-ID";
    Privacy "Privacy";
    Diversion "Diversion";
    HistoryInfo "History-Info";
    SessionExpires "Session-Expires" b'x';
    MinSe "Min-SE";
    RSeq "RSeq";
    RAck "RAck";
    ReferTo "Refer-To" b'r';
    ReferredBy "Referred-By" b'b';
    Replaces "Replaces";
    CallInfo "Call-Info";
    AlertInfo "Alert-Info";
    UserAgent "User-Agent";
    Server "Server";
    Organization "Organization";
    Date "Date";
    Timestamp "Timestamp";
    Subject "Subject" b's';
    Event "Event" b'o';
    SubscriptionState "Subscription-State";
    Warning "Warning";
    AnswerMode "Answer-Mode";
    Identity "Identity" b'y';
    Path "Path";
    ServiceRoute "Service-Route";
    ContentEncoding "Content-Encoding" b'e';
    ContentDisposition "Content-Disposition";
    ContentLanguage "Content-Language";
    MimeVersion "MIME-Version";
    Priority "Priority";
    InReplyTo "In-Reply-To";
    UserToUser "User-to-User";
    SessionId "Session-ID";
    MaxBreadth "Max-Breadth";
}

const SLOTS: usize = 512;

/// Names longer than this are none that is known.
const NAME_BYTES_MAX: usize = 24;

/// A name in lower case, in three words: compared in steps of eight bytes instead of one per byte.
#[derive(Clone, Copy)]
struct Key {
    /// The first sixteen bytes, then zeros. They tell the length of a name that has no more.
    words: [u64; 2],
    /// The last eight bytes of a longer name, and its length.
    last: u64,
    length: u8,
}

/// Sets the bit that tells a small letter from its capital. It makes a letter of no other byte, and of all
/// bytes in names (letters and hyphens) only the hyphen is also got from another byte, CR.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// What of two words belongs to a name of so many bytes.
static MASKS: [[u64; 2]; 17] = {
    let mut masks = [[0; 2]; 17];
    let mut length = 1;
    while length <= 16 {
        masks[length] = if length <= 8 {
            [u64::MAX >> (64 - 8 * length), 0]
        } else {
            [u64::MAX, u64::MAX >> (128 - 8 * length)]
        };
        length += 1;
    }
    masks
};

/// The first `length` of sixteen bytes in lower case, then zeros.
#[inline(always)]
fn words(bytes: &[u8; 16], length: usize) -> [u64; 2] {
    let [first, second] = MASKS[length.min(16)];
    let both = u128::from_le_bytes(*bytes);
    [(both as u64 | LOWER) & first, ((both >> 64) as u64 | LOWER) & second]
}

impl Key {
    /// Of a name in the table.
    const fn of_known(name: &[u8]) -> Self {
        assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
        let mut key = Self { words: [0; 2], last: 0, length: name.len() as u8 };
        let mut at = 0;
        while at < name.len() {
            let byte = (name[at] | LOWER as u8) as u64;
            if at < 16 {
                key.words[at / 8] |= byte << (8 * (at % 8));
            }
            if name.len() > 16 && at + 8 >= name.len() {
                key.last |= byte << (8 * (at + 8 - name.len()));
            }
            at += 1;
        }
        key
    }
}

/// Where [`TABLE`] has what begins like this.
#[inline(always)]
const fn slot(words: [u64; 2], multiplier: u64) -> usize {
    ((words[0] ^ words[1].rotate_left(29)).wrapping_mul(multiplier) >> 55) as usize
}

/// Long and compact names.
const NAMES: usize = LONG.len() + COMPACT.len();
const NO_KEY: (Key, HeaderName) = (Key { words: [0; 2], last: 0, length: 0 }, HeaderName::Other);

/// The last one is no name: all free slots lead to it.
static KEYS: [(Key, HeaderName); NAMES + 1] = {
    let mut keys = [NO_KEY; NAMES + 1];
    let mut index = 0;
    while index < LONG.len() {
        keys[index] = (Key::of_known(LONG[index].0.as_bytes()), LONG[index].1);
        index += 1;
    }
    while index < NAMES {
        let (letter, name) = COMPACT[index - LONG.len()];
        keys[index] = (Key::of_known(&[letter]), name);
        index += 1;
    }
    keys
};

/// The index in [`KEYS`] for each slot; `None` when two names have the same.
const fn table(multiplier: u64) -> Option<[u8; SLOTS]> {
    let mut table = [NAMES as u8; SLOTS];
    let mut index = 0;
    while index < NAMES {
        let slot = slot(KEYS[index].0.words, multiplier);
        if table[slot] != NAMES as u8 {
            return None;
        }
        table[slot] = index as u8;
        index += 1;
    }
    Some(table)
}

/// With this each name has a slot for itself.
const MULTIPLIER: u64 = {
    let mut multiplier = 0x9e37_79b9_7f4a_7c15;
    while table(multiplier).is_none() {
        multiplier =
            6_364_136_223_846_793_005_u64.wrapping_mul(multiplier).wrapping_add(1_442_695_040_888_963_407)
                | 1;
    }
    multiplier
};

static TABLE: [u8; SLOTS] = table(MULTIPLIER).expect("the multiplier was chosen so");

impl HeaderName {
    /// The name with this text, long or compact, in any case (RFC 3261 §7.3.1, §7.3.3).
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Self {
        if text.is_empty() || text.len() > NAME_BYTES_MAX || memchr::memchr(b'\r', text).is_some() {
            return Self::Other;
        }
        let mut bytes = [0; 16];
        let first = text.len().min(16);
        bytes[..first].copy_from_slice(&text[..first]);
        let words = words(&bytes, first);
        let (known, name) = &KEYS[usize::from(TABLE[slot(words, MULTIPLIER)])];
        let last = match text.last_chunk() {
            Some(last) if text.len() > 16 => u64::from_le_bytes(*last) | LOWER,
            _ => 0,
        };
        if known.words == words && known.last == last && usize::from(known.length) == text.len() {
            *name
        } else {
            Self::Other
        }
    }

    /// As [`HeaderName::from_bytes`], for the first `length` bytes of sixteen: one to fifteen, without a CR among them.
    #[inline(always)]
    pub(crate) fn of_sixteen(bytes: &[u8; 16], length: usize) -> Self {
        let words = words(bytes, length);
        let (known, name) = &KEYS[usize::from(TABLE[slot(words, MULTIPLIER)])];
        if known.words[0] == words[0] && known.words[1] == words[1] { *name } else { Self::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (text, id) in LONG {
            assert_eq!(HeaderName::from_bytes(text.as_bytes()), *id);
            assert_eq!(HeaderName::from_bytes(text.to_ascii_uppercase().as_bytes()), *id);
            assert_eq!(HeaderName::from_bytes(text.to_ascii_lowercase().as_bytes()), *id);
            assert_eq!(id.as_str(), *text);
        }
        for (letter, id) in COMPACT {
            assert_eq!(HeaderName::from_bytes(&[*letter]), *id);
            assert_eq!(HeaderName::from_bytes(&[letter.to_ascii_uppercase()]), *id);
        }
        for other in
            ["", "z", "1", "X-Foo", "Vi", "Viaa", "Call_ID", "Call\rID", "C%6Fntact", "Content-Dispositiom"]
        {
            assert_eq!(HeaderName::from_bytes(other.as_bytes()), HeaderName::Other, "{other}");
        }
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::from_bytes(b"INVITE"), Method::Invite);
        assert_eq!(Method::from_bytes(b"invite"), Method::Other);
        assert_eq!(Method::from_bytes(Method::Publish.as_str().as_bytes()), Method::Publish);
    }
}
