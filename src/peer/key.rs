//! The secret that the members of a mirror share, and signatures with it. The file is read at a start or a reload alone.
//!
//! A request carries a fresh nonce, and the answer an HMAC-SHA256 over nonce, newline and body ([RFC 2104],
//! [FIPS 198-1]), in hexadecimal. The signature proves that a holder of the secret made the answer for this question. The
//! document itself is not secret.
//!
//! [RFC 2104]: https://www.rfc-editor.org/rfc/rfc2104
//! [FIPS 198-1]: https://csrc.nist.gov/pubs/fips/198-1/final

use std::fmt;
use std::io;
use std::path::Path;

use ring::hmac;
use subtle::ConstantTimeEq as _;

use crate::file::{self, ReadError};
use crate::random::hexadecimal;

/// The request's header with the nonce.
pub(crate) const NONCE: &str = "mirrorvip-nonce";
/// The answer's header with the signature.
pub(crate) const SIGNATURE: &str = "mirrorvip-signature";

/// A shorter secret can be guessed, in bytes.
const SHORTEST: usize = 32;
/// More is not a secret, in bytes.
const LONGEST: usize = 4_096;

/// The shared secret of one mirror.
pub struct Key(hmac::Key);

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot be read by this user")]
    Unreadable(#[source] io::Error),
    /// Too short to protect anything, or too long to be a secret.
    #[error("holds {0} bytes; a secret has {SHORTEST} to {LONGEST}: `openssl rand -hex 32` generates one")]
    Length(usize),
    /// Much too long to be a secret.
    #[error(
        "holds more than a secret, which has {SHORTEST} to {LONGEST} bytes: `openssl rand -hex 32` generates one"
    )]
    TooLong,
}

impl Key {
    /// Reads the secret, which is all that the file holds; white space around it is ignored.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = file::read_bounded(path, 2 * LONGEST as u64).map_err(|error| match error {
            ReadError::TooLong { .. } => KeyError::TooLong,
            other => KeyError::Unreadable(other.into()),
        })?;
        let secret = text.trim_ascii();
        if !(SHORTEST..=LONGEST).contains(&secret.len()) {
            return Err(KeyError::Length(secret.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The signature of `body` as the answer to the question with this nonce.
    pub(crate) fn sign(&self, nonce: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(nonce.as_bytes());
        context.update(b"\n");
        context.update(body);
        hexadecimal(context.sign().as_ref())
    }

    /// Whether `other` holds the same secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // The library cannot compare keys; two that sign alike are equal.
        self.verifies("", b"", &other.sign("", b""))
    }

    /// Whether `signature` is valid. Takes the same time for every wrong one of the right length.
    pub(crate) fn verifies(&self, nonce: &str, body: &[u8], signature: &str) -> bool {
        self.sign(nonce, body).as_bytes().ct_eq(signature.as_bytes()).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{is_identifier, random_identifier};

    fn key(secret: &str) -> Result<Key, KeyError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), secret).unwrap();
        Key::load(file.path())
    }

    #[test]
    fn a_signature_holds_for_its_secret_nonce_and_body_alone() {
        let (ours, theirs) = (key(&"k".repeat(32)).unwrap(), key(&"x".repeat(32)).unwrap());
        let nonce = random_identifier();
        assert!(is_identifier(&nonce) && nonce != random_identifier());
        let signature = ours.sign(&nonce, b"body");
        assert!(ours.verifies(&nonce, b"body", &signature));
        assert!(!ours.verifies(&nonce, b"another", &signature));
        assert!(!ours.verifies(&random_identifier(), b"body", &signature), "an old answer is replayed");
        assert!(!theirs.verifies(&nonce, b"body", &signature));
        assert!(!theirs.is_same(&ours) && theirs.is_same(&key(&"x".repeat(32)).unwrap()));
        assert!(!ours.verifies(&nonce, b"body", ""));
    }

    /// Computed with `openssl dgst -sha256 -hmac`, which shares no code with this.
    #[test]
    fn a_signature_is_the_hmac_that_other_programs_compute() {
        let key = key(&"k".repeat(32)).unwrap();
        assert_eq!(
            key.sign("00112233445566778899aabbccddeeff", b"{}"),
            "7ceb2f079192118df711065c9c1ecb3f0900a56a1a0f96b8c7db441d8acb98b4"
        );
    }

    #[test]
    fn a_short_secret_and_a_missing_file_are_refused() {
        assert!(matches!(key("short"), Err(KeyError::Length(5))));
        assert!(matches!(key(&"x".repeat(9_000)), Err(KeyError::TooLong)));
        assert!(matches!(Key::load(Path::new("/nonexistent")), Err(KeyError::Unreadable(_))));
        assert_eq!(format!("{:?}", key(&"k".repeat(32)).unwrap()), "Key");
    }
}
