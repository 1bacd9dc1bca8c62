//! Every rule of the format, on real lines, on truncated ones and on garbage.

use proptest::prelude::*;

use super::*;

const FIXTURE: &str = include_str!("../../../tests/fixtures/iris/qlist-samples.txt");

fn line(status: &str, member: &str, mirror: &str) -> String {
    format!("IRIS^/usr/irissys^2024.1^{status}^iris.cpf^1972^52773^0^ok^IRIS^{member}^{mirror}^/data\n")
}

fn running(member: &str, mirror: &str) -> String {
    line("running, since Fri Nov 20 10:00:00 2026", member, mirror)
}

fn word(output: &str, instance: &str) -> &'static str {
    match parse(output.as_bytes(), instance).outcome {
        Ok(role) => role.word(),
        Err(cause) => cause.word(),
    }
}

fn text(output: &str, instance: &str) -> String {
    match parse(output.as_bytes(), instance).outcome {
        Ok(role) => panic!("expected no evidence, not {role}"),
        Err(cause) => cause.to_string(),
    }
}

#[test]
fn lines_printed_by_real_releases() {
    let check = |begin: &str, instance, expected| {
        let line = FIXTURE.lines().find(|line| line.starts_with(begin)).expect("it is in the fixture");
        assert_eq!(word(&format!("{line}\n"), instance), expected, "{line}");
    };
    check("INSTTEST^/ensemble/instances/insttest/^2015", "INSTTEST", "primary");
    check("DOCKER", "docker", "not-member");
    // Nine fields say nothing about mirroring.
    check("C151", "C151", "unparsable");
    check("INSTTEST^/ensemble/instances/insttest/^2012", "INSTTEST", "down");
    check("CACHE142", "CACHE142", "sign-on-inhibited");
}

#[test]
fn member_type_and_mirror_status_of_a_running_instance() {
    let check = |member, mirror, expected| {
        assert_eq!(word(&running(member, mirror), "IRIS"), expected, "{member} {mirror}");
    };
    check("Failover", "Primary", "primary");
    check(" FAILOVER ", " primary ", "primary");
    check("Failover", "Backup", "backup");
    check("Failover", "Connected", "connected");
    check("Failover", "Transition", "transition");
    check("Failover", "Synchronizing", "synchronizing");
    check("Failover", "Waiting", "waiting");
    check("Failover", "Stopped", "stopped");
    check("Failover", "Crashed", "crashed");
    check("Failover", "Not Initialized", "not-initialized");
    check("Failover", "Down", "mirror-down");

    check("Disaster Recovery", "Connected", "disaster-recovery");
    check("Read-Only Reporting", "1/1 Connected", "read-only-reporting");
    check("Read-Write Reporting", "1/2 Connected", "read-write-reporting");
    check("Read-Write Reporting", "0/2 Connected", "waiting");
    check("Async", "Connected", "async");
    check("Async", "Stopped", "stopped");
    check("Disaster Recovery", "Transition", "transition");
    check("Disaster Recovery", "Down", "mirror-down");

    check("", "", "not-member");
    check("Not Member", "", "not-member");
    check("Not Member", "Not Member", "not-member");
    check("Not Member", "Not Initialized", "not-member");
    check("", "Not Member", "not-member");

    check("Failover", "In Trouble", "trouble");
    check("Failover", "Primary (trouble)", "trouble");
    check("In Trouble", "Primary", "trouble");
    check("Failover", "Error", "indeterminate");
    check("Failover", "Indeterminate", "indeterminate");
    check("Indeterminate", "Primary", "indeterminate");
    check("Indeterminate", "a new word", "indeterminate");
    check("a new word", "Error", "indeterminate");

    check("Disaster Recovery", "Primary", "unrecognised");
    check("Async", "Backup", "unrecognised");
    check("Async", "3/2 Connected", "unrecognised");
    check("Async", "-1/2 Connected", "unrecognised");
    check("Failover", "1/2 Connected", "unrecognised");
    check("Not Member", "Primary", "unrecognised");
    check("", "Primary", "unrecognised");
    check("Failover", "", "unrecognised");
    check("Failover", "Not Member", "unrecognised");
    check("Failover", "Primary!", "unrecognised");
    check("Failover", "Primary Backup", "unrecognised");
    check("Failover member", "Primary", "unrecognised");
    check("Arbiter", "Primary", "unrecognised");
}

