//! mirrorvip answers load balancers' health checks from the mirror role of the local InterSystems IRIS (or
//! Caché) instance, where a virtual IP cannot exist. It elects nobody: IRIS decides who is primary, and this
//! daemon makes everybody else know it, fast, and never wrongly.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | *probe* | one question to the instance, with one deadline: [`probe`] |
//! | *observation* | one answer: a definite role, or no evidence and why: [`observation`] |
//! | *verdict* | what the role machine rules: serve until a moment, or refuse for a reason: [`role`] |
//! | *epoch* | number of a promotion that this member saw |
//! | *permit* | the right to write to a cloud, checked into `Held` before each step; only a verdict to serve mints it |
//! | *health listener* | the port that load balancers poll, the data plane: [`health`] |
//! | *admin listener* | status, metrics, wake-up, the control plane: [`admin`] |
//!
//! # Data flow
//!
//! ```text
//! messages.log, POST /probe, SIGUSR1 ─┐
//! timer ──────────────────────────────┤
//!                                     ▼
//!            probe loop ──Observation──► role::Tracker ──Snapshot──┬─► health: verdict(now) at each request
//!            (one in flight,             (pure)                    ├─► admin: /status, /metrics
//!             deadline, kill)                                      ├─► state file, warnings
//!                                                                  └─► (steering of cloud objects: a receiver
//!                                                                       like the others, with a permit to write)
//! ```
//!
//! # Code map
//!
//! | module | its one job |
//! |---|---|
//! | [`clock`] | time as pure code sees it, and the only code that reads a clock |
//! | [`observation`] | roles and the reasons for not knowing them; PURE |
//! | [`role`] | the role machine: observations in, verdicts out; PURE |
//! | [`snapshot`] | what a probe loop publishes about its mirror |
//! | [`probe`] | the probe loop and five ways to ask, each a thin shell round a pure parser |
//! | [`wake`] | follows logs, so that a probe is asked at once |
//! | [`health`] | the status page: accepting and limits; `respond` and `route` are PURE |
//! | [`admin`] | the status document, metrics, `POST /probe` |
//! | [`tls`] | certificates for both listeners |
//! | [`config`] | the configuration, and all that is wrong with it at once |
//! | [`state`] | what outlives the process |
//! | [`daemon`] | builds the channels, owns every task, defines reload and stop |
//! | [`check`] | what will go wrong, found before it does |
//! | [`cli`] | one file a verb |
//! | `simulation`, `demo` | a mirror without IRIS, for the demo and for tests; left out of release packages |
//!
//! # Invariants, and the test that holds each
//!
//! 1. Pure modules do no I/O, read no clock, spawn nothing; time comes in as a parameter.
//!    *Clippy's `disallowed_methods` in `.clippy.toml`; `tests/tidy.rs`.*
//! 2. One task writes a mirror's snapshot; everybody else holds a receiver.
//!    *The sender is moved into `probe::run`; `tests/tidy.rs` finds no other.*
//! 3. No verdict outlives `asked_at + stale_after`, and the reader evaluates that.
//!    *`role::tests::never_serves_past_the_newest_answer_of_primary`, `agrees_with_the_oracle`;
//!    `tests/model.rs`; `tests/haproxy.rs` with SIGSTOP.*
//! 4. A definite *not primary* is believed at once; only the absence of evidence is bridged; only good news
//!    may be asked to wait. *`role::tests::definite_bad_news_is_believed_at_once`; `tests/timelines/`.*
//! 5. `stale_after` stays below the mirror's QoS timeout. *`tests/config/`; `tests/model.rs` shows what
//!    happens otherwise.*
//! 6. Only a current verdict to serve mints a permit, and it ends with the verdict and with the epoch.
//!    *`role::tests::a_permit_ends_with_the_verdict_and_with_the_epoch`.*
//! 7. The health port touches no disk, name service, cloud or database while it answers, and no client delays
//!    another's check. *`tests/health/`.*
//! 8. Unknown text is never primary; parsers are total. *`probe::qlist` and its siblings: proptests;
//!    `tests/fuzz/` and `tests/fuzz_smoke.rs`.*
//! 9. Every child process, socket and request has a deadline; every queue and buffer has a bound.
//!    *`tests/probe/`, `tests/health/`.*
//! 10. A panic anywhere ends the process. *`main.rs`; `tests/cli.rs`.*
//! 11. Age is the larger of boot-time and wall-clock elapsed time. *`clock::tests`.*
//! 12. A reload that fails changes nothing, and one that succeeds drops no listener, verdict or epoch of a
//!     mirror that did not change. *`tests/reload.rs`.*

pub mod admin;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
#[cfg(feature = "simulation")]
pub mod demo;
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod observation;
pub mod probe;
pub mod role;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod snapshot;
pub mod state;
pub mod tls;
pub mod wake;
