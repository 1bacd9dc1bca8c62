//! The state of the simulated cloud behind one lock: callers, faults, objects, journal. It does no I/O; the servers sleep,
//! hang and reset as it says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::api::{ApiError, Rendered, Request};
use super::fault::{Effect, Faults, Victim};
use super::journal::{Call, Journal, Mutation};
use super::objects::{Answer, Objects, PoolName};
use super::pool::{Failure, ToCheck};
use super::settings::{HealthCheck, Member, Service, Settings};
use super::{route53, sts};
use crate::clock::{Clock, Timestamp};

/// Returns the member that is primary, if any.
pub(super) type Oracle = Box<dyn Fn() -> Option<String> + Send>;

/// The cloud as its servers share it.
pub(super) struct Shared {
    state: Mutex<CloudState>,
    clock: Clock,
    started: Timestamp,
}

/// The state.
#[derive(Default)]
pub(super) struct CloudState {
    pub(super) objects: Objects,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) oracle: Option<Oracle>,
    /// The real address of a member's port.
    pub(super) places: BTreeMap<(String, u16), SocketAddr>,
    /// Tokens of instance roles: the member, and until when the token is valid.
    sessions: BTreeMap<String, (String, Timestamp)>,
    requests: u64,
}

/// A request that was read, at the moment it had arrived.
pub(super) struct Arrived {
    pub(super) request: Request,
    pub(super) effect: Option<Effect>,
    at: Timestamp,
    member: Option<Member>,
    primary: Option<String>,
    id: String,
}

/// A check to make.
pub(super) struct Check {
    pub(super) to_check: ToCheck,
    /// The real address of the target's port for checks; `None` if no process listens.
    pub(super) address: Option<SocketAddr>,
}

/// Credentials of an instance role.
pub(super) struct Session {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) token: String,
    pub(super) expires: Timestamp,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        let clock = Clock::system();
        let started = clock.now();
        let state = CloudState { objects: Objects::new(settings), ..CloudState::default() };
        Self { state: Mutex::new(state), clock, started }
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Duration {
        self.started.age_at(self.clock.now())
    }

    /// The state, advanced to the present. A test that panicked while it held the lock has left it consistent:
    /// every change is made by one call.
    pub(super) fn lock(&self) -> MutexGuard<'_, CloudState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.objects.advance(self.now());
        state
    }

    /// Registers a request; the effect of faults on it is decided when it arrives.
    pub(super) fn arrive(&self, request: Request) -> Arrived {
        let (now, at) = (self.now(), self.clock.now());
        let mut state = self.lock();
        state.requests += 1;
        let id = format!("00000000-0000-4000-8000-{:012x}", state.requests);
        let member = state.caller(&request).cloned();
        let victim = Victim {
            service: request.service,
            action: &request.action,
            member: member.as_ref().map(|member| member.name.as_str()),
        };
        let effect = state.faults.strike(now, victim);
        let primary = state.oracle.as_ref().and_then(|oracle| oracle());
        Arrived { request, effect, at, member, primary, id }
    }

    /// Carries a request out, or refuses it, and records that.
    pub(super) fn carry_out(&self, arrived: &Arrived) -> Rendered {
        let (now, at) = (self.now(), self.clock.now());
        let mut state = self.lock();
        let request = &arrived.request;
        let outcome = state.serve(now, at, arrived);
        state.journal.record_call(Call {
            received: arrived.at,
            member: arrived.member.as_ref().map(|member| member.name.clone()),
            service: request.service,
            action: request.action.clone(),
            error: outcome.as_ref().err().map(|error| error.code.clone()),
        });
        match outcome {
            Ok(answer) => {
                for touched in answer.touched {
                    state.journal.record(Mutation {
                        number: 0,
                        received: arrived.at,
                        applied: at,
                        member: arrived.member.as_ref().map(|member| member.name.clone()).unwrap_or_default(),
                        primary: arrived.primary.clone(),
                        service: request.service,
                        action: request.action.clone(),
                        parameters: request.described(),
                        object: touched.object,
                        before: touched.before,
                        after: touched.after,
                    });
                }
                request.render(&arrived.id, &answer.body)
            }
            Err(error) => request.render_error(&arrived.id, &error),
        }
    }

    /// Records a request of the metadata service; returns the effect of faults on it.
    pub(super) fn arrive_at_metadata(&self, member: &str, path: &str) -> Option<Effect> {
        let (now, at) = (self.now(), self.clock.now());
        let mut state = self.lock();
        state.journal.record_call(Call {
            received: at,
            member: Some(member.to_owned()),
            service: Service::Metadata,
            action: path.to_owned(),
            error: None,
        });
        state.faults.strike(now, Victim { service: Service::Metadata, action: path, member: Some(member) })
    }

    /// New credentials for a member's instance role.
    pub(super) fn new_session(&self, member: &Member) -> Session {
        let mut state = self.lock();
        state.requests += 1;
        let token = format!("session-{}-{}", member.name, state.requests);
        let expires = self.clock.now().later_by(state.objects.settings.credentials);
        state.sessions.insert(token.clone(), (member.name.clone(), expires));
        Session { access_key: member.role_access_key(), secret_key: member.secret_key(), token, expires }
    }

    /// The present, for documents.
    pub(super) fn timestamp(&self) -> Timestamp {
        self.clock.now()
    }

    /// The checks to make in a pool, and how; `None` if there is no such pool.
    pub(super) fn checks(&self, pool: &PoolName) -> Option<(HealthCheck, Vec<Check>)> {
        let mut state = self.lock();
        let (pool, check) = state.objects.pool_mut(pool)?;
        let (to_check, check) = (pool.to_check(), check.clone());
        let checks = to_check.into_iter().map(|to_check| {
            let port = check.port.unwrap_or(to_check.target.port);
            let member = state.objects.member_of(&to_check.target.id);
            let place = member.and_then(|member| state.places.get(&(member.name.clone(), port)));
            Check { to_check, address: place.copied() }
        });
        let checks = checks.collect();
        Some((check, checks))
    }

    /// Takes the result of a check.
    pub(super) fn checked(&self, pool: &PoolName, checked: &ToCheck, result: Result<(), Failure>) {
        if let Some((pool, _)) = self.lock().objects.pool_mut(pool) {
            pool.record(checked, result);
        }
    }
}

