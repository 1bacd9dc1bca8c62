//! `mirrorvip healthcheck`: whether the daemon in this container answers, for the `HEALTHCHECK` of its image,
//! which has neither a shell nor curl.
//!
//! It asks every address of the health listener for `/live`, over TLS where that is configured. The role has no
//! say: a backup is as healthy as a primary, and must not be restarted for being one. Whose certificate answers
//! does not matter either: what is asked is whether this listener turns, on an address of this machine, and a
//! certificate is for the name that load balancers use. And where `allowed_networks` keep this machine out, being let in
//! and closed without a word is an answer: somebody who turns did that.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};

use super::{Exit, Failure, Global, admin, run};

/// How long each step (connecting, reading, writing) may take: with all of them below the image's own timeout.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The head of an answer is below 200 bytes; what follows does not matter.
const LONGEST_ANSWER: u64 = 4096;

pub(super) fn run(global: &Global) -> Result<Exit, Failure> {
    let health = run::load(global)?.health;
    for listen in health.listen {
        let address = admin::reachable(listen);
        let networks = &health.allowed_networks;
        let stranger =
            !networks.is_empty() && !networks.iter().any(|network| network.contains(&address.ip()));
        let alive = match ask(address, health.tls.is_some()) {
            Ok(answer) if answer.is_empty() && stranger => Ok(()),
            Err(error) if stranger && is_close(&error) => Ok(()),
            answer => answer.and_then(|answer| judge(&answer)),
        };
        alive.map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("{address} does not answer as it should"));
            Failure::new(Exit::Unavailable, error)
        })?;
    }
    Ok(Exit::Ok)
}

/// What the listener answers to a request for `/live`, as far as it matters.
fn ask(address: SocketAddr, secure: bool) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    if !secure {
        return exchange(&mut stream, address);
    }
    let mut connection =
        ClientConnection::new(Arc::new(client()?), address.ip().into()).map_err(io::Error::other)?;
    exchange(&mut Stream::new(&mut connection, &mut stream), address)
}

fn exchange(stream: &mut (impl Read + Write), address: SocketAddr) -> io::Result<Vec<u8>> {
    write!(stream, "GET /live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut answer = Vec::new();
    // The end of the answer does not matter, and a TLS peer may leave without a word.
    match stream.take(LONGEST_ANSWER).read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => Err(error),
        Ok(_) | Err(_) => Ok(answer),
    }
}

/// Whether the other side closed the connection.
fn is_close(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// 403 is an answer, too: `allowed_networks` need not have loopback in it.
fn judge(answer: &[u8]) -> io::Result<()> {
    match answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
        Some(b"200" | b"403") => Ok(()),
        Some(code) => Err(io::Error::other(format!("it answered {}", String::from_utf8_lossy(code)))),
        None => Err(io::Error::other("it is no listener of mirrorvip's")),
    }
}

fn client() -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName(provider)))
        .with_no_client_auth();
    Ok(config)
}

/// Accepts any certificate whose key the peer has.
#[derive(Debug)]
struct AnyName(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_listener_is_life_whatever_it_thinks_of_us() {
        assert!(judge(b"HTTP/1.1 200 OK\r\n").is_ok());
        assert!(judge(b"HTTP/1.1 403 Forbidden\r\n").is_ok());
        assert!(judge(b"HTTP/1.1 500 Internal Server Error\r\n").is_err());
        assert!(judge(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
        assert!(judge(b"").is_err());
    }
}
