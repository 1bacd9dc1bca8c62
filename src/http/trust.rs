//! Which authorities an HTTPS client trusts: those in `ca_file`, or the system's.
//!
//! They are read at the first question and kept. A `ca_file` is read again when it changes; if the new one is bad, the old
//! ones stay in use, and that is logged once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;
use tracing::warn;

use super::SHOWN;
use crate::blocking::SingleFlight;
use crate::file::{self, Stamp};
use crate::observation::NoEvidence;
use crate::text::printable;

/// How large a `ca_file` may be. The whole of Mozilla's list takes 250 KiB.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The trusted authorities of one client.
#[derive(Debug)]
pub(super) struct Trust {
    ca_file: Option<PathBuf>,
    current: Option<Arc<ClientConfig>>,
    /// Of the file as it was last read, good or bad.
    version: Version,
    reading: SingleFlight<Loaded>,
}

/// Distinguishes versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// There is none, or it cannot be opened.
    None,
    Of(Stamp),
}

/// The result of reading the authorities.
#[derive(Debug)]
enum Loaded {
    Unchanged,
    Read { version: Version, config: Result<Arc<ClientConfig>, NoEvidence> },
}

// === impl Trust ===

impl Trust {
    pub(super) const fn new(ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, current: None, version: Version::None, reading: SingleFlight::new() }
    }

    /// A connector that trusts them. Cancel-safe.
    pub(super) async fn connector(&mut self) -> Result<TlsConnector, NoEvidence> {
        let known = self.current.is_some().then_some(self.version);
        let config = match (&self.ca_file, &self.current) {
            (None, Some(system)) => Arc::clone(system),
            (None, None) => self.reading.run(load_system).await.take_or_keep(self)?,
            (Some(path), _) => {
                let path = path.clone();
                self.reading.run(move || load_file(&path, known)).await.take_or_keep(self)?
            }
        };
        Ok(TlsConnector::from(config))
    }
}

// === impl Loaded ===

impl Loaded {
    /// The authorities to use from here on: these if they are good, or the ones before.
    fn take_or_keep(self, trust: &mut Trust) -> Result<Arc<ClientConfig>, NoEvidence> {
        if let Self::Read { version, config } = self {
            trust.version = version;
            match (config, &trust.current) {
                (Ok(config), _) => trust.current = Some(config),
                (Err(cause), None) => return Err(cause),
                (Err(cause), Some(_)) => warn!(%cause, "keeping the authorities that were read before"),
            }
        }
        Ok(trust.current.clone().expect("only a file that was read before is left unread"))
    }
}

fn load_system() -> Loaded {
    let found = rustls_native_certs::load_native_certs();
    let config = configure(found.certs).ok_or_else(|| {
        NoEvidence::Failed("the system has no list of trusted authorities; set `ca_file`".to_owned())
    });
    Loaded::Read { version: Version::None, config }
}

/// Reads `path`, unless it still is the version that is `known`.
fn load_file(path: &Path, known: Option<Version>) -> Loaded {
    let shown = || printable(&path.to_string_lossy(), SHOWN);
    let (version, content) = match open(path) {
        Ok((file, version)) if known != Some(version) => {
            (version, file::read_rest(&file, LIMIT).map_err(io::Error::from))
        }
        Err(error) if known != Some(Version::None) => (Version::None, Err(error)),
        Ok(_) | Err(_) => return Loaded::Unchanged,
    };
    let config = match content {
        Ok(content) => {
            // What is not a certificate in PEM form is passed over.
            let certificates = CertificateDer::pem_slice_iter(&content).filter_map(Result::ok);
            configure(certificates)
                .ok_or_else(|| NoEvidence::Failed(format!("there is no certificate in {}", shown())))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            Err(NoEvidence::Denied(format!("user {user} may not read {}", shown())))
        }
        Err(error) => Err(NoEvidence::Failed(format!("failed to read {}: {error}", shown()))),
    };
    Loaded::Read { version, config }
}

fn open(path: &Path) -> io::Result<(File, Version)> {
    let (file, metadata) = file::open(path)?;
    Ok((file, Version::Of(file::stamp(&metadata))))
}

/// `None` without a single usable certificate.
fn configure(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let (usable, _unusable) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return None;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_a_ca_file_is_no_authority_and_nothing_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.crt");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        let loaded = file::within(Duration::from_secs(30), move || load_file(&path, None)).unwrap();
        let Loaded::Read { config: Err(cause), .. } = loaded else { panic!("{loaded:?}") };
        assert!(cause.to_string().contains("it is not a regular file"), "{cause}");
    }
}
