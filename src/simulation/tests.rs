//! The mirror against readable timelines and random events; the command as real processes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

mod command;

const TIMING: Timing = Timing {
    handover: Duration::from_millis(100),
    detection: Duration::from_secs(2),
    transition: Duration::from_millis(300),
    startup: Duration::from_millis(50),
    catch_up: Duration::from_millis(70),
};

/// Plays `events` (at milliseconds) and compares all changes with `expected`, one per line.
fn check(events: &[(u64, Event)], expected: &str) {
    let mut mirror = Mirror::new(TIMING);
    let mut log = String::new();
    for &(at, event) in events {
        run_until(&mut mirror, Duration::from_millis(at), &mut log);
        match mirror.handle(Duration::from_millis(at), event) {
            Ok(changes) => append(at.into(), &changes, &mut log),
            Err(refused) => writeln!(log, "{at:>5} refused: {refused}").expect("strings take any text"),
        }
    }
    run_until(&mut mirror, Duration::from_secs(3_600), &mut log);
    let lines = |text: &str| text.trim().lines().map(str::trim_end).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&log), lines(expected));
}

fn run_until(mirror: &mut Mirror, end: Duration, log: &mut String) {
    while let Some(due) = mirror.next_due().filter(|due| *due <= end) {
        let changes = mirror.advance(due);
        append(due.as_millis(), &changes, log);
    }
}

fn append(at: u128, changes: &[Change], log: &mut String) {
    for change in changes {
        match change {
            Change::Became { member, from, to } => writeln!(log, "{at:>5} {member} {from} -> {to}"),
            Change::Logged { member, line } => writeln!(log, "{at:>5} {member} logs {}", line.text),
        }
        .expect("strings take any text");
    }
}

#[test]
fn orderly_failover_and_return_as_backup() {
    check(
        &[(0, Event::Stop(MemberId::A)), (1_000, Event::Start(MemberId::A))],
        "    0 A Failover/Primary -> down
    0 C Disaster Recovery/Connected -> Disaster Recovery/Waiting
  100 B logs Becoming primary mirror server
  100 B Failover/Backup -> Failover/Transition
  400 B Failover/Transition -> Failover/Primary
  400 B logs Mounted database /usr/irissys/mgr/myappdata/ (SFN 5) read-write.
  400 C Disaster Recovery/Waiting -> Disaster Recovery/Connected
  400 C logs MirrorClient: Connected to primary: B (ver 4)
 1000 A down -> starting
 1050 A starting -> Failover/Waiting
 1050 A logs Found B as primary, becoming backup
 1050 A Failover/Waiting -> Failover/Synchronizing
 1120 A Failover/Synchronizing -> Failover/Backup
 1120 A logs MirrorClient: Connected to primary: B (ver 4)",
    );
}

#[test]
fn crash_is_noticed_after_the_detection_time() {
    check(
        &[(0, Event::Crash(MemberId::A)), (10, Event::Stop(MemberId::A))],
        "    0 A Failover/Primary -> down
    0 C Disaster Recovery/Connected -> Disaster Recovery/Waiting
   10 refused: the instance A is down
 2000 B logs Becoming primary mirror server
 2000 B Failover/Backup -> Failover/Transition
 2300 B Failover/Transition -> Failover/Primary
 2300 B logs Mounted database /usr/irissys/mgr/myappdata/ (SFN 5) read-write.
 2300 C Disaster Recovery/Waiting -> Disaster Recovery/Connected
 2300 C logs MirrorClient: Connected to primary: B (ver 4)",
    );
}

#[test]
fn a_hung_primary_is_down_before_the_other_is_promoted() {
    check(
        &[(0, Event::Hang(MemberId::A)), (1, Event::Hang(MemberId::A)), (3_000, Event::Start(MemberId::A))],
        "    0 A Failover/Primary -> Failover/Primary (hung)
    0 C Disaster Recovery/Connected -> Disaster Recovery/Waiting
    1 refused: the instance A already hangs
 2000 A Failover/Primary (hung) -> down (hung)
 2000 B logs Becoming primary mirror server
 2000 B Failover/Backup -> Failover/Transition
 2300 B Failover/Transition -> Failover/Primary
 2300 B logs Mounted database /usr/irissys/mgr/myappdata/ (SFN 5) read-write.
 2300 C Disaster Recovery/Waiting -> Disaster Recovery/Connected
 2300 C logs MirrorClient: Connected to primary: B (ver 4)
 3000 A down (hung) -> starting
 3050 A starting -> Failover/Waiting
 3050 A logs Found B as primary, becoming backup
 3050 A Failover/Waiting -> Failover/Synchronizing
 3120 A Failover/Synchronizing -> Failover/Backup
 3120 A logs MirrorClient: Connected to primary: B (ver 4)",
    );
}

