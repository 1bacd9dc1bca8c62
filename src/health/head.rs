//! Reads the head of one HTTP/1 request from the bytes that have come so far.
//!
//! PURE and total: any bytes give one of the four answers, in time linear in their number however they are
//! cut into pieces. It checks the form (RFC 9112) and knows nothing of paths or mirrors. It is lenient where
//! health checkers are clumsy: any header, none at all, line ends without carriage return, an absolute-form
//! target, HTTP/1.0 or 1.1.

use crate::peer::key::NONCE;
use crate::random::is_identifier;

/// How long the head of a request may be, in bytes.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// How many header fields a request may have.
const MAX_FIELDS: usize = 100;

/// How many bytes of empty lines may stand before the request line: two, with carriage returns. RFC 9112
/// section 2.2 asks for one; a bound keeps repeated parsing of them linear.
const MAX_LEADING: usize = 4;

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<'bytes> {
    /// A head that is not complete yet.
    Partial,
    /// A whole head.
    Complete {
        /// What it asks for.
        head: Head<'bytes>,
        /// Its length in bytes, the empty line included.
        length: usize,
    },
    /// Not the beginning of any HTTP/1 request.
    Malformed,
    /// Longer than [`MAX_HEAD`], or more header fields than [`MAX_FIELDS`].
    TooLong,
}

/// The parts of a request that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'bytes> {
    pub(super) method: Method,
    /// The path, without scheme, host and query.
    pub(super) path: &'bytes str,
    /// Whether the request announces a body.
    pub(super) body: bool,
    /// The nonce with which another member wants its answer signed.
    pub(super) nonce: Option<&'bytes str>,
}

/// The methods that are distinguished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// Any other.
    Other,
}

/// Reads the head at the beginning of `bytes`, of which the first `seen` were found [`Parsed::Partial`]
/// before.
pub(super) fn parse(bytes: &[u8], seen: usize) -> Parsed<'_> {
    let start = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if start > MAX_LEADING || bytes.get(start).is_some_and(|b| !b.is_ascii_alphabetic()) {
        return Parsed::Malformed;
    }
    let head = bytes.get(start..bytes.len().min(MAX_HEAD)).unwrap_or_default();
    let seen = seen.saturating_sub(start).min(head.len());
    // A broken request line is refused as soon as its end is there, a broken field when the head's end is.
    if ends(head, seen) || (completes_a_line(head, seen) && !head[..seen].contains(&b'\n')) {
        match parse_whole(head) {
            Parsed::Complete { head, length } => return Parsed::Complete { head, length: start + length },
            refused @ (Parsed::Malformed | Parsed::TooLong) => return refused,
            Parsed::Partial => {}
        }
    }
    if bytes.len() >= MAX_HEAD { Parsed::TooLong } else { Parsed::Partial }
}

/// Reads a head whose sender closed its side before the empty line came: what is there is taken as all of it.
pub(super) fn parse_at_end(bytes: &mut Vec<u8>) -> Parsed<'_> {
    bytes.extend_from_slice(b"\r\n\r\n");
    match parse(bytes, 0) {
        Parsed::Partial => Parsed::Malformed,
        parsed @ (Parsed::Complete { .. } | Parsed::Malformed | Parsed::TooLong) => parsed,
    }
}

/// Whether an empty line ends in the bytes after `seen`.
fn ends(head: &[u8], seen: usize) -> bool {
    let fresh = &head[seen.saturating_sub(3)..];
    fresh.windows(2).any(|w| w == b"\n\n") || fresh.windows(3).any(|w| w == b"\n\r\n")
}

fn completes_a_line(head: &[u8], seen: usize) -> bool {
    head[seen..].contains(&b'\n')
}

fn parse_whole(bytes: &[u8]) -> Parsed<'_> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => match (request.method, request.path) {
            (Some(method), Some(target)) => Parsed::Complete {
                head: Head {
                    method: match method {
                        "GET" => Method::Get,
                        "HEAD" => Method::Head,
                        _ => Method::Other,
                    },
                    path: path_of(target),
                    body: request.headers.iter().any(announces_body),
                    nonce: request.headers.iter().find_map(nonce),
                },
                length,
            },
            (None, _) | (_, None) => Parsed::Malformed,
        },
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => Parsed::TooLong,
        Err(_) => Parsed::Malformed,
    }
}

fn nonce<'bytes>(field: &httparse::Header<'bytes>) -> Option<&'bytes str> {
    let value = field.name.eq_ignore_ascii_case(NONCE).then_some(field.value)?;
    std::str::from_utf8(value).ok().filter(|value| is_identifier(value))
}

fn announces_body(field: &httparse::Header<'_>) -> bool {
    field.name.eq_ignore_ascii_case("transfer-encoding")
        || (field.name.eq_ignore_ascii_case("content-length") && field.value != b"0")
}

