//! The configuration file: as written ([`raw`]), checked ([`check`]), and where in the file a fault is
//! ([`locate`]).

pub mod check;
mod guard;
pub mod listeners;
pub mod locate;
pub mod raw;
mod recogniser;
mod stir;
pub mod store;
mod voice;

pub use check::Config;

use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; `None` when the file could not be read or the fault has no place.
    pub place: Option<(usize, usize)>,
    /// The key, dotted: `media.ports`, `trunk[1].address`.
    pub key: Option<String>,
    /// What stands there.
    pub found: Option<String>,
    /// What should.
    pub expected: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if let Some(key) = &self.key {
            write!(f, "key `{key}`: ")?;
        }
        if let Some(found) = &self.found {
            write!(f, "found {found}, ")?;
        }
        write!(f, "{}", self.expected)
    }
}
impl std::error::Error for ConfigError {}

/// Reads and checks a configuration file. All faults that can be found are told together.
///
/// # Errors
/// One entry per fault; never empty.
pub fn load(file: &Path) -> Result<Config, Vec<ConfigError>> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        vec![ConfigError {
            file: file.to_owned(),
            place: None,
            key: None,
            found: None,
            expected: format!("cannot be read: {error}"),
        }]
    })?;
    parse(file, &text)
}

/// Checks a configuration's text.
///
/// # Errors
/// One entry per fault; never empty.
pub fn parse(file: &Path, text: &str) -> Result<Config, Vec<ConfigError>> {
    let places = locate::Places::of(text);
    let raw: raw::Raw = toml::from_str(text).map_err(|error| {
        let span = error.span();
        let found = span.as_ref().and_then(|span| locate::snippet(text, span.clone()));
        let (key, place) = match span {
            Some(span) => (places.key_at(span.start), Some(locate::line_and_column(text, span.start))),
            None => (None, None),
        };
        vec![ConfigError {
            file: file.to_owned(),
            place,
            key,
            found,
            expected: error.message().trim().replace('\n', ", "),
        }]
    })?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let checked = check::check(raw, folder).map(|config| {
        let place = places.span_of("media.relay").map(|span| locate::line_and_column(text, span.start));
        Config { file: file.to_owned(), media_relay_place: place, ..config }
    });
    checked.map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| {
                let span = places.span_of(&fault.key);
                ConfigError {
                    file: file.to_owned(),
                    place: span.as_ref().map(|span| locate::line_and_column(text, span.start)),
                    found: fault.found.or_else(|| span.and_then(|span| locate::snippet(text, span))),
                    key: Some(fault.key),
                    expected: format!("expected {}", fault.expected),
                }
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        match parse(Path::new("dialerd.toml"), text) {
            Ok(_) => panic!("taken as good: {text}"),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_example_is_good_and_says_what_the_defaults_are() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/dialerd.example.toml");
        let example = load(&file).unwrap_or_else(|errors| panic!("{errors:?}"));
        let mut defaults = parse(&file, "").unwrap();
        // The example shows a listener, a trunk and a route, which have no default.
        defaults.sip_listeners = example.sip_listeners.clone();
        defaults.trunks = example.trunks.clone();
        defaults.routes = example.routes.clone();
        // Where a key stands is no setting.
        defaults.media_relay_place = example.media_relay_place;
        assert_eq!(format!("{example:#?}"), format!("{defaults:#?}"));
    }

    #[test]
    fn every_key_stands_in_the_example() {
        let text = include_str!("../../../config/dialerd.example.toml");
        let places = locate::Places::of(text);
        for key in raw::KEYS {
            assert!(places.span_of(key).is_some(), "{key} is not in config/dialerd.example.toml");
        }
    }

    #[test]
    fn faults_name_file_line_key_found_and_expected() {
        let cases = [
            (
                "[sip]\nlisten = [\"127.0.0.1\"]\n",
                "dialerd.toml:2:11: key `sip.listen[0]`: found \"127.0.0.1\", expected an address with a port, such as \"0.0.0.0:5060\" or \"[::]:5060\"",
            ),
            (
                "[media]\nports = [30000, 20000]\n",
                "dialerd.toml:2:9: key `media.ports`: found [30000, 20000], expected two port numbers, the lower first, with at least 4 ports between them",
            ),
            (
                "[api]\nlisten = \"127.0.0.1:8080\"\n[admin]\nlisten = \"127.0.0.1:8080\"\n",
                "dialerd.toml:4:10: key `admin.listen`: found \"127.0.0.1:8080\", expected another address or port than api.listen",
            ),
            (
                "[log]\nlevle = \"info\"\n",
                "dialerd.toml:2:1: key `log.levle`: found levle, unknown field `levle`, expected `level` or `format`",
            ),
            (
                "[api]\nlisten = 8080\n",
                "dialerd.toml:2:10: key `api.listen`: found 8080, invalid type: integer `8080`, expected a string",
            ),
            (
                "[[trunk]]\nname = \"a\"\naddress = \"127.0.0.1:5080\"\n[[trunk]]\nname = \"a\"\naddress = \"127.0.0.1:5081\"\n",
                "dialerd.toml:5:8: key `trunk[1].name`: found \"a\", expected a name that no other trunk has",
            ),
            (
                "[guard]\ndeny = [\"10.0.0.0/8\", \"10.0.0.0/40\"]\n",
                "dialerd.toml:2:23: key `guard.deny[1]`: found \"10.0.0.0/40\", expected an address or a network such as 192.0.2.0/24 or 2001:db8::/32",
            ),
            (
                "[sip]\ndigest_algorithms = [\"SHA-1\"]\n",
                "dialerd.toml:2:22: key `sip.digest_algorithms[0]`: found \"SHA-1\", expected \"SHA-512-256\", \"SHA-256\" or \"MD5\", each once",
            ),
            (
                "[[sip.listeners]]\ntransport = \"tls\"\naddress = \"127.0.0.1:5061\"\n",
                "dialerd.toml:2:13: key `sip.listeners[0].transport`: found \"tls\", expected `certificate` and `key` (PEM files) beside it, which TLS needs",
            ),
            (
                "[[sip.listeners]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:5061\"\nadvertised = \"a b\"\n",
                "dialerd.toml:4:14: key `sip.listeners[0].advertised`: found \"a b\", expected host or host:port, such as \"sip.example.com:5061\"",
            ),
            (
                "[[trunk]]\nname = \"a\"\naddress = \"127.0.0.1:5080\"\ntransport = \"tls\"\n",
                "dialerd.toml:4:13: key `trunk[0].transport`: found \"tls\", expected a transport that a listener in [[sip.listeners]] has",
            ),
            (
                "[voice]\nengine = \"http\"\nurl = \"localhost\"\n",
                "dialerd.toml:3:7: key `voice.url`: found \"localhost\", expected an address such as \"http://127.0.0.1:8000/v1\" when engine is \"http\"",
            ),
            (
                "[[route]]\nto = \"nowhere\"\n",
                "dialerd.toml:2:6: key `route[0].to`: found \"nowhere\", expected the name of a [[trunk]] of this file, or a list of up to 16 of them, each once",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(faults(text), [expected]);
        }
        let syntax = faults("[sip\n");
        assert!(syntax[0].starts_with("dialerd.toml:1:"), "{syntax:?}");
    }

    #[test]
    fn all_faults_are_told_together() {
        let text = "[sip]\nt1_ms = 0\n[shutdown]\ndrain_s = 1000000\n[node]\nshards = 0\n";
        assert_eq!(faults(text).len(), 3);
    }
}
