//! Where a PostgreSQL database is and how it is reached.

use crate::error::{Fault, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a connection may take to be made, unless the URL says otherwise.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// So long the kernel tries to send to a server that is silent.
const UNACKNOWLEDGED_WAIT: Duration = Duration::from_secs(10);

/// The schema unless another is asked for.
const SCHEMA: &str = "dialerd";

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// Why something is no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceError {
    /// The URL cannot be read; why.
    Url(String),
    /// It lacks this part.
    Missing(&'static str),
    /// This is no name for a schema.
    Schema,
    /// The file with certificates of authorities cannot be used; why.
    Authorities(String),
}

impl std::fmt::Display for PlaceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PlaceError::Url(why) => f.write_str(why),
            PlaceError::Missing(part) => write!(f, "the {part} is missing"),
            PlaceError::Schema => f.write_str(
                "a schema's name has 1 to 63 of the characters a-z, 0-9 and _, and begins with none of 0-9",
            ),
            PlaceError::Authorities(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for PlaceError {}

/// A database and a schema in it.
#[derive(Clone)]
pub struct Place {
    config: Config,
    schema: String,
    tls: Option<MakeRustlsConnect>,
    name: String,
    reply_wait: Duration,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest holds the password.
        write!(f, "Place({})", self.name)
    }
}

impl Place {
    /// From a URL `postgresql://user:password@host:port/database?…` (several hosts may be named: the one that takes writes is
    /// used). `password` counts before the URL's; `schema` is the URL's `dialerd` unless given.
    ///
    /// TLS: `sslmode=require` in the URL asks for it, `disable` forbids it; without either it is asked for unless every host is
    /// this one (a socket's folder, a loopback address). With TLS the server must have a certificate for its name from an
    /// authority that the system trusts, or from one in the PEM file `authorities`.
    ///
    /// # Errors
    /// When a part is missing or cannot be used.
    pub fn new(
        url: &str,
        password: Option<&str>,
        schema: Option<&str>,
        authorities: Option<&Path>,
    ) -> Result<Place, PlaceError> {
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            PlaceError::Url(why)
        })?;
        if config.get_hosts().is_empty() {
            return Err(PlaceError::Missing("host"));
        }
        let Some(user) = config.get_user().map(str::to_owned) else {
            return Err(PlaceError::Missing("user"));
        };
        let Some(database) = config.get_dbname().map(str::to_owned) else {
            return Err(PlaceError::Missing("database"));
        };
        if let Some(password) = password {
            config.password(password);
        }
        let schema = schema.unwrap_or(SCHEMA).to_owned();
        let mut letters = schema.bytes();
        let begins = letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_');
        let goes_on = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !begins || schema.len() > 63 || !letters.all(goes_on) {
            return Err(PlaceError::Schema);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_WAIT);
        }
        config.application_name("dialerd");
        config.keepalives_idle(Duration::from_secs(10));
        config.tcp_user_timeout(UNACKNOWLEDGED_WAIT);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let secure = match config.get_ssl_mode() {
            SslMode::Disable => false,
            SslMode::Prefer => !config.get_hosts().iter().all(is_this_machine),
            _ => true,
        };
        config.ssl_mode(if secure { SslMode::Require } else { SslMode::Disable });
        let tls = if secure { Some(tls(authorities)?) } else { None };
        let name = format!("postgresql://{user}@{}/{database}?schema={schema}", hosts(&config));
        Ok(Place { config, schema, tls, name, reply_wait: Duration::from_secs(10) })
    }

    /// For people: everything but the password.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The writer gives a connection up, and makes another, when an answer takes longer (10 s unless set here).
    pub fn set_reply_wait(&mut self, wait: Duration) {
        self.reply_wait = wait;
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    pub(crate) fn reply_wait(&self, role: Role) -> Duration {
        match role {
            Role::Writer => self.reply_wait,
            // Searching for a person reads everything.
            Role::Reader => self.reply_wait * 12,
        }
    }

    /// Makes a connection.
    pub(crate) async fn connect(&self, role: Role) -> Result<(Client, JoinHandle<()>), StoreError> {
        let connected = match &self.tls {
            Some(tls) => self
                .config
                .connect(tls.clone())
                .await
                .map(|(client, connection)| (client, tokio::spawn(async move { end(connection.await) }))),
            None => self
                .config
                .connect(NoTls)
                .await
                .map(|(client, connection)| (client, tokio::spawn(async move { end(connection.await) }))),
        };
        let (client, driver) = connected.map_err(|error| unreachable_server(StoreError::from(error)))?;
        client.batch_execute(&self.settings(role)).await?;
        Ok((client, driver))
    }

    fn settings(&self, role: Role) -> String {
        let mut settings = format!(
            // A server notices within half a minute when this process or its machine is gone, so that its lock is free.
            "SET search_path TO \"{schema}\"; SET client_min_messages TO warning; SET jit TO off; SET TIME ZONE 'UTC'; \
             SET tcp_keepalives_idle TO 10; SET tcp_keepalives_interval TO 5; SET tcp_keepalives_count TO 3; \
             SET client_connection_check_interval TO '5s'; SET idle_in_transaction_session_timeout TO '5min'; \
             SET lock_timeout TO '5s';",
            schema = self.schema
        );
        if role == Role::Writer {
            // Durable means: survives a loss of power. What is stricter than `on` stays.
            settings.push_str(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';",
            );
        }
        settings
    }
}

