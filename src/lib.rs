//! mirrorvip answers load balancers' health checks from the mirror role of the local InterSystems IRIS (or
//! Caché) instance, where a virtual IP cannot exist. It elects nobody: IRIS decides who is primary, and this
//! daemon makes everybody else know it, fast, and never wrongly. Where a health check is not enough, it moves
//! target groups, records and routes in AWS to the primary as well.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | *probe* | one question to the instance, with one deadline: [`probe`] |
//! | *observation* | one answer: a definite role, or no evidence and why: [`observation`] |
//! | *verdict* | what the role machine rules: serve until a moment, or refuse for a reason: [`role`] |
//! | *epoch* | number of a promotion that this member saw |
//! | *permit* | the right to act as the primary, checked into `Held` before each step; only a verdict to serve mints it |
//! | *steering target* | what directs clients in a cloud: a pool, a record, a route; one table of the configuration each: [`steer`] |
//! | *authority* | the ruling whether this member may take traffic among its peers: clear, unsure, superseded: [`steer::authority`] |
//! | *claim* | the number that a write carries, above every one known; the fencing token in a record |
//! | *warrant* | permit and clear authority of one moment, for one step that moves traffic |
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
//!            (one in flight,    ▲        (pure)                    ├─► admin: /status, /metrics
//!             deadline, kill)   │                                  ├─► state file, warnings
//!                               │ order: superseded                │
//!                               └──────────── standing ◄───────────┤
//!             peers' /promotion ─────────────► (rules   │          │
//!                                             authority)│ ▲        │
//!                                   clear, with a claim ▼ │ what records say
//!             AWS ◄──── step, with a warrant ──── steering loop ◄──┘
//!                 ───── what is there ──────────► (one a target: observe, plan, apply, observe)
//! ```
//!
//! The service manager stands at both ends: it gives the sockets before anything else is there, and is told
//! the same snapshots that the admin listener shows.
//!
//! Verdicts flow away from the role machine. One arrow leads back: the order that a member which another
//! superseded refuses, and the probe loop alone carries it out.
//!
//! # Code map
//!
//! | module | its one job |
//! |---|---|
//! | [`clock`] | time as pure code sees it, and the only code that reads a clock |
//! | [`observation`] | roles and the reasons for not knowing them; PURE |
//! | [`role`] | the role machine: observations in, verdicts out; PURE |
//! | [`snapshot`] | what a probe loop publishes about its mirror |
//! | `peer` | asks the mirror's other members what they are; draws no conclusions |
//! | [`steer`] | makes cloud objects direct clients to the primary; its own documentation tells how |
//! | [`steer::authority`] | the table of cases: who may take traffic; PURE |
//! | `steer::standing` | gathers what authority rules on, one task a mirror |
//! | `steer::run`, `steer::pace` | the loop round one target; how fast to try again (PURE) |
//! | `steer::{elbv2, classic_elb, route53, route, cloudwatch, kubernetes, hook}` | one kind of target each, a thin shell round a pure `plan` |
//! | `steer::pool` | what to do about who is registered, for every load balancer; PURE |
//! | `steer::accepted` | writes of a moment ago, which a read may not show yet; PURE |
//! | `steer::preview`, `steer::iam` | `mirrorvip plan`, and the rights (PURE) |
//! | [`aws`] | the AWS SDK as this daemon uses it: deadlines, warm connections, classes of errors, who we are |
//! | [`probe`] | the probe loop and five ways to ask, each a thin shell round a pure parser |
//! | [`publish`] | the role in a file with a heartbeat, for a daemon in another container |
//! | [`wake`] | follows logs, so that a probe is asked at once |
//! | `child`, `blocking` | run a command, and a call that may hang in the kernel, at most one at a time |
//! | [`health`] | the status page: accepting and limits; `respond` and `route` are PURE |
//! | [`admin`] | the status document, metrics, `POST /probe` |
//! | [`tls`] | certificates for both listeners |
//! | [`config`] | the configuration, and all that is wrong with it at once |
//! | [`state`] | what outlives the process |
//! | [`service`] | the service manager: inherited sockets, readiness, status, watchdog, credentials |
//! | [`daemon`] | builds the channels, owns every task, defines reload and stop |
//! | [`check`] | what will go wrong, found before it does |
//! | [`cli`] | one file a verb |
//! | `simulation`, `demo` | a mirror without IRIS and a cloud without AWS, for the demo and for tests; left out of release packages |
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
//! 13. No step that moves traffic is sent without a warrant of that very moment.
//!     *`steer::run::tests::a_demotion_cancels_what_was_not_sent_and_finishes_what_was`,
//!     `a_verdict_that_expires_with_nobody_publishing_it_moves_nothing_more`; each target's
//!     `nothing_is_sent_without_a_warrant` or its like; `tests/steering` looks at every change that the
//!     simulated cloud saw.*
//! 14. A step in flight is never dropped, and nothing is withdrawn because of silence, an error or a stop.
//!     *`steer::run::tests::a_stop_finishes_the_step_in_flight_and_withdraws_nothing`,
//!     `silence_withdraws_nothing_and_takes_nothing`.*
//! 15. Add before remove: no step leaves a pool or a record empty, and strangers stay.
//!     *`steer::pool::tests::the_primary_adds_itself_then_waits_then_removes_the_others`;
//!     `steer::route53::tests::a_swap_goes_over_the_wire_as_recorded`: one batch.*
//! 16. A member that another superseded moves no traffic until its own instance loses the role and regains it,
//!     and clocks of two members are never compared. *`steer::authority::tests::a_stale_member_is_never_clear`;
//!     `steer::standing::tests::what_was_superseded_is_remembered_across_a_restart`; `tests/steering/peers.rs`;
//!     `tests/steering/whole.rs::an_old_primary_that_was_paused_takes_nothing_back`.*
//! 17. A true primary is not stuck in the common cases. *`steer::authority::tests::a_true_primary_is_not_stuck`.*
//! 18. Every error of a call has one class, and pauses end within ten seconds.
//!     *`aws::error::tests::what_passes_is_tried_again_and_what_does_not_is_told`;
//!     `steer::pace::tests::the_ceiling_doubles_up_to_ten_seconds_and_starts_anew_after_success`.*
//! 19. What is published for another container never looks younger than its evidence, and silence is not
//!     published. *`publish::tests`; `tests/publish.rs`; `tests/containers`.*
//! 20. The label of a pod is told to be *primary* only while the page says SUCCESS, and *backup* only while the
//!     instance says so. *`steer::kubernetes::tests::silence_is_unknown_and_never_backup`; `tests/kubernetes`.*
//! 21. A restart with inherited sockets refuses and fails no check of a primary, and nobody who waits in a queue
//!     hears anything but the truth of the moment of the answer.
//!     *`tests/systemd/activation.rs::nobody_is_refused_or_told_failed_by_a_primary_that_restarts`;
//!     `tests/systemd/container.rs` with a systemd that has booted and HAProxy;
//!     `tests/packages/container.rs::a_package_lives_as_readme_says` through an upgrade of the package.*
//! 22. The watchdog is fed only by who has seen the probe loops go round and the health port answer, and nothing
//!     waits for the service manager or its journal.
//!     *`service::watchdog::tests::a_loop_that_hangs_is_found_on_the_monotonic_clock`;
//!     `service::knock::tests::silence_counts_where_somebody_was_heard_before`;
//!     `service::manager::tests::a_manager_that_does_not_read_delays_nobody`.*

pub mod admin;
pub mod aws;
mod blocking;
pub mod check;
mod child;
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
mod peer;
pub mod probe;
pub mod publish;
pub mod role;
pub mod service;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod snapshot;
pub mod state;
pub mod steer;
pub mod tls;
pub mod wake;
