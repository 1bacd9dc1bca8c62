//! Loading from files of all kinds.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::*;
use crate::provider::load;

#[test]
fn files_are_loaded_or_refused_with_their_reason() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(at(name), bytes).unwrap();
        at(name)
    };

    let config: Config = load(&write("good.toml", MINIMAL.as_bytes())).unwrap();
    assert_eq!(config.mirrors[0].name, "PROD");

    let missing = load(&at("missing.toml")).unwrap_err();
    assert!(matches!(&missing, LoadError::Unreadable { path, .. } if *path == at("missing.toml")));
    assert!(missing.help().unwrap().contains("--config"));

    assert!(matches!(load(directory.path()), Err(LoadError::NotAFile { .. })));
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(load(&at("pipe")), Err(LoadError::NotAFile { .. })), "and does not wait for a writer");

    let mut padded = MINIMAL.as_bytes().to_vec();
    padded.resize(1024 * 1024, b'\n');
    load(&write("long.toml", &padded)).unwrap();
    padded.push(b'\n');
    assert!(matches!(load(&write("long.toml", &padded)), Err(LoadError::TooLong { .. })));

    let latin = load(&write("latin.toml", b"# \n# caf\xe9\n")).unwrap_err();
    assert!(matches!(latin, LoadError::NotUtf8 { line: 2, .. }), "{latin}");

    let invalid = load(&write("invalid.toml", b"")).unwrap_err();
    let LoadError::Invalid(report) = invalid else { panic!("{invalid}") };
    assert_eq!(report.origin(), at("invalid.toml").to_str().unwrap());

    // Tests may run as root, to whom nothing is denied.
    let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let denied = LoadError::Unreadable { path: at("denied.toml"), source };
    assert!(denied.help().unwrap().contains("runs as user"));
}

#[test]
fn a_named_file_comes_first_then_the_environment_then_the_usual_file() {
    let (file, text) = (Some(PathBuf::from("named.toml")), Some("text".into()));
    let check = |named, variable, shown: &str| {
        assert_eq!(Source::choose(named, variable).to_string(), shown);
    };
    check(file.clone(), text.clone(), "named.toml");
    check(file, None, "named.toml");
    check(None, text, VARIABLE);
    check(None, Some("".into()), DEFAULT_FILE);
    check(None, None, DEFAULT_FILE);
}

#[test]
fn problems_in_the_environment_have_their_line_there() {
    let load = |text: &[u8]| Source::choose(None, Some(OsString::from_vec(text.to_vec()))).load::<Table>();
    assert_eq!(load(MINIMAL.as_bytes()).unwrap().mirrors[0].name, "PROD");
    let LoadError::Invalid(report) = load(b"[health]\nlisten = 8080\n").unwrap_err() else {
        panic!("it can be read");
    };
    assert!(report.render(false).contains("--> MIRRORVIP_CONFIG_TOML:2:10"), "{}", report.render(false));
    assert!(matches!(load(b"# \n# caf\xe9\n"), Err(LoadError::NotUtf8 { line: 2, .. })));
}

#[test]
fn a_path_in_the_variable_differs_from_text() {
    let source = Source::choose(None, Some("/etc/mirrorvip/mirrorvip.toml\n".into()));
    let LoadError::Invalid(report) = source.load::<Table>().unwrap_err() else { panic!("it can be read") };
    let problems: Vec<_> = report.problems().collect();
    let [problem] = problems.as_slice() else { panic!("{}", report.render(false)) };
    assert_eq!(problem.message(), "this is the path of a file, not a configuration");
    let help = problem.help().unwrap();
    assert!(help.contains("unset it and write `--config /etc/mirrorvip/mirrorvip.toml`"), "{help}");
}