// === impl CloudState ===

impl CloudState {
    /// The member whose access key signed a request.
    fn caller(&self, request: &Request) -> Option<&Member> {
        let key = &request.access_key;
        let is_it = |member: &&Member| member.access_key() == *key || member.role_access_key() == *key;
        self.objects.settings.members.iter().find(is_it)
    }

    fn serve(&mut self, now: Duration, at: Timestamp, arrived: &Arrived) -> Result<Answer, ApiError> {
        let request = &arrived.request;
        let service = request.service;
        let Some(member) = &arrived.member else {
            return Err(ApiError::unknown_key(service));
        };
        match arrived.effect {
            Some(Effect::Throttle) => return Err(ApiError::throttled(service)),
            Some(Effect::ServerError(status)) => return Err(ApiError::server(service, status)),
            Some(Effect::AccessDenied) => {
                return Err(ApiError::denied(service, &request.action, &sts::arn(member)));
            }
            Some(Effect::ExpiredCredentials) => return Err(ApiError::expired(service)),
            Some(Effect::PriorRequestNotComplete) => return Err(route53::prior_request_not_complete()),
            // Effects on the transport are the server's.
            _ => {}
        }
        self.check_session(at, request, member)?;
        self.check_region(request)?;
        self.objects.answer(now, member, request)
    }

    /// Role credentials carry a token that is valid for a while, others carry none.
    fn check_session(&self, at: Timestamp, request: &Request, member: &Member) -> Result<(), ApiError> {
        let is_role = request.access_key == member.role_access_key();
        match (&request.token, is_role) {
            (None, false) => Ok(()),
            (Some(token), true) => match self.sessions.get(token) {
                Some((owner, expires)) if *owner == member.name => {
                    let over = expires.since_unix_epoch() <= at.since_unix_epoch();
                    if over { Err(ApiError::expired(request.service)) } else { Ok(()) }
                }
                Some(_) | None => Err(ApiError::unknown_key(request.service)),
            },
            (Some(_), false) | (None, true) => Err(ApiError::unknown_key(request.service)),
        }
    }

    fn check_region(&self, request: &Request) -> Result<(), ApiError> {
        let here = request.region == self.objects.settings.region;
        // Route 53 is in us-east-1, but clients with a custom endpoint sign for their own region.
        if here || matches!(request.service, Service::Route53 | Service::Sts) {
            return Ok(());
        }
        let message = "Credential should be scoped to a valid region.";
        Err(ApiError::new(403, "SignatureDoesNotMatch", message))
    }
}