#[test]
fn a_primary_that_wakes_up_in_time_stays_primary() {
    check(
        &[(0, Event::Hang(MemberId::A)), (1_500, Event::Start(MemberId::A))],
        "    0 A Failover/Primary -> Failover/Primary (hung)
    0 C Disaster Recovery/Connected -> Disaster Recovery/Waiting
 1500 A Failover/Primary (hung) -> Failover/Primary
 1500 C Disaster Recovery/Waiting -> Disaster Recovery/Connected
 1500 C logs MirrorClient: Connected to primary: A (ver 4)",
    );
}

#[test]
fn promotion_of_the_disaster_recovery_member() {
    check(
        &[
            (0, Event::Promote(MemberId::C)),
            (1, Event::Crash(MemberId::B)),
            (2, Event::Crash(MemberId::A)),
            (3_000, Event::Promote(MemberId::C)),
            (4_000, Event::Start(MemberId::B)),
            (5_000, Event::Start(MemberId::A)),
        ],
        "    0 refused: A is the primary, or is becoming it
    1 B Failover/Backup -> down
    2 A Failover/Primary -> down
    2 C Disaster Recovery/Connected -> Disaster Recovery/Waiting
 3000 C Disaster Recovery/Waiting -> Failover/Backup
 3100 C logs Becoming primary mirror server
 3100 C Failover/Backup -> Failover/Transition
 3400 C Failover/Transition -> Failover/Primary
 3400 C logs Mounted database /usr/irissys/mgr/myappdata/ (SFN 5) read-write.
 4000 B down -> starting
 4050 B starting -> Failover/Waiting
 4050 B logs Found C as primary, becoming backup
 4050 B Failover/Waiting -> Failover/Synchronizing
 4120 B Failover/Synchronizing -> Failover/Backup
 4120 B logs MirrorClient: Connected to primary: C (ver 4)
 5000 A down -> starting
 5050 A starting -> Disaster Recovery/Waiting
 5050 A Disaster Recovery/Waiting -> Disaster Recovery/Connected
 5050 A logs MirrorClient: Connected to primary: C (ver 4)",
    );
}

#[test]
fn a_reverted_member_says_primary_and_is_no_part_of_the_mirror() {
    check(
        &[
            (0, Event::Revert(MemberId::A)),
            (1, Event::Revert(MemberId::C)),
            (2, Event::Stop(MemberId::A)),
            (1_000, Event::Start(MemberId::A)),
            (2_000, Event::Revert(MemberId::A)),
            (3_000, Event::Stop(MemberId::A)),
            (4_000, Event::Start(MemberId::A)),
        ],
        "    0 refused: A is the primary, or is becoming it
    1 refused: there is no snapshot of C as primary
    2 A Failover/Primary -> down
    2 C Disaster Recovery/Connected -> Disaster Recovery/Waiting
  102 B logs Becoming primary mirror server
  102 B Failover/Backup -> Failover/Transition
  402 B Failover/Transition -> Failover/Primary
  402 B logs Mounted database /usr/irissys/mgr/myappdata/ (SFN 5) read-write.
  402 C Disaster Recovery/Waiting -> Disaster Recovery/Connected
  402 C logs MirrorClient: Connected to primary: B (ver 4)
 1000 A down -> starting
 1050 A starting -> Failover/Waiting
 1050 A logs Found B as primary, becoming backup
 1050 A Failover/Waiting -> Failover/Synchronizing
 1120 A Failover/Synchronizing -> Failover/Backup
 1120 A logs MirrorClient: Connected to primary: B (ver 4)
 2000 A Failover/Backup -> Failover/Primary (reverted)
 3000 A Failover/Primary (reverted) -> down
 4000 A down -> starting
 4050 A starting -> Failover/Waiting
 4050 A logs Found B as primary, becoming backup
 4050 A Failover/Waiting -> Failover/Synchronizing
 4120 A Failover/Synchronizing -> Failover/Backup
 4120 A logs MirrorClient: Connected to primary: B (ver 4)",
    );
}

#[test]
fn alone_only_the_last_primary_starts_as_primary() {
    let both_gone = [(0, Event::Stop(MemberId::B)), (1, Event::Stop(MemberId::A))];
    let after = |restarted: MemberId| {
        let mut mirror = Mirror::new(TIMING);
        for (at, event) in both_gone {
            mirror.handle(Duration::from_millis(at), event).expect("both run");
        }
        mirror.advance(Duration::from_secs(10));
        mirror.handle(Duration::from_secs(10), Event::Start(restarted)).expect("it is down");
        mirror.advance(Duration::from_secs(20));
        mirror.primary()
    };
    assert_eq!(after(MemberId::A), Some(MemberId::A));
    assert_eq!(after(MemberId::B), None, "A may have committed what B never received");
}

