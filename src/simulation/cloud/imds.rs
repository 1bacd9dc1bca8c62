//! The instance metadata service, version 2: one port per member; a token first, then documents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::http::request::Parts;
use serde_json::json;

use super::api::Rendered;
use super::fault::Effect;
use super::server::{Reply, Serve, page, reply};
use super::settings::{ACCOUNT, Member};
use super::state::Shared;
use super::sts::role;

/// Header of a request for a token and of its answer; the Rust SDK needs both.
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Header of all other requests.
const TOKEN: &str = "x-aws-ec2-metadata-token";
/// Longest life of a token.
const LONGEST: u32 = 21_600;
/// Most tokens that are kept, the newest.
const MOST_TOKENS: usize = 1_000;

/// One member's metadata service.
pub(super) struct Metadata {
    shared: Arc<Shared>,
    member: Member,
    region: String,
    zone: String,
    tokens: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    count: u64,
    /// By number, until when each is valid.
    valid: BTreeMap<u64, Duration>,
}

// === impl Metadata ===

impl Metadata {
    pub(super) fn new(shared: Arc<Shared>, member: Member) -> Self {
        let (region, zone) = {
            let state = shared.lock();
            (state.objects.settings.region.clone(), state.objects.settings.zone())
        };
        Self { shared, member, region, zone, tokens: Mutex::default() }
    }

    fn answer(&self, head: &Parts) -> Rendered {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let path = head.uri.path();
        if path == "/latest/api/token" {
            if head.method != "PUT" {
                return page(405, "405 - Method Not Allowed");
            }
            let ttl = header(TTL).and_then(|ttl| ttl.parse().ok()).filter(|ttl| (1..=LONGEST).contains(ttl));
            return ttl.map_or_else(|| page(400, "400 - Bad Request"), |ttl| self.new_token(ttl));
        }
        if head.method != "GET" {
            return page(405, "405 - Method Not Allowed");
        }
        if !header(TOKEN).is_some_and(|token| self.is_valid(token)) {
            return page(401, "401 - Unauthorized");
        }
        self.document(path).map_or_else(|| page(404, "404 - Not Found"), |document| text(200, &document))
    }

    fn new_token(&self, ttl: u32) -> Rendered {
        let now = self.shared.now();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.count += 1;
        let number = tokens.count;
        tokens.valid.insert(number, now + Duration::from_secs(ttl.into()));
        if tokens.valid.len() > MOST_TOKENS {
            tokens.valid.pop_first();
        }
        Rendered {
            headers: vec![(TTL, ttl.to_string())],
            ..text(200, &format!("{}-{number}", self.member.name))
        }
    }

    fn is_valid(&self, token: &str) -> bool {
        let number = token.strip_prefix(&format!("{}-", self.member.name)).and_then(|n| n.parse().ok());
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let until = number.and_then(|number: u64| tokens.valid.get(&number));
        until.is_some_and(|until| self.shared.now() < *until)
    }

    fn document(&self, path: &str) -> Option<String> {
        let member = &self.member;
        let mac = "02:00:00:00:00:01";
        let role = role(member);
        if let Some(path) = path.strip_prefix("/latest/meta-data/") {
            let path = path.trim_end_matches('/');
            return match path {
                "instance-id" => Some(member.instance_id.clone()),
                "local-ipv4" => Some(member.address.to_string()),
                "placement/region" => Some(self.region.clone()),
                "placement/availability-zone" => Some(self.zone.clone()),
                "mac" => Some(mac.to_owned()),
                "iam/security-credentials" => Some(role),
                _ if path == format!("iam/security-credentials/{role}") => Some(self.credentials()),
                _ if path == format!("network/interfaces/macs/{mac}/interface-id") => {
                    Some(member.network_interface.clone())
                }
                _ => None,
            };
        }
        (path == "/latest/dynamic/instance-identity/document").then(|| {
            let document = json!({
                "accountId": ACCOUNT,
                "availabilityZone": self.zone,
                "instanceId": member.instance_id,
                "privateIp": member.address,
                "region": self.region,
                "version": "2017-09-30",
            });
            document.to_string()
        })
    }

    fn credentials(&self) -> String {
        let session = self.shared.new_session(&self.member);
        let document = json!({
            "Code": "Success",
            "LastUpdated": format!("{:.0}", self.shared.timestamp().to_utc()),
            "Type": "AWS-HMAC",
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret_key,
            "Token": session.token,
            "Expiration": format!("{:.0}", session.expires.to_utc()),
        });
        document.to_string()
    }
}

impl Serve for Metadata {
    async fn serve(&self, head: Parts, _body: Bytes) -> Reply {
        let effect = self.shared.arrive_at_metadata(&self.member.name, head.uri.path());
        let answer = || match effect {
            Some(Effect::ServerError(status)) => page(status, "Server Error"),
            Some(Effect::Throttle) => page(429, "429 - Too Many Requests"),
            Some(Effect::AccessDenied | Effect::ExpiredCredentials) => page(403, "403 - Forbidden"),
            _ => self.answer(&head),
        };
        reply(effect, answer).await
    }
}

fn text(status: u16, body: &str) -> Rendered {
    Rendered { status, content_type: "text/plain", headers: Vec::new(), body: body.as_bytes().to_vec() }
}
