//! The messages about a wrong configuration, word for word; and that the installed example is right.
//!
//! Each `tests/config/NAME.toml` has its report in `NAME.stderr` beside it. After a change of words, run with
//! `UPDATE_EXPECT=1` and read the difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mirrorvip::config::WhenAbsent;
use mirrorvip::provider::{self, Config};

#[test]
fn reports_read_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut fixtures: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder is part of the source")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    fixtures.sort();
    assert!(!fixtures.is_empty(), "no fixtures in {}", folder.display());

    let mut different = Vec::new();
    for fixture in &fixtures {
        let text = fs::read_to_string(fixture).expect("fixtures are UTF-8");
        let name = fixture.file_name().expect("it was listed by name").to_string_lossy();
        let report = provider::parse(&text, &name).expect_err(&name);
        let actual = report.render(false);
        let expected = fixture.with_extension("stderr");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &actual).expect("the source folder is writable");
        } else if fs::read_to_string(&expected).unwrap_or_default() != actual {
            different.push(format!("{name}:\n{actual}"));
        }
    }
    assert!(different.is_empty(), "other reports than expected:\n\n{}", different.join("\n"));
}

#[test]
fn every_report_has_its_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    for entry in fs::read_dir(folder).expect("the folder is part of the source") {
        let path = entry.expect("it can be listed").path();
        assert!(path.with_extension("toml").exists(), "{} is a leftover", path.display());
    }
}

/// The annotated example that is installed with the daemon.
const EXAMPLE: &str = include_str!("../config/mirrorvip.toml");

/// A line of the example, in the table that it belongs to.
struct Line<'a> {
    /// Dotted path.
    section: String,
    text: &'a str,
}

#[test]
fn the_example_is_valid_and_short() {
    let config = accept(EXAMPLE);
    assert_eq!(config.mirrors.len(), 1);
    let effective = lines().filter(|line| !line.text.is_empty() && !line.text.starts_with('#')).count();
    assert!(effective <= 15, "{effective} lines to read before it runs");
}

#[test]
fn the_example_shows_every_key() {
    for key in provider::known_keys() {
        let shown: Vec<_> = lines()
            .filter(|line| line.section == key.section)
            .filter_map(|line| line.text.trim_start_matches('#').split_once(" = "))
            .filter(|(name, _)| *name == key.name)
            .collect();
        // A list may be shown in several forms, and each has the keys that it needs.
        let once = shown.len() == 1 || (is_steering(key.section) && !shown.is_empty());
        assert!(once, "{}.{} is there {} times", key.section, key.name, shown.len());
    }
}

#[test]
fn each_setting_that_the_example_shows_may_be_switched_on_alone() {
    let shipped = accept(EXAMPLE);
    for key in provider::known_keys().iter().filter(|key| !is_choice(key.section)) {
        let config = accept(&switched_on(|line| {
            line.section == key.section && line.text.starts_with(&format!("#{} = ", key.name))
        }));
        if matches!(key.when_absent, WhenAbsent::Means(_)) {
            assert_eq!(config, shipped, "{}.{} is shown with its default", key.section, key.name);
        }
    }
}

#[test]
fn everything_that_the_example_shows_may_be_switched_on_together() {
    let probes: BTreeSet<String> =
        lines().map(|line| line.section).filter(|section| section.starts_with("mirror.probe.")).collect();
    assert_eq!(probes.len(), 5, "{probes:?}");
    for probe in &probes {
        let all_on = switched_on(|line| !is_other_probe(&line.section, probe) && !says_no_peers(line.text));
        let text: String = sections_of(&all_on)
            .filter(|(section, _)| !is_other_probe(section, probe))
            .flat_map(|(_, line)| [line, "\n"])
            .collect();
        let config = accept(&text);
        assert!(config.health.tls.is_some() && config.admin.tls.is_some());
        assert_eq!((config.mirrors[0].peers.len(), config.mirrors[0].targets.len()), (2, 8));
        let switched_off =
            sections_of(&text).filter(|(_, line)| is_setting(line) && !says_no_peers(line)).count();
        assert_eq!(switched_off, 0, "{text}");
    }
}

fn accept(text: &str) -> Config {
    provider::parse(text, "mirrorvip.toml").unwrap_or_else(|report| panic!("{}", report.render(false)))
}

/// Tables of which the example switches all keys on together, or none.
fn is_choice(section: &str) -> bool {
    section.contains("tls") || section.starts_with("mirror.")
}

/// The tables below a mirror, of which any number may be written.
fn is_steering(section: &str) -> bool {
    section.starts_with("mirror.") && !section.starts_with("mirror.probe.")
}

fn is_other_probe(section: &str, probe: &str) -> bool {
    section.starts_with("mirror.probe.") && section != probe
}

/// Whether a line says that there is no other member, which the tables of other members contradict.
fn says_no_peers(line: &str) -> bool {
    line.starts_with("#peers = ")
}

/// The example with some of its settings switched on.
fn switched_on(wanted: impl Fn(&Line<'_>) -> bool) -> String {
    let text = |line: Line<'_>| match line.text.strip_prefix('#') {
        Some(setting) if is_setting(line.text) && wanted(&line) => format!("{setting}\n"),
        _ => format!("{}\n", line.text),
    };
    lines().map(text).collect()
}

/// Whether a line is a setting that is switched off.
fn is_setting(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

fn lines() -> impl Iterator<Item = Line<'static>> {
    sections_of(EXAMPLE).map(|(section, text)| Line { section, text })
}

/// Every line with the table that it belongs to, whether that is switched on or not.
fn sections_of(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.lines().scan(String::new(), |section, line| {
        let header = line.trim_start_matches('#');
        if header.starts_with('[') {
            header.trim_matches(['[', ']']).clone_into(section);
        }
        Some((section.clone(), line))
    })
}
