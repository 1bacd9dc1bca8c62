//! Certificates: reading them, looking into them, and keeping up with files that change.
//!
//! [`load`] and [`inspect`] read the two files of a `tls` table, for the health listener, the admin listener
//! and `mirrorvip check`. [`ReloadingCertificate`] re-reads them when they change, so that whatever renews certificates
//! need not know about this daemon: good new files serve from the next connection on, bad ones keep the old
//! and are reported once. Files are read on threads for blocking work, never on a listener's own. This module
//! does not know what is served.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::Tls;
use crate::file::{self, ReadError, Stamp, stamp};

/// Longest file that is read: a chain with a dozen certificates has less than a tenth of it.
const MAX_FILE: u64 = 1 << 20;

/// How often the files are looked at. Two `stat` calls cost nothing, and who watches a renewal sees it happen.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has the wrong content.
    #[error("use {}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what should be there.
        problem: String,
    },
    /// Both files are well-formed, and the library refuses them.
    #[error("use {} with {}: {problem}", certificate.display(), key.display())]
    Unusable {
        /// The certificate chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What a leaf certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// From when it is valid.
    pub not_before: jiff::Timestamp,
    /// Until when it is valid.
    pub not_after: jiff::Timestamp,
    /// Whom it is for, in the notation of RFC 4514.
    pub subject: String,
}

/// A certificate that follows its files.
#[derive(Debug)]
pub struct ReloadingCertificate {
    files: Tls,
    /// What the files looked like just before they were first loaded.
    loaded: [Option<Stamp>; 2],
    current: watch::Sender<Arc<ServerConfig>>,
}

/// Reads certificate chain and key and checks that they belong together.
pub fn load(files: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_chain(&files.certificate)?;
    let key = read_key(&files.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |problem: String| TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        problem,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                unusable("the key does not belong to the first certificate of the chain".to_owned())
            }
            other => unusable(other.to_string()),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Reads what the leaf certificate says of itself.
pub fn inspect(files: &Tls) -> Result<Certificate, TlsError> {
    let chain = read_chain(&files.certificate)?;
    let bad = |problem: String| TlsError::Content { path: files.certificate.clone(), problem };
    let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]) // read_chain refuses an empty one
        .map_err(|error| bad(format!("the first certificate is not readable: {error}")))?;
    let moment = |time: x509_parser::time::ASN1Time| {
        jiff::Timestamp::from_second(time.timestamp())
            .map_err(|_| bad("the first certificate has a date that no calendar has".to_owned()))
    };
    Ok(Certificate {
        not_before: moment(leaf.validity().not_before)?,
        not_after: moment(leaf.validity().not_after)?,
        subject: crate::text::printable(&leaf.subject().to_string(), 200),
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read_bounded(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| content(path, pem_problem(&error)))?;
    if chain.is_empty() {
        return Err(content(path, "there is no `BEGIN CERTIFICATE` in it; the chain goes here, leaf first"));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_bounded(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(23).any(|w| w == b"BEGIN ENCRYPTED PRIVATE") => {
            content(path, "the key is encrypted, and a daemon cannot type a passphrase: decrypt it")
        }
        pem::Error::NoItemsFound => content(path, "there is no `BEGIN PRIVATE KEY` in it"),
        other => content(path, pem_problem(&other)),
    })
}

fn content(path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::Content { path: path.to_owned(), problem: problem.into() }
}

/// Never the library's own text: it quotes lines of the file, and this one may be a key.
fn pem_problem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no `END` line; the file is cut off",
        pem::Error::IllegalSectionStart { .. } => "a `BEGIN` line is malformed",
        pem::Error::Base64Decode(_) => "a section is not valid base64",
        _ => "it is not in PEM format",
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, TlsError> {
    file::read_bounded(path, MAX_FILE).map_err(|error| match error {
        ReadError::Io(source) => TlsError::Read { path: path.to_owned(), source },
        other => content(path, other.to_string()),
    })
}

// === impl ReloadingCertificate ===

impl ReloadingCertificate {
    /// Loads the files for the first time.
    pub fn load(files: &Tls) -> Result<Self, TlsError> {
        let loaded = stamps(files);
        Ok(Self { files: files.clone(), loaded, current: watch::Sender::new(load(files)?) })
    }

    /// What to serve with at this moment.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Follows the files for ever; the owner of the certificate runs this in a task beside.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.loaded;
        let mut troubled = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let files = self.files.clone();
            // A look that hangs, on a dead network file system say, delays the next one and nothing else.
            let look = tokio::task::spawn_blocking(move || {
                let stamps = stamps(&files);
                (stamps, (stamps != seen).then(|| load(&files)))
            });
            // It can only be cancelled, by a runtime that shuts down and takes this task with it.
            let Ok((stamps, news)) = look.await else { return };
            seen = stamps;
            match news {
                None => {}
                Some(Ok(config)) => {
                    self.current.send_replace(config);
                    info!(
                        certificate = %self.files.certificate.display(),
                        after_trouble = troubled,
                        "the certificate was renewed"
                    );
                    troubled = false;
                }
                Some(Err(error)) => {
                    troubled = true;
                    warn!(
                        error = crate::text::chain(&error),
                        "failed to take over the new certificate, the old one stays in use"
                    );
                }
            }
        }
    }
}

fn stamps(files: &Tls) -> [Option<Stamp>; 2] {
    [&files.certificate, &files.key].map(|path| fs::metadata(path).ok().as_ref().map(stamp))
}

#[cfg(test)]
mod tests;