#[test]
fn the_instance_status_comes_first() {
    let check = |status, expected| {
        assert_eq!(word(&line(status, "Failover", "Primary"), "IRIS"), expected, "{status}");
    };
    check("running", "primary");
    check("Running, since Fri", "primary");
    check("running on node ? (cache.ids missing)", "primary");
    check("down", "down");
    check("down, last used Thu Sep 15 18:58:30 2016", "down");
    check("sign-on inhibited", "sign-on-inhibited");
    check("sign-on inhibited:primary transition", "sign-on-inhibited");
    check("sign-on inhibited, last used Mon Jun  8", "sign-on-inhibited");
    check("runningly", "unrecognised");
    check("running: but not quite", "unrecognised");
    check("not running", "unrecognised");
    check("downward", "unrecognised");
    check("hung", "unrecognised");
    check("", "unrecognised");
}

#[test]
fn the_health_state_has_no_say() {
    for state in ["warn", "alert", "hung", ""] {
        let line = running("Failover", "Primary").replace("^ok^", &format!("^{state}^"));
        assert_eq!(word(&line, "IRIS"), "primary", "{state}");
    }
}

#[test]
fn fields_are_found_by_number() {
    let fields = "IRIS^d^v^running^c^1^2^3^ok^^Failover^Primary";
    assert_eq!(word(&format!("{fields}\n"), "IRIS"), "primary");
    assert_eq!(word(&format!("{fields}^\n"), "IRIS"), "primary");
    assert_eq!(word(&format!("{fields}^/data^1972,1973^^more\r\n"), "IRIS"), "primary");
    assert_eq!(
        text("IRIS^d^v^running^c^1^2^3^ok^^Failover\n", "IRIS"),
        "qlist prints 11 whole fields, the mirror status is field 12"
    );
    assert_eq!(text("IRIS^d^v\n", "IRIS"), "qlist prints 3 whole fields, the instance status is field 4");
    // A caret too many shifts everything.
    assert_eq!(word("IRIS^d^v^running^c^1^2^3^ok^^^Failover^Primary\n", "IRIS"), "unrecognised");
}

#[test]
fn the_instance_is_found_among_others_whatever_the_case() {
    let other = running("Failover", "Primary").replace("IRIS^/", "OTHER^/");
    let ours = running("Failover", "Backup");
    assert_eq!(word(&format!("{other}{ours}"), "iris"), "backup");
    assert_eq!(word(&format!("\n{ours}\n{other}"), "other"), "primary");
    assert_eq!(
        text(&other, "IRIS"),
        "there is no instance IRIS; the instances here are OTHER: correct `instance`"
    );
    let many: String = (0..30).flat_map(|n| ['I'.to_string(), n.to_string(), "^d\n".to_owned()]).collect();
    assert_eq!(
        text(&many, "IRIS"),
        "there is no instance IRIS; the instances here are I0, I1, I2, I3, I4, I5, I6, I7, ...: correct `instance`"
    );
    assert_eq!(word("PREFIXIRIS^d^v^down\nIRIS2^d^v^down\n", "IRIS"), "no-such-instance");
}

#[test]
fn two_lines_for_one_instance_must_agree() {
    let primary = running("Failover", "Primary");
    let backup = running("Failover", "Backup");
    assert_eq!(word(&format!("{primary}{primary}"), "IRIS"), "primary");
    assert_eq!(word(&format!("{primary}{backup}"), "IRIS"), "unrecognised");
    assert_eq!(word(&format!("{backup}{primary}"), "IRIS"), "unrecognised");
    assert_eq!(word(&format!("{primary}{}", primary.trim_end()), "IRIS"), "primary");
}

