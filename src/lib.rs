//! mirrorvip answers load balancers' health checks from the mirror role of the local InterSystems IRIS (or
//! Caché) instance, where a virtual IP cannot exist. It elects no primary. IRIS decides who is primary, and this
//! daemon makes every client follow, fast, and never wrongly. Where a health check is not enough, it moves
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
//! | *term* | the number that orders the promotions of a mirror, persisted before its first use: [`term`] |
//! | *proven* | said of a term: the instance was watched since that promotion, so that it still holds it |
//! | *arbiter* | rules whether this member's promotion is the latest, so that it may take traffic: [`steer::arbiter`] |
//! | *authority* | its ruling: clear, unsure, superseded |
//! | *ownership record* | which member put a cloud object to itself, and in which term; kept beside the object |
//! | *write authorization* | permit and clear authority of one moment, for one step that moves traffic |
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
//!            (one in flight,    ▲        (pure)                    │     └─► /NAME/peer, for the other members
//!             deadline, kill)   │                                  ├─► admin: /status, /metrics
//!                               │ order: superseded                ├─► state file, warnings
//!                               └─────────── arbiter ◄─────────────┤
//!             peers' /NAME/peer ────────────► (pure, in            │
//!             `mirrorvip take` ─────────────►  a driver) ◄─┐       │
//!             state file ◄──── term ────────    │          │ ownership records
//!                               clear, and a term          │       │
//!                                               ▼          │       │
//!             AWS ◄──── step, with write authorization ──── steering loop ◄──┘
//!                 ───── what is there ──────────► (one a target: observe, plan, apply, observe)
//! ```
//!
//! The service manager stands at both ends: it gives the sockets before anything else is there, and receives
//! the same snapshots that the admin listener shows.
//!
//! Verdicts flow away from the role machine. One arrow leads back: the order that a member which another
//! superseded refuses, and the probe loop alone carries it out. A term is in the state file before a write or an
//! answer to a peer carries it.
//!
//! # Code map
//!
//! | module | its one job |
//! |---|---|
//! | [`clock`] | time as pure code sees it, and the only code that reads a clock |
//! | [`observation`] | roles and the reasons for not knowing them; PURE |
//! | [`role`] | the role machine: observations in, verdicts out; PURE |
//! | [`snapshot`] | what a probe loop publishes about its mirror |
//! | `http` | the one HTTP client: one request, one deadline, a bounded answer |
//! | [`text`] | what others wrote, made printable; an error with its causes on one line; PURE |
//! | [`term`] | the number that orders promotions, and what a member remembers about it; PURE |
//! | [`peer`] | asks the mirror's other members what they are; draws no conclusions |
//! | [`peer::document`], [`peer::identity`] | what members report to each other; which member an answer comes from; PURE |
//! | [`peer::key`], `random` | the secret that members share; random identifiers |
//! | [`steer`] | makes cloud objects direct clients to the primary; its own documentation says how |
//! | [`steer::arbiter`] | inputs with their moment in, rulings out: who may take traffic; PURE |
//! | `steer::arbiter::rule`, `members` | the rule in nine rows; what is known of the other members; PURE |
//! | `steer::arbiter::driver`, `alarm` | the arbiter's task, one per mirror; alarms about the mirror as a whole |
//! | `steer::foresight` | what the arbiter would rule after a promotion, for `plan` and `check` |
//! | `steer::run`, `steer::pace` | the loop round one target; how fast to try again (PURE) |
//! | `steer::run::authorized` | the guard: what a step needs so that it may be made |
//! | `steer::pool`, `steer::pool::target` | what to do about who is registered, for every load balancer (PURE); the shell round each API |
//! | `steer::accepted`, `steer::epoch` | writes of a moment ago, which a read may not show yet; what an object showed in an epoch; PURE |
//! | [`provider`] | the kinds of targets: what `steer` does not know of clouds; its documentation says how to add one |
//! | `provider::{aws::{elbv2, classic_elb, route53, route, cloudwatch}, kubernetes, hook}` | one kind each, a thin shell round a pure `plan` |
//! | [`provider::preview`], [`provider::aws::rights`] | `mirrorvip plan`; the rights in AWS (PURE) |
//! | [`provider::aws`] | the AWS SDK as this daemon uses it: deadlines, warm connections, classes of errors, who we are |
//! | `provider::aws::client`, `query`, `rest` | one call to a service with the SDK's runtime; the two protocols of requests |
//! | `provider::aws::http`, `markup` | the bounds of every answer that the SDK reads; what XML has too much of (PURE) |
//! | [`probe`] | the probe loop and five ways to ask, each a thin shell round a pure parser |
//! | [`publish`] | the role in a file with a heartbeat, for a daemon in another container |
//! | [`wake`] | follows logs, so that a probe is asked at once |
//! | `random` | identifiers that no other process has |
//! | `network` | what counts as one client where connections are shared out; PURE |
//! | `descriptors` | how many descriptors there are, and how many of them are not for connections |
//! | `child`, `blocking` | run a command, and a call that may hang in the kernel, at most one at a time |
//! | `child::guard` | ends the commands of a daemon that was killed |
//! | `file` | reads and replaces the few small files of this program, and touches no other |
//! | [`health`] | the status page: accepting and limits; `respond` and `route` are PURE |
//! | [`admin`] | the status document, metrics, `POST /probe`; `browser` refuses web pages (PURE), `seats` says who may stay |
//! | [`tls`] | certificates for both listeners |
//! | [`config`], [`config::credentials`] | the configuration, and all that is wrong with it at once; it knows no provider's keys; where the service manager puts secrets |
//! | [`config::removed`] | what a new configuration takes away of the one in force; PURE |
//! | [`state`] | what outlives the process |
//! | [`service`] | the service manager: inherited sockets, readiness, status, watchdog |
//! | [`daemon`] | builds the channels, owns every task, defines reload and stop |
//! | [`check`], [`finding`] | what will go wrong, found before it does; one thing that was found (PURE) |
//! | [`cli`] | one file a verb; `cli::reference` is what `docs/reference` and the manual pages say, made from the program's own tables (PURE) |
//! | [`explain`] | the runbook of `docs/runbook`: words and messages to pages; PURE |
//! | `simulation`, `demo` | a mirror without IRIS and a cloud without AWS, for the demo and for tests; left out of release packages |
//!
//! # Invariants, and the test that holds each
//!
//! 1. Pure modules do no I/O, read no clock, spawn nothing; time comes in as a parameter.
//!    *Clippy's `disallowed_methods` in `.clippy.toml`; `tests/tidy.rs`.*
//! 2. One task writes a mirror's snapshot; every reader holds a receiver.
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
//!    another's check: seats and handshakes are shared out by source, and the probe's descriptors are kept.
//!    *`tests/health/`; `health::seats::tests`, `health::handshakes::tests`; `tests/attack/run`.*
//! 8. Unknown text is never primary; parsers are total. *`probe::qlist` and its siblings: proptests;
//!    `tests/fuzz/` and `tests/fuzz_smoke.rs`.*
//! 9. Every child process, socket and request has a deadline; every queue, buffer and answer has a bound, and no answer
//!    of a cloud delays a probe. *`tests/probe/`, `tests/health/`; `provider::aws::http::tests`; `tests/steering/foreign.rs`.*
//! 10. A panic anywhere ends the process. *`main.rs`; `tests/cli.rs`.*
//! 11. Age is the larger of boot-time and wall-clock elapsed time. *`clock::tests`.*
//! 12. A reload that fails changes nothing, and one that succeeds drops no listener, verdict, epoch or term of a
//!     mirror that did not change. *`tests/reload.rs`.*
//! 13. No step that moves traffic is sent without write authorization of that very moment.
//!     *`steer::run::tests::a_demotion_cancels_what_was_not_sent_and_finishes_what_was`,
//!     `a_verdict_that_expires_unpublished_moves_nothing_more`; only the loop makes an `Authorized` step:
//!     `steer::run::authorized::tests::a_step_that_moves_traffic_takes_a_permit_that_holds_and_clear_authority`,
//!     `no_step_that_moves_traffic_is_made_in_any_role`; `tests/steering` looks at every change that the
//!     simulated cloud saw.*
//! 14. A step in flight is never dropped, and nothing is withdrawn because of silence, an error or a stop.
//!     *`steer::run::tests::a_stop_finishes_the_step_in_flight_and_withdraws_nothing`,
//!     `silence_withdraws_nothing_and_takes_nothing`.*
//! 15. Add before remove: no step leaves a pool or a record empty, and strangers stay.
//!     *`steer::pool::tests::the_primary_adds_itself_then_waits_then_removes_the_others`;
//!     `provider::aws::route53::tests::a_swap_matches_the_recorded_requests`: one batch.*
//! 16. A member takes no object from one that was promoted later and has not stepped down, if it can read an ownership
//!     record or reach that member; it never serves again merely because that member fell silent; and clocks of two
//!     members are never compared. *`steer::arbiter::tests::rows::row_5_a_later_promotion_that_serves_supersedes_until_it_certainly_is_over`,
//!     `steer::arbiter::tests::stories::a_reverted_primary_is_superseded_and_the_true_one_serves`,
//!     `a_wall_clock_that_steps_does_not_change_the_order_of_promotions`; `tests/authority`, a model of three members;
//!     `tests/steering/peers.rs`; `tests/steering/whole.rs::an_old_primary_that_was_paused_takes_nothing_back`.*
//! 17. A true primary is not stuck: every doubt ends with its cause, without a restart, or by one decision of an operator.
//!     *`steer::arbiter::tests::rows::row_3_certainty_needs_every_other_members_fresh_answer`,
//!     `row_1_an_operators_decision_counts_for_this_promotion_until_a_later_one_is_known`,
//!     `steer::arbiter::tests::stories::a_promotion_by_mistake_supersedes_no_longer_than_it_lasts`;
//!     `steer::arbiter::tests::terms`: a term is stored before its first use; `tests/authority`.*
//! 18. Every error of a call has one class. Pauses end within ten seconds, and within half a second while a promotion waits
//!     for a fault to end, so that its write is sent within three seconds of that end.
//!     *`provider::aws::error::tests::passing_errors_are_retried_and_permanent_ones_reported`;
//!     `steer::pace::tests::the_ceiling_doubles_up_to_ten_seconds_and_resets_after_success`;
//!     `steer::run::tests::awaited::a_promotion_that_waits_is_carried_out_within_three_seconds_of_the_end_of_any_fault`.*
//! 19. What is published for another container never looks younger than its evidence, and silence is not
//!     published. *`publish::tests`; `tests/publish.rs`; `tests/containers`.*
//! 20. The label of a pod is *primary* only while the page says SUCCESS, and *backup* only while the
//!     instance says so. *`provider::kubernetes::tests::silence_is_unknown_and_never_backup`; `tests/kubernetes`.*
//! 21. A restart with inherited sockets refuses and fails no check of a primary, and no client that waits in a queue
//!     hears anything but the truth of the moment of the answer.
//!     *`tests/systemd/activation.rs::a_primary_that_restarts_refuses_and_fails_no_check`;
//!     `tests/systemd/container.rs` with a systemd that has booted and HAProxy;
//!     `tests/packages/container.rs::a_package_installs_upgrades_and_is_removed_as_readme_says`.*
//! 22. The watchdog is fed only by who has seen the probe loops go round and the health port answer, and nothing
//!     waits for the service manager or its journal.
//!     *`service::watchdog::tests::a_loop_that_hangs_is_found_on_the_monotonic_clock`;
//!     `service::self_check::tests::silence_counts_where_an_answer_came_before`;
//!     `service::manager::tests::a_manager_that_does_not_read_delays_nothing`.*
//! 23. A signal means the same from the first instruction on, a killed daemon leaves no command behind, and no command sees
//!     its memory, environment or descriptors. *`tests/daemon/process.rs`.*
//! 24. Only regular files are read and only own ones are written, and a state directory that hangs delays the page by a
//!     second at most, and a stop by another. *`file::tests`; `daemon::files::tests`;
//!     `tests/daemon.rs::pipes_in_the_place_of_state_files_delay_nothing`,
//!     `tests/daemon.rs::a_link_in_the_place_of_a_state_file_leads_nowhere`.*
//! 25. State that a process did not know of is not lowered by it, and one process at a time writes.
//!     *`state::tests::state_that_this_process_did_not_know_of_is_not_lowered_however_often_it_writes`;
//!     `state::merge::tests`;
//!     `tests/daemon.rs::a_second_daemon_on_one_state_directory_names_the_holder_and_does_not_write`.*

pub mod admin;
mod blocking;
pub mod check;
mod child;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
#[cfg(feature = "simulation")]
pub mod demo;
mod descriptors;
pub mod explain;
mod file;
pub mod finding;
#[cfg(test)]
#[path = "../tests/support/flood.rs"]
mod flood;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
mod http;
mod network;
pub mod observation;
pub mod peer;
pub mod probe;
pub mod provider;
pub mod publish;
mod random;
pub mod role;
pub mod service;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod snapshot;
pub mod state;
pub mod steer;
pub mod term;
pub mod text;
pub mod tls;
pub mod wake;
