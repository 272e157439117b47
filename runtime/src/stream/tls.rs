//! TLS (rustls): our certificate, whose certificates we believe, and the names others have shown.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// What a TLS listener is set up with.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Our certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Certificates of the authorities we believe, PEM. `None`: those of the system, for servers we connect to.
    pub authorities: Option<PathBuf>,
    /// Whether clients are asked for a certificate of one of these authorities.
    pub clients: ClientCertificates,
    /// Names of the protocols that clients may choose from (RFC 7301), the best first; empty: not spoken of.
    pub protocols: &'static [&'static str],
}

/// Certificates of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// Not asked for.
    #[default]
    None,
    /// Asked for; one that is shown must be good.
    Optional,
    /// A client without a good one is not let in.
    Required,
}

/// TLS at one listener, both ways. Clones share it, also when it is read anew.
#[derive(Clone)]
pub struct TlsContext {
    files: TlsFiles,
    sides: Arc<RwLock<Sides>>,
}

/// What handshakes are made with.
struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// A connection that a client has made a handshake on.
pub type TlsServerStream = server::TlsStream<TcpStream>;

/// Why there is no TLS: which file, and what is wrong with it.
#[derive(Debug)]
pub struct TlsFault {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub fault: String,
}

impl TlsContext {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, holds no certificate or key, or they do not fit together.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsFault> {
        let sides = Sides::load(files)?;
        Ok(TlsContext { files: files.clone(), sides: Arc::new(RwLock::new(sides)) })
    }

    /// Reads the files anew: handshakes from now on are made with what they hold. Connections stay as they are.
    ///
    /// # Errors
    /// When something is wrong with one; all goes on with what was read before.
    pub fn reload(&self) -> Result<(), TlsFault> {
        let sides = Sides::load(&self.files)?;
        *self.sides.write().unwrap_or_else(PoisonError::into_inner) = sides;
        Ok(())
    }

    /// When the files were last written, as far as they are there.
    #[must_use]
    pub fn written(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.files.certificate), Some(&self.files.key), self.files.authorities.as_ref()];
        let time = |file: &PathBuf| std::fs::metadata(file).and_then(|file| file.modified()).ok();
        files.into_iter().flatten().map(time).collect()
    }

    /// The file with our certificate, for messages.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.sides.read().unwrap_or_else(PoisonError::into_inner).server)
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.sides.read().unwrap_or_else(PoisonError::into_inner).client)
    }
}

impl Sides {
    fn load(files: &TlsFiles) -> Result<Self, TlsFault> {
        let fault = |file: &Path, fault: String| TlsFault { file: file.to_owned(), fault };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| fault(&files.key, format!("no private key: {error}")))?;
        let roots = Arc::new(roots(files.authorities.as_deref())?);
        let versions = "no protocol version is left";
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&files.certificate, format!("{versions}: {error}")))
            .and_then(|builder| {
                let asked = files.authorities.as_ref().filter(|_| files.clients != ClientCertificates::None);
                let Some(authorities) = asked else { return Ok(builder.with_no_client_auth()) };
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
                let verifier = match files.clients {
                    ClientCertificates::Required => verifier,
                    _ => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build().map_err(|error| fault(authorities, error.to_string()))?;
                Ok(builder.with_client_cert_verifier(verifier))
            })?
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| fault(&files.key, format!("does not fit the certificate: {error}")))?;
        server.ignore_client_order = true;
        server.alpn_protocols = files.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&files.certificate, format!("{versions}: {error}")))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| fault(&files.key, format!("does not fit the certificate: {error}")))?;
        Ok(Sides { server: Arc::new(server), client: Arc::new(client) })
    }
}

impl TlsContext {
    /// Answers a handshake; gives the names the client has shown.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(server::TlsStream<TcpStream>, Vec<String>)> {
        let stream = TlsAcceptor::from(self.server()).accept(stream).await?;
        let names = names_of(stream.get_ref().1.peer_certificates().unwrap_or_default());
        Ok((stream, names))
    }

    /// Answers a handshake on a connection that is no stream of SIP.
    ///
    /// # Errors
    /// When the client breaks off, speaks no TLS, or shows no certificate where one is required.
    pub async fn accept_plain(&self, stream: TcpStream) -> io::Result<TlsServerStream> {
        TlsAcceptor::from(self.server()).accept(stream).await
    }

    /// Makes a handshake with a server that must show a certificate for this name or address.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        name: String,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a host name"))?;
        TlsConnector::from(self.client()).connect(name, stream).await
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let fault = |fault: String| TlsFault { file: file.to_owned(), fault };
    let read = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(format!("no certificate: {error}")))?;
    if read.is_empty() { Err(fault("no certificate in it".into())) } else { Ok(read) }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsFault { file: file.to_owned(), fault: error.to_string() })?;
            }
        }
        None => {
            // What of the system's store cannot be used is not believed; without any, nobody is.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    Ok(roots)
}

/// The DNS names a certificate chain's first certificate is for.
pub(super) fn names_of(chain: &[CertificateDer<'_>]) -> Vec<String> {
    let Some(first) = chain.first() else { return Vec::new() };
    let Ok(certificate) = webpki::EndEntityCert::try_from(first) else { return Vec::new() };
    certificate.valid_dns_names().map(str::to_owned).collect()
}