/// The path of an origin-form or absolute-form target; anything else, such as `*`, is its own path and
/// matches no page.
fn path_of(target: &str) -> &str {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)));
    let path = match scheme {
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        None => target,
    };
    path.split(['?', '#']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(target: &str) -> String {
        match parse(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes(), 0) {
            Parsed::Complete { head, .. } => head.path.to_owned(),
            other => panic!("{target}: {other:?}"),
        }
    }

    #[test]
    fn reads_every_kind_of_head_that_checkers_send() {
        let table: [(&[u8], Method, bool); 7] = [
            (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", Method::Get, false),
            (b"GET /x HTTP/1.0\r\n\r\n", Method::Get, false),
            (b"HEAD /x HTTP/1.0\n\n", Method::Head, false),
            (b"\r\nGET /x HTTP/1.1\r\n\r\n", Method::Get, false),
            (b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\n", Method::Other, true),
            (b"GET /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", Method::Get, true),
            (b"GET /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Method::Get, false),
        ];
        for (bytes, method, body) in table {
            let expected = Parsed::Complete {
                head: Head { method, path: "/x", body, nonce: None },
                length: bytes.len(),
            };
            assert_eq!(parse(bytes, 0), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_target_becomes_a_path() {
        assert_eq!(path("/csp/bin/x?y=/z"), "/csp/bin/x");
        assert_eq!(path("http://host:8080/x?y"), "/x");
        assert_eq!(path("HTTPS://host/x#y"), "/x");
        assert_eq!(path("http://host"), "/");
        assert_eq!(path("http://host?a"), "/");
        assert_eq!(path("*"), "*");
    }

    #[test]
    fn input_that_is_not_http_is_refused_as_early_as_possible() {
        assert_eq!(parse(b"\x16\x03\x01", 0), Parsed::Malformed, "TLS");
        assert_eq!(parse(b"\r\n\r\n\r\n", 0), Parsed::Malformed);
        assert_eq!(parse(b"GET /\r\n", 0), Parsed::Malformed, "HTTP/0.9");
        assert_eq!(parse(b"PRI * HTTP/2.0\r\n", 0), Parsed::Malformed);
        assert_eq!(parse(b"GET / HTTP/1.1\r\n: x\r\n\r\n", 0), Parsed::Malformed);
        assert_eq!(parse(b"GET / HTTP/1.1\r\n", 0), Parsed::Partial);
        assert_eq!(parse(b"", 0), Parsed::Partial);
    }

    #[test]
    fn eight_kibibytes_are_the_limit() {
        let mut bytes = b"GET / HTTP/1.1\r\nX: ".to_vec();
        bytes.resize(MAX_HEAD - 4, b'a');
        bytes.extend_from_slice(b"\r\n\r\n");
        assert!(matches!(parse(&bytes, 0), Parsed::Complete { length: MAX_HEAD, .. }));
        bytes.insert(20, b'a');
        assert_eq!(parse(&bytes, 0), Parsed::TooLong);
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parse(fields.as_bytes(), 0), Parsed::TooLong);
    }

    #[test]
    fn a_head_cut_off_by_its_sender_is_taken_as_it_is() {
        for cut in ["GET /x HTTP/1.0", "GET /x HTTP/1.0\r\n", "GET /x HTTP/1.0\r\nHost: a"] {
            let mut bytes = cut.as_bytes().to_vec();
            assert!(matches!(parse_at_end(&mut bytes), Parsed::Complete { .. }), "{cut}");
        }
        assert_eq!(parse_at_end(&mut b"GET /x".to_vec()), Parsed::Malformed);
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), seen in 0_usize..300) {
            let answer = parse(&bytes, seen);
            let beyond = matches!(answer, Parsed::Complete { length, .. } if length > bytes.len());
            prop_assert!(!beyond);
        }

        /// A client that sends byte by byte gets the answer that it would get at once.
        #[test]
        fn pieces_do_not_matter(
            target in "[a-z/*?:]{0,12}",
            version in "HTTP/[012]\\.[01]",
            fields in proptest::collection::vec("[A-Za-z: ]{0,9}", 0..4),
            newline in "\r?\n",
        ) {
            let mut text = format!("GET {target} {version}{newline}");
            for field in fields {
                text.push_str(&field);
                text.push_str(&newline);
            }
            text.push_str(&newline);
            let bytes = text.as_bytes();
            let piecewise = (0..=bytes.len())
                .map(|end| parse(&bytes[..end], end.saturating_sub(1)))
                .find(|parsed| *parsed != Parsed::Partial)
                .unwrap_or(Parsed::Partial);
            prop_assert_eq!(piecewise, parse(bytes, 0));
        }
    }
}
