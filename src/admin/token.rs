//! The bearer token that protects the admin listener where it does not listen on loopback.

use std::fmt;
use std::io;
use std::path::Path;

use subtle::ConstantTimeEq as _;

use crate::file::{self, ReadError};

/// A shorter token can be guessed.
const SHORTEST: usize = 16;

/// A longer text is not a token.
const LONGEST: usize = 1024;

/// A secret that requests must carry as `Authorization: Bearer TOKEN`. Never printed.
pub struct Token(Vec<u8>);

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot be read by this user")]
    Unreadable(#[source] io::Error),
    /// Too short to protect anything, or too long to be a token.
    #[error("it holds {0} characters; a token has {SHORTEST} to {LONGEST}: `openssl rand -hex 32` makes one")]
    Length(usize),
    /// Far too long to be a token.
    #[error(
        "it holds thousands of characters; a token has {SHORTEST} to {LONGEST}: `openssl rand -hex 32` makes one"
    )]
    TooLong,
    /// A token is one word.
    #[error("it holds more than one word, or characters other than printable ASCII")]
    NotAWord,
}

impl Token {
    /// Reads the token, which is all that the file holds; white space around it is ignored.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let text = file::read_bounded(path, 2 * LONGEST as u64).map_err(|error| match error {
            ReadError::TooLong { .. } => TokenError::TooLong,
            other => TokenError::Unreadable(other.into()),
        })?;
        let token = text.trim_ascii();
        if !(SHORTEST..=LONGEST).contains(&token.len()) {
            return Err(TokenError::Length(token.len()));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::NotAWord);
        }
        Ok(Self(token.to_vec()))
    }

    /// Whether the value of an `Authorization` header contains this token. Takes the same time for every wrong token.
    pub(super) fn admits(&self, authorization: Option<&[u8]>) -> bool {
        const SCHEME: &[u8] = b"bearer ";
        let Some((scheme, presented)) = authorization.and_then(|value| value.split_at_checked(SCHEME.len()))
        else {
            return false;
        };
        let same = presented.ct_eq(&self.0);
        scheme.eq_ignore_ascii_case(SCHEME) && same.into()
    }

    /// For `mirrorvip status`, which is the client.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Token, TokenError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Token::load(file.path())
    }

    #[test]
    fn admits_exactly_its_own_token() {
        let token = load("0123456789abcdef\n").unwrap();
        assert!(token.admits(Some(b"Bearer 0123456789abcdef")));
        assert!(token.admits(Some(b"bearer 0123456789abcdef")));
        assert!(!token.admits(Some(b"Bearer 0123456789abcdeF")));
        assert!(!token.admits(Some(b"Bearer 0123456789abcde")));
        assert!(!token.admits(Some(b"Basic  0123456789abcdef")));
        assert!(!token.admits(Some(b"B")));
        assert!(!token.admits(None));
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn refuses_what_protects_nothing() {
        assert!(matches!(load("short"), Err(TokenError::Length(5))));
        assert!(matches!(load(&"x".repeat(3_000)), Err(TokenError::TooLong)));
        assert!(matches!(load("two words, and long enough"), Err(TokenError::NotAWord)));
        assert!(matches!(Token::load(Path::new("/nonexistent")), Err(TokenError::Unreadable(_))));
    }
}
