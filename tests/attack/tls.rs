//! Keys of the page, and its clients: a checker's, and the first words of one that never goes on.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// How checkers speak to a page with TLS.
pub(crate) type Client = Arc<ClientConfig>;

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

/// A stream whose flights take a round trip: the first byte written after something was read waits for that long.
pub(crate) struct Distant<S> {
    stream: S,
    round_trip: Duration,
    speaking: bool,
}

// === impl Identity ===

impl Identity {
    /// Makes a key of this kind, as `openssl req -newkey` and `-pkeyopt` name it, and a certificate.
    pub(crate) fn make(directory: &Path, kind: &[&str]) -> Result<Self> {
        let path = |name| directory.join(name);
        let (certificate, key, config) = (path("tls.crt"), path("tls.key"), path("openssl.cnf"));
        fs::write(
            &config,
            "[req]\ndistinguished_name=name\nx509_extensions=extensions\nprompt=no\n[name]\nCN=localhost\n\
             [extensions]\nsubjectAltName=DNS:localhost\n",
        )?;
        let status = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "30", "-config"])
            .arg(config)
            .arg("-newkey")
            .args(kind)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status()
            .context("failed to start openssl")?;
        if !status.success() {
            bail!("openssl made no key: {status}");
        }
        Ok(Self { certificate, key })
    }

    /// The table of the configuration that names it.
    pub(crate) fn table(&self) -> String {
        let Self { certificate, key } = self;
        format!("[health.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display())
    }

    /// A client that trusts it, and that shakes hands in full each time.
    pub(crate) fn client(&self) -> Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate)?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// A connection that has yet to begin.
pub(crate) fn connection(client: &Client) -> io::Result<ClientConnection> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    ClientConnection::new(Arc::clone(client), name).map_err(io::Error::other)
}

/// A `ClientHello`, to be replayed.
pub(crate) fn hello(client: &Client) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    connection(client)?.write_tls(&mut bytes)?;
    Ok(bytes)
}

// === impl Distant ===

impl<S> Distant<S> {
    /// The first flight waits as well: the connection is open before anything comes over it.
    pub(crate) fn new(stream: S, round_trip: Duration) -> Self {
        Self { stream, round_trip, speaking: false }
    }
}

impl<S: Read> Read for Distant<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.speaking = false;
        self.stream.read(buffer)
    }
}

impl<S: Write> Write for Distant<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.speaking, true) {
            std::thread::sleep(self.round_trip);
        }
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
