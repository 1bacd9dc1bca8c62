//! Loading from files of all kinds.

use std::fs;

use super::*;

#[test]
fn files_are_loaded_or_refused_with_their_reason() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(at(name), bytes).unwrap();
        at(name)
    };

    let config = load(&write("good.toml", MINIMAL.as_bytes())).unwrap();
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