#[test]
fn output_that_is_no_answer() {
    assert_eq!(text("", "IRIS"), "qlist printed nothing; is there an instance IRIS?");
    assert_eq!(word(" \r\n\n", "IRIS"), "unparsable");
    assert_eq!(word("IRIS is running, primary\n", "IRIS"), "unparsable");
    assert_eq!(word("IRIS\n", "IRIS"), "unparsable");
    let rubbish = "\x1b]0;owned\x07 ^^ no line\t^of this^\r\n^^^^^^^^^^^^^^\n";
    assert_eq!(word(rubbish, "IRIS"), "unparsable", "it does not say that the instance is missing");
    assert_eq!(word(&format!("{rubbish}OTHER^d^v^down\n"), "IRIS"), "no-such-instance");
    assert_eq!(word("OTHER^d^v^down\nIR", "IRIS"), "unparsable", "cut off before its line");
    let lossy = [b"IRIS^/\xff\xfe".as_slice(), &running("Failover", "Primary").as_bytes()[6..]].concat();
    assert_eq!(parse(&lossy, "IRIS").outcome, Ok(Role::Primary));
}

#[test]
fn escape_sequences_do_not_reach_the_reader() {
    let reading = parse(running("Failover", "\x1b[2JPrimary").as_bytes(), "IRIS");
    let cause = reading.outcome.expect_err("no such status").to_string();
    assert!(!cause.contains('\x1b') && !reading.evidence.contains('\x1b'), "{cause} {}", reading.evidence);
}

/// What is cut off is no answer, or the same answer once all that counts is there.
#[test]
fn a_line_cut_off_anywhere_never_changes_its_meaning() {
    let lines = ["Primary", "Backup", "Transition", "Primary, In Trouble"].map(|m| running("Failover", m));
    for whole in lines.iter().map(String::as_str).chain(FIXTURE.lines().filter(|l| !l.starts_with('#'))) {
        let instance = whole.split('^').next().expect("split gives at least one");
        let meaning = parse(format!("{whole}\n").as_bytes(), instance).outcome;
        for end in 0..whole.len() {
            let cut = parse(&whole.as_bytes()[..end], instance).outcome;
            assert!(cut.is_err() || cut == meaning, "{cut:?} from {:?}", &whole[..end]);
        }
    }
    // The mirror status is whole only with a separator or a newline behind it.
    let end = lines[0].find("^/data").expect("field 13");
    assert_eq!(word(&lines[0][..end], "IRIS"), "unparsable");
    assert_eq!(word(&lines[0][..=end], "IRIS"), "primary");
}

proptest! {
    #[test]
    fn never_panics(output in proptest::collection::vec(any::<u8>(), 0..300), instance in "\\PC{0,8}") {
        let _total = parse(&output, &instance);
    }

    #[test]
    fn unknown_text_is_never_primary(
        status in "(running|[a-z ,]{0,12})",
        member in "(Failover|Async|[A-Za-z ]{0,12})",
        mirror in "(Primary|Backup|[A-Za-z ]{0,12})",
    ) {
        let primary = parse(line(&status, &member, &mirror).as_bytes(), "IRIS").outcome == Ok(Role::Primary);
        let expected = (status == "running" || status.starts_with("running ") || status.starts_with("running,"))
            && member.trim().eq_ignore_ascii_case("failover")
            && mirror.trim().eq_ignore_ascii_case("primary");
        prop_assert_eq!(primary, expected);
    }

    #[test]
    fn damage_never_makes_a_primary(at in 0usize..200, byte in any::<u8>()) {
        let mut output = running("Failover", "Backup").into_bytes();
        let at = at % output.len();
        output[at] = byte;
        prop_assert_ne!(parse(&output, "IRIS").outcome, Ok(Role::Primary));
    }
}