fn event() -> impl Strategy<Value = Event> {
    let member = prop::sample::select(MemberId::ALL.to_vec());
    (0..6_u8, member).prop_map(|(kind, member)| match kind {
        0 => Event::Stop(member),
        1 => Event::Crash(member),
        2 => Event::Hang(member),
        3 => Event::Promote(member),
        4 => Event::Revert(member),
        _ => Event::Start(member),
    })
}

#[test]
fn the_last_leader_leads_again_when_its_successor_falls_before_leading() {
    use MemberId::{A, B};
    let mut mirror = Mirror::new(TIMING);
    let mut now = Duration::ZERO;
    let story = [
        (0, Event::Stop(A)),
        (50, Event::Start(A)),
        (420, Event::Crash(B)),
        (834, Event::Stop(B)),
        (1_116, Event::Start(B)),
        (50, Event::Stop(A)),
    ];
    for (pause, event) in story {
        now += Duration::from_millis(pause);
        let _refused = mirror.handle(now, event);
    }
    for member in MemberId::ALL {
        let _running = mirror.handle(now + Duration::from_secs(60), Event::Start(member));
    }
    mirror.advance(now + Duration::from_secs(120));
    assert_eq!(mirror.primary(), Some(B));
}

proptest! {
    #[test]
    fn never_two_leaders_and_always_at_rest_in_the_end(
        events in prop::collection::vec((0..1_500_u64, event()), 0..60)
    ) {
        let mut mirror = Mirror::new(TIMING);
        let mut now = Duration::ZERO;
        for (pause, event) in events {
            now += Duration::from_millis(pause);
            let _refused = mirror.handle(now, event);
            let leads = |member: &MemberId| {
                let instance = mirror.instance(*member);
                matches!(instance.status, Status::Primary | Status::Transition) && !instance.reverted
            };
            let leaders: Vec<_> = MemberId::ALL.into_iter().filter(leads).collect();
            prop_assert!(leaders.len() <= 1, "{leaders:?}");
        }
        mirror.advance(now + Duration::from_secs(60));
        prop_assert_eq!(mirror.next_due(), None);
        for member in MemberId::ALL {
            let status = mirror.instance(member).status;
            let passing = matches!(status, Status::Transition | Status::Starting | Status::Synchronizing);
            prop_assert!(!passing, "{member} rests in {status:?}");
        }
        // Once all run as members of the mirror, there is a primary again.
        for member in MemberId::ALL {
            if mirror.instance(member).reverted {
                mirror.handle(now + Duration::from_secs(60), Event::Stop(member)).expect("it runs");
            }
            let _running = mirror.handle(now + Duration::from_secs(60), Event::Start(member));
        }
        mirror.advance(now + Duration::from_secs(120));
        prop_assert!(mirror.primary().is_some());
    }
}

#[test]
fn prints_the_thirteen_fields_of_the_real_command() {
    let directory = Path::new("/usr/irissys");
    let line = |member_type, status| {
        let instance = Instance { member_type, status, hung: false, reverted: false };
        instance.qlist_line("IRIS", directory, "Sat Nov 21 02:40:00 2026")
    };
    assert_eq!(
        line(MemberType::Failover, Status::Primary),
        "IRIS^/usr/irissys^2024.1.0.267.2^running, since Sat Nov 21 02:40:00 2026^iris.cpf^1972^0^62972^ok^IRIS^\
         Failover^Primary^/usr/irissys"
    );
    assert_eq!(
        line(MemberType::DisasterRecovery, Status::Connected),
        "IRIS^/usr/irissys^2024.1.0.267.2^running, since Sat Nov 21 02:40:00 2026^iris.cpf^1972^0^62972^ok^IRIS^\
         Disaster Recovery^Connected^/usr/irissys"
    );
    assert_eq!(
        line(MemberType::Failover, Status::Down),
        "IRIS^/usr/irissys^2024.1.0.267.2^down, last used Sat Nov 21 02:40:00 2026^iris.cpf^1972^0^62972^^IRIS^\
         ^^/usr/irissys"
    );
}

#[test]
fn log_lines_look_like_real_ones() {
    let at: jiff::Timestamp = "2022-01-09T11:02:08.227Z".parse().expect("a valid time");
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    let text = "Becoming primary mirror server".to_owned();
    let line = LogLine { severity: 1, facility: "Utility.Event", text };
    assert_eq!(
        line.format(&at, 684),
        "01/09/22-11:02:08:227 (684) 1 [Utility.Event] Becoming primary mirror server"
    );
}
