//! The files under `config/` that people copy: manifests fit the schemas of Kubernetes, the configurations in them
//! are valid, and what they say about rights is what the code needs. Running them is the business of
//! `tests/containers`, which has no Kubernetes: there the label is, in `tests/kubernetes`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mirrorvip::config;
use mirrorvip::config::steering::Target;
use support::python::{program, script};

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(directory);
    let entries = fs::read_dir(directory).expect("it is part of the repository");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// The configurations in these files, which fit their schemas.
fn configurations(files: &[PathBuf]) -> Vec<(String, config::Config)> {
    let output = Command::new(program("python")).arg(script("manifests.py")).args(files).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<(String, String)> = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let parse = |(file, text): (String, String)| {
        let config = config::parse(&text, &file).unwrap_or_else(|report| panic!("{}", report.render(false)));
        (file, config)
    };
    found.into_iter().map(parse).collect()
}

#[test]
fn manifests_fit_their_schemas_and_their_configurations_are_valid() {
    let files = files("kubernetes");
    assert_eq!(files.len(), 4, "three ways, and what the label needs: {files:?}");
    let found = configurations(&files);
    let kinds: Vec<_> = found.iter().map(|(_, config)| config.mirrors[0].probe.kind()).collect();
    for kind in ["gateway", "qlist", "file"] {
        assert!(kinds.contains(&kind), "no manifest shows the probe {kind}, only {kinds:?}");
    }
    // Every daemon keeps its pod's label; a publisher has no daemon.
    let labels =
        found.iter().filter(|(_, config)| matches!(config.mirrors[0].targets[..], [Target::Kubernetes(_)]));
    assert_eq!(labels.count(), 3);
}

#[test]
fn a_manifest_that_does_not_fit_is_found() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("role.yaml");
    let label = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes/label.yaml");
    let label = fs::read_to_string(label).expect("it is part of the repository");
    fs::write(&path, label.replace("verbs: [patch]", "verb: [patch]")).expect("it is writable");
    let output = Command::new(program("python")).arg(script("manifests.py")).arg(&path).output();
    assert!(!output.expect("Python starts").status.success());
}

/// Patching, of pods by name: the least that the label can do with.
#[test]
fn the_role_allows_what_the_label_needs_and_no_more() {
    let label = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes/label.yaml");
    let label = fs::read_to_string(label).expect("it is part of the repository");
    let rules = label.split("\nrules:\n").nth(1).and_then(|rest| rest.split("\n---").next());
    assert_eq!(
        rules.expect("a role has rules"),
        "  - apiGroups: [\"\"]\n    resources: [pods]\n    resourceNames: [iris-0, iris-1]\n    verbs: [patch]"
    );
}

#[test]
fn compose_files_are_taken_and_their_configurations_are_valid() {
    let files = files("docker");
    assert_eq!(files.len(), 3, "three ways: {files:?}");
    assert_eq!(configurations(&files).len(), 4, "one each, and two where one publishes");
    for file in files {
        let output = Command::new("docker-compose").arg("--file").arg(&file).arg("config").output();
        let output = output.expect("docker-compose is among what tests/run installs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", file.display());
    }
}
