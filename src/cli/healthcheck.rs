//! `mirrorvip healthcheck`: whether the daemon in this container answers, for the `HEALTHCHECK` of its image,
//! which has neither a shell nor curl.
//!
//! It requests `/live` from every address of the health listener, over TLS where that is configured. The role does not
//! matter: a backup is as healthy as a primary and must not be restarted. The certificate is not verified: the address is
//! one of this machine, and the certificate is for the name that load balancers use. If `allowed_networks` excludes this
//! machine, a connection that is accepted and closed proves that the listener runs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};

use super::{Exit, Failure, Global, run};
use crate::network;

/// Time limit of each step (connect, read, write); all together stay below the timeout of the image's check.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How much of an answer is read. Its head has less than 200 bytes; the rest does not matter.
const LONGEST_ANSWER: u64 = 4096;

pub(super) fn run(global: &Global) -> Result<Exit, Failure> {
    let health = run::load(global)?.health;
    for listen in health.listen {
        let address = network::reachable(listen);
        let networks = &health.allowed_networks;
        let stranger =
            !networks.is_empty() && !networks.iter().any(|network| network.contains(&address.ip()));
        let alive = match ask(address, health.tls.is_some()) {
            Ok(answer) if answer.is_empty() && stranger => Ok(()),
            Err(error) if stranger && is_close(&error) => Ok(()),
            answer => answer.and_then(|answer| judge(&answer)),
        };
        alive.map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("{address} does not answer as expected"));
            Failure::new(Exit::Unavailable, error)
        })?;
    }
    Ok(Exit::Ok)
}

/// The beginning of the listener's answer to a request for `/live`.
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
    // The end of the answer does not matter, and a TLS peer may close without a close notification.
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

/// 403 counts as well: `allowed_networks` need not contain loopback.
fn judge(answer: &[u8]) -> io::Result<()> {
    match answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
        Some(b"200" | b"403") => Ok(()),
        Some(code) => Err(io::Error::other(format!("it answered {}", String::from_utf8_lossy(code)))),
        None => Err(io::Error::other("it is not a listener of mirrorvip")),
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

/// Accepts any certificate, if the peer has its key.
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
