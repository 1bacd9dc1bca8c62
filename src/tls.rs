//! Certificates: reads them, inspects them, and follows files that change.
//!
//! [`load`] and [`inspect`] read the two files of a `tls` table, for the health listener, the admin listener
//! and `mirrorvip check`. [`ReloadingCertificate`] reads them again when they change, so that the tool that renews
//! certificates need not know about this daemon: good new files serve from the next connection on; bad ones are
//! reported once, and the old certificate stays in use. Files are read on threads for blocking work, never on a listener's
//! own. This module does not know what is served.

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
use yasna::{ASN1Result, BERReaderSeq, Tag};

use crate::config::Tls;
use crate::file::{self, ReadError, Stamp, stamp};

/// The longest file that is read: a chain with a dozen certificates is a tenth as long.
const MAX_FILE: u64 = 1 << 20;

/// How often the files are polled. Two `stat` calls cost nothing, and a renewed certificate is loaded at once.
const POLL_EVERY: Duration = Duration::from_secs(2);

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
    /// Both files are well-formed, and the TLS library refuses them.
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

/// The validity of a leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// From when it is valid.
    pub not_before: jiff::Timestamp,
    /// Until when it is valid.
    pub not_after: jiff::Timestamp,
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

/// Reads the validity of the leaf certificate.
pub fn inspect(files: &Tls) -> Result<Certificate, TlsError> {
    let chain = read_chain(&files.certificate)?;
    let (not_before, not_after) = validity(&chain[0]) // read_chain refuses an empty one
        .map_err(|error| {
            content(&files.certificate, format!("the first certificate is not readable: {error}"))
        })?;
    // 9999-12-31T23:59:59Z, which means "for ever", is a day later than the latest time here.
    let moment = |seconds| jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    Ok(Certificate { not_before: moment(not_before), not_after: moment(not_after) })
}

/// Reads from when and until when a certificate is valid, in seconds of Unix time: RFC 5280, section 4.1.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the methods are good for one lifetime only")]
fn validity(certificate: &[u8]) -> ASN1Result<(i64, i64)> {
    let rest = |fields: &mut BERReaderSeq<'_, '_>| {
        while fields.read_optional(|field| field.read_der())?.is_some() {}
        Ok(())
    };
    yasna::parse_der(certificate, |certificate| {
        certificate.read_sequence(|certificate| {
            let validity = certificate.next().read_sequence(|fields| {
                fields.read_optional(|version| {
                    version.read_tagged(Tag::context(0), |number| number.read_u8())
                })?;
                for _serial_signature_issuer in 0..3 {
                    fields.next().read_der()?;
                }
                let validity = fields.next().read_sequence(|times| Ok((time(times)?, time(times)?)))?;
                rest(fields)?;
                Ok(validity)
            })?;
            rest(certificate)?;
            Ok(validity)
        })
    })
}

/// A time of either type: `UTCTime` until 2049, `GeneralizedTime` from then on.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the methods are good for one lifetime only")]
fn time(times: &mut BERReaderSeq<'_, '_>) -> ASN1Result<i64> {
    match times.read_optional(|time| time.read_utctime())? {
        Some(time) => Ok(time.datetime().unix_timestamp()),
        None => Ok(times.next().read_generalized_time()?.datetime().unix_timestamp()),
    }
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
            content(path, "the key is encrypted, and a daemon cannot be asked for the passphrase; decrypt it")
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

    /// The configuration for the next connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Follows the files for ever; the owner of the certificate runs this in a task of its own.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.loaded;
        let mut troubled = false;
        loop {
            tokio::time::sleep(POLL_EVERY).await;
            let files = self.files.clone();
            // A poll that hangs, on a dead network file system say, delays the next one and nothing else.
            let poll = tokio::task::spawn_blocking(move || {
                let stamps = stamps(&files);
                (stamps, (stamps != seen).then(|| load(&files)))
            });
            // It can only be cancelled, by a runtime that shuts down and takes this task with it.
            let Ok((stamps, news)) = poll.await else { return };
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
                        "failed to load the new certificate, the old one stays in use"
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