/// The connection's task is over.
fn end(result: Result<(), tokio_postgres::Error>) {
    if let Err(error) = result {
        tracing::debug!(error = %StoreError::from(error), "a connection to the database has ended");
    }
}

/// However a server is out of reach: it may be back later.
fn unreachable_server(error: StoreError) -> StoreError {
    match error {
        StoreError::Database { fault: Fault::Other, detail } => {
            StoreError::Database { fault: Fault::Io, detail }
        }
        other => other,
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn hosts(config: &Config) -> String {
    let ports = config.get_ports();
    let names = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    names.collect::<Vec<_>>().join(",")
}

fn tls(authorities: Option<&Path>) -> Result<MakeRustlsConnect, PlaceError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = authorities {
        let fail = |why: String| PlaceError::Authorities(format!("{}: {why}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))? {
            let certificate = certificate.map_err(|error| fail(error.to_string()))?;
            roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fail("no certificate is in it".into()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PlaceError::Authorities(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, PlaceError> {
        Place::new(url, None, None, None)
    }

    #[test]
    fn a_place_is_told_without_its_password() {
        let place = place("postgresql://dialerd:geheim@127.0.0.1:5433/calls").unwrap();
        assert_eq!(place.name(), "postgresql://dialerd@127.0.0.1:5433/calls?schema=dialerd");
        assert!(!format!("{place:?}").contains("geheim"));
    }

    #[test]
    fn tls_is_asked_for_unless_the_server_is_on_this_machine() {
        for (url, secure) in [
            ("postgresql://a@db.example.com/calls", true),
            ("postgresql://a@db.example.com/calls?sslmode=disable", false),
            ("postgresql://a@localhost/calls", false),
            ("postgresql://a@localhost/calls?sslmode=require", true),
            ("postgresql://a@[::1]/calls", false),
            ("postgresql://a@localhost,db.example.com/calls", true),
            ("postgresql:///calls?host=/run/postgresql&user=a", false),
        ] {
            assert_eq!(place(url).unwrap().is_secure(), secure, "{url}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        assert!(matches!(place("mysql://a@b/c"), Err(PlaceError::Url(_) | PlaceError::Missing(_))));
        assert!(matches!(place("postgresql://a@b:x/c"), Err(PlaceError::Url(_))));
        assert_eq!(place("postgresql://b/c").unwrap_err(), PlaceError::Missing("user"));
        assert_eq!(place("postgresql://a@b").unwrap_err(), PlaceError::Missing("database"));
        assert_eq!(place("postgresql:///c?user=a").unwrap_err(), PlaceError::Missing("host"));
        for schema in ["", "1a", "A", "a-b", "a\"b", &"a".repeat(64)] {
            let refused = Place::new("postgresql://a@b/c", None, Some(schema), None);
            assert_eq!(refused.unwrap_err(), PlaceError::Schema, "{schema}");
        }
        let missing = Place::new("postgresql://a@b/c", None, None, Some(Path::new("/nowhere/ca.pem")));
        assert!(matches!(missing, Err(PlaceError::Authorities(why)) if why.contains("/nowhere/ca.pem")));
    }
}
