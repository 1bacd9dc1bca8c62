//! Certificates made for a test, and a client that trusts exactly one of them.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use super::PATIENCE;

/// A self-signed certificate for `localhost` and `127.0.0.1`, and its key, both PEM.
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

// === impl Certificate ===

impl Certificate {
    /// One that is valid for a long time.
    pub fn new() -> Self {
        Self::valid((1975, 1, 1), (4096, 1, 1))
    }

    /// One that is valid between two days: year, month, day.
    pub fn valid(from: (i32, u8, u8), until: (i32, u8, u8)) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = rcgen::CertificateParams::new(names).expect("both names are valid");
        parameters.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let certificate = parameters.self_signed(&key).expect("it can sign itself");
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Writes both files into `directory`, by renaming, so that each is whole at any moment.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
        for (path, text) in [(&key, &self.key), (&certificate, &self.certificate)] {
            let fresh = path.with_extension("new");
            fs::write(&fresh, text).expect("the test's directory is writable");
            fs::rename(&fresh, path).expect("the test's directory is writable");
        }
        (certificate, key)
    }

    /// Writes both files and gives the table `[NAME.tls]` that names them.
    pub fn table(&self, name: &str, directory: &Path) -> String {
        let (certificate, key) = self.write(directory);
        format!("[{name}.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display())
    }

    /// A session of a client that trusts this certificate and no other.
    pub fn session(&self) -> io::Result<rustls::ClientConnection> {
        let mut roots = rustls::RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("it was made as PEM");
        roots.add(der).expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a valid name");
        rustls::ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
    }

    /// The status code of a GET over TLS that trusts this certificate and no other.
    pub fn get(&self, address: SocketAddr, path: &str) -> io::Result<u16> {
        let client = self.session()?;
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = rustls::StreamOwned::new(client, stream);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::other(format!("no status line: {text}")))
    }
}
