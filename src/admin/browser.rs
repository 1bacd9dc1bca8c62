//! Which requests a web page may have made a browser of this machine send. PURE.
//!
//! A listener on loopback is out of reach for strangers, but not for the pages that people open: a page may have its
//! browser ask any address, and one whose name an attacker points to 127.0.0.1 (DNS rebinding) may read the answers.
//! What browsers cannot be made to leave out or to forge gives such requests away:
//!
//! - `Origin`, which they add to every request of a page but the simplest, and `Sec-Fetch-Site`, which says that another
//!   site's page is the cause. Who types an address, and every program, sends neither, or `none`.
//! - `Host` holds the name in the address bar. Where neither TLS nor a token protects the listener, it must be an IP
//!   address or `localhost`: those are no names that anybody could point elsewhere. Behind a certificate or a token any
//!   name may stand there, such as that of a Kubernetes Service that Prometheus scrapes.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::{HeaderMap, Uri};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const PAGE: &str =
    "requests of web pages are refused; ask with a program, such as curl or `mirrorvip status`";

const NAME: &str = "without TLS and token this listener answers only under an IP address or `localhost`, which no web page \
                    can forge: write that in place of the name, or set `token_file` in [admin]";

/// Refuses what a web page may have caused; the error says why, and what to do. `guarded` is whether the listener has TLS
/// or a token.
pub(super) fn admit(uri: &Uri, headers: &HeaderMap, guarded: bool) -> Result<(), &'static str> {
    let from_a_page = |site: &[u8]| !matches!(site, b"none" | b"same-origin");
    if headers.contains_key(ORIGIN)
        || headers.get_all(SEC_FETCH_SITE).iter().any(|site| from_a_page(site.as_bytes()))
    {
        return Err(PAGE);
    }
    if guarded {
        return Ok(());
    }
    // Only HTTP/1.0 goes without a `Host`, and no browser speaks that.
    let hosts = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
    if hosts.chain(uri.host()).all(is_no_name) { Ok(()) } else { Err(NAME) }
}

/// Whether a `Host` is an IP address or `localhost`, with or without a port.
fn is_no_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn admitted(uri: &str, fields: &[(HeaderName, &'static str)], guarded: bool) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        admit(&uri.parse().expect("a path or an address"), &headers, guarded)
    }

    #[test]
    fn names_are_refused_unless_a_certificate_or_token_protects() {
        for host in ["127.0.0.1:9180", "[::1]:9180", "[::1]", "10.0.1.5", "localhost", "LOCALHOST:9180"] {
            assert_eq!(admitted("/status", &[(HOST, host)], false), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9180",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "::1:x",
        ] {
            assert_eq!(admitted("/status", &[(HOST, host)], false), Err(NAME), "{host}");
            assert_eq!(admitted("/status", &[(HOST, host)], true), Ok(()), "{host}");
        }
        assert_eq!(admitted("/status", &[], false), Ok(()), "HTTP/1.0");
        let both = [(HOST, "127.0.0.1"), (HOST, "evil.example")];
        assert_eq!(admitted("/status", &both, false), Err(NAME));
        assert_eq!(admitted("http://evil.example/status", &both[..1], false), Err(NAME));
        assert_eq!(admitted("http://127.0.0.1:9180/status", &both[..1], false), Ok(()));
    }

    #[test]
    fn pages_are_refused_whatever_protects() {
        for (name, value, expected) in [
            (ORIGIN, "http://127.0.0.1:9180", Err(PAGE)),
            (ORIGIN, "null", Err(PAGE)),
            (SEC_FETCH_SITE, "cross-site", Err(PAGE)),
            (SEC_FETCH_SITE, "same-site", Err(PAGE)),
            (SEC_FETCH_SITE, "none", Ok(())),
            (SEC_FETCH_SITE, "same-origin", Ok(())),
        ] {
            for guarded in [false, true] {
                let fields = [(HOST, "127.0.0.1:9180"), (name.clone(), value)];
                assert_eq!(admitted("/status", &fields, guarded), expected, "{name}: {value}");
            }
        }
    }
}
