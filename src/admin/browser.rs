//! Detects requests that a web page may have made a browser on this machine send. PURE.
//!
//! Other machines cannot reach a listener on loopback, but web pages in a local browser can: a page may send requests to any
//! address, and a page whose name an attacker points to 127.0.0.1 (DNS rebinding) may read the answers. Headers that a page
//! can neither remove nor forge identify such requests:
//!
//! - Browsers add `Origin` to all but the simplest requests of a page, and `Sec-Fetch-Site` says that another site's page
//!   is the cause. For a typed address the latter is `none`; programs send neither.
//! - `Host` contains the name in the address bar. Where neither TLS nor a token protects the listener, it must be an IP
//!   address or `localhost`, which no attacker can point elsewhere. Behind TLS or a token any name is allowed, such as that
//!   of a Kubernetes Service that Prometheus scrapes.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::{HeaderMap, Uri};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const PAGE: &str = "requests from web pages are refused; use a program such as curl or `mirrorvip status`";

const NAME: &str = "without TLS and token this listener answers only to an IP address or `localhost`, which no web page \
                    can forge: use one in place of the name, or set `token_file` in [admin]";

/// Refuses a request that a web page may have caused; the error says why and what to do. `guarded`: the listener has TLS or
/// a token.
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
    // Only HTTP/1.0 has no `Host`, and no browser uses it.
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
