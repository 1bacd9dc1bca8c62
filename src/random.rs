//! Random identifiers and nonces.

use std::fmt::Write as _;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a nonce or an identifier.
const RANDOM_LENGTH: usize = 16;

/// 128 random bits in hexadecimal: a nonce, or a unique identifier.
pub(crate) fn random_identifier() -> String {
    let mut bytes = [0; RANDOM_LENGTH];
    SystemRandom::new().fill(&mut bytes).expect("the kernel always has random numbers on Linux");
    hexadecimal(&bytes)
}

/// Whether `text` is one that [`random_identifier`] could have made.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() == 2 * RANDOM_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `bytes` in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
