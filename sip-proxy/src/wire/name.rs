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

const SLOTS: usize = 256;
const FREE: u8 = u8::MAX;

/// A name of two bytes or more in lower case, in three words: compared in three steps instead of one per byte.
#[derive(Clone, Copy)]
struct Key {
    length: usize,
    words: [u64; 3],
}

/// Sets the bit that tells a small letter from its capital. It makes a letter of no other byte, and of all
/// bytes in names (letters and hyphens) only the hyphen is also got from another byte, CR.
const LOWER: u64 = 0x2020_2020_2020_2020;

impl Key {
    /// The first and the last bytes overlap where the name is short; together they cover it.
    #[inline]
    const fn of(name: &[u8]) -> Self {
        let length = name.len();
        let words = if length >= 16 {
            [word(name, 0), word(name, 8), word(name, length - 8)]
        } else if length >= 8 {
            [word(name, 0), 0, word(name, length - 8)]
        } else if length >= 4 {
            [half(name, 0), 0, half(name, length - 4)]
        } else {
            [name[0] as u64 | LOWER, name[1] as u64 | LOWER, name[length - 1] as u64 | LOWER]
        };
        Self { length, words }
    }

    #[inline]
    const fn equals(&self, other: &Self) -> bool {
        let [a, b, c] = self.words;
        let [x, y, z] = other.words;
        self.length == other.length && (a ^ x) | (b ^ y) | (c ^ z) == 0
    }

    const fn slot(&self) -> usize {
        let [first, middle, last] = self.words;
        let mixed = first ^ middle ^ last.rotate_left(29);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
    }
}

/// Names longer than this are not covered by a [`Key`].
const NAME_BYTES_MAX: usize = 24;

const fn word(name: &[u8], at: usize) -> u64 {
    match name.split_at(at).1.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes) | LOWER,
        None => 0,
    }
}

const fn half(name: &[u8], at: usize) -> u64 {
    match name.split_at(at).1.first_chunk() {
        Some(bytes) => u32::from_le_bytes(*bytes) as u64 | LOWER,
        None => 0,
    }
}

static KEYS: [Key; LONG.len()] = {
    let mut keys = [Key { length: 0, words: [0; 3] }; LONG.len()];
    let mut index = 0;
    while index < LONG.len() {
        assert!(LONG[index].0.len() >= 2 && LONG[index].0.len() <= NAME_BYTES_MAX);
        keys[index] = Key::of(LONG[index].0.as_bytes());
        index += 1;
    }
    keys
};

static IDS: [HeaderName; LONG.len()] = {
    let mut ids = [HeaderName::Other; LONG.len()];
    let mut index = 0;
    while index < LONG.len() {
        ids[index] = LONG[index].1;
        index += 1;
    }
    ids
};

/// Open-addressing table from the slot of a long name to its index in [`LONG`].
static TABLE: [u8; SLOTS] = {
    let mut table = [FREE; SLOTS];
    let mut index = 0;
    while index < LONG.len() {
        let mut slot = KEYS[index].slot();
        while table[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u8;
        index += 1;
    }
    table
};

/// Compact form letter (`a`..=`z`) to the index of its name.
static COMPACT_TABLE: [HeaderName; 26] = {
    let mut table = [HeaderName::Other; 26];
    let mut index = 0;
    while index < COMPACT.len() {
        table[(COMPACT[index].0 - b'a') as usize] = COMPACT[index].1;
        index += 1;
    }
    table
};

impl HeaderName {
    /// The name with this text, long or compact, in any case (RFC 3261 §7.3.1, §7.3.3).
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Self {
        if memchr::memchr(b'\r', text).is_some() { Self::Other } else { Self::of_line(text) }
    }

    /// As [`HeaderName::from_bytes`], for a text without CR.
    #[inline]
    pub(crate) fn of_line(text: &[u8]) -> Self {
        match text {
            [] => Self::Other,
            [letter] => {
                let letter = letter.to_ascii_lowercase();
                if letter.is_ascii_lowercase() {
                    COMPACT_TABLE[usize::from(letter - b'a')]
                } else {
                    Self::Other
                }
            }
            _ if text.len() > NAME_BYTES_MAX => Self::Other,
            _ => {
                let key = Key::of(text);
                let mut slot = key.slot();
                loop {
                    let index = TABLE[slot];
                    if index == FREE {
                        return Self::Other;
                    }
                    let known = &KEYS[usize::from(index)];
                    if known.equals(&key) {
                        return IDS[usize::from(index)];
                    }
                    slot = (slot + 1) % SLOTS;
                }
            }
        }
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
