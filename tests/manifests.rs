//! The files under `config/` that people copy: manifests fit the schemas of Kubernetes, the configurations in them
//! are valid, and what they say about rights is what the code needs. Running them is the business of
//! `tests/containers`, which has no Kubernetes: there the label is, in `tests/kubernetes`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mirrorvip::provider;
use mirrorvip::provider::Table as Target;
use serde_json::{Value, json};

use crate::support::python::{program, script};

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(directory);
    let entries = fs::read_dir(directory).expect("it is part of the repository");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// The configurations in these files, which fit their schemas.
fn configurations(files: &[PathBuf]) -> Vec<(String, provider::Config)> {
    let output = Command::new(program("python")).arg(script("manifests.py")).args(files).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<(String, String)> = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let parse = |(file, text): (String, String)| {
        let config =
            provider::parse(&text, &file).unwrap_or_else(|report| panic!("{}", report.render(false)));
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

// === the admission policy ===

/// The pod `iris-0`, as it is before a request.
fn pod() -> Value {
    json!({
        "metadata": {
            "name": "iris-0", "namespace": "iris", "uid": "4f1c", "resourceVersion": "7",
            "labels": {"app": "iris", "intersystems.com/mirrorRole": "backup"},
            "annotations": {"example.org/team": "dba"},
            "finalizers": ["example.org/backup"],
            "ownerReferences": [{"kind": "StatefulSet", "name": "iris", "uid": "1234"}],
        },
        "spec": {"nodeName": "a", "containers": [{"name": "iris", "image": "iris:2025.1"}]},
    })
}

/// A request of the service account with the token of `iris-0`, that changes `pod` to `changed`.
fn request(before: &Value, after: &Value) -> Value {
    let extra = json!({
        "authentication.kubernetes.io/pod-name": ["iris-0"],
        "authentication.kubernetes.io/pod-uid": ["4f1c"],
        "authentication.kubernetes.io/node-name": ["a"],
    });
    let user = json!({"username": "system:serviceaccount:iris:iris", "extra": extra});
    let request = json!({"name": before["metadata"]["name"], "namespace": "iris", "userInfo": user});
    json!({"request": request, "object": after, "oldObject": before})
}

/// The pod after a JSON merge patch (RFC 7386).
fn patched(pod: &Value, patch: &Value) -> Value {
    let (Some(fields), Some(changes)) = (pod.as_object(), patch.as_object()) else { return patch.clone() };
    let mut fields = fields.clone();
    for (name, change) in changes {
        match change {
            Value::Null => drop(fields.remove(name)),
            change => {
                let old = fields.get(name).cloned().unwrap_or_else(|| json!({}));
                fields.insert(name.clone(), patched(&old, change));
            }
        }
    }
    fields.into()
}

/// What the policy says about each request: the messages of what refuses it, null where it does not apply.
fn decided(requests: &[Value]) -> Vec<Value> {
    let label = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes/label.yaml");
    let mut python = Command::new(program("python"))
        .arg(script("policy.py"))
        .arg(label)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let stdin = python.stdin.take().expect("it is piped");
    serde_json::to_writer(stdin, requests).expect("Python reads");
    let output = python.wait_with_output().expect("it is ours");
    assert!(output.status.success(), "an expression fails, see above");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

#[test]
fn a_member_may_set_the_one_label_of_its_own_pod() {
    let label = |value: Value| json!({"metadata": {"labels": {"intersystems.com/mirrorRole": value}, "resourceVersion": "8"}});
    let fresh = patched(&pod(), &label(Value::Null));
    let bare = patched(
        &pod(),
        &json!({"metadata": {"labels": null, "annotations": null, "finalizers": null, "ownerReferences": null}}),
    );
    let mut requests = vec![request(&pod(), &pod())];
    for before in [pod(), fresh, bare] {
        for value in [json!("primary"), json!("unknown"), Value::Null] {
            requests.push(request(&before, &patched(&before, &label(value))));
        }
    }
    // What the API server itself keeps is no change of the member's.
    requests.push(request(
        &pod(),
        &patched(&pod(), &json!({"metadata": {"managedFields": [{"manager": "mirrorvip"}]}})),
    ));
    let allowed = vec![json!([]); requests.len()];
    assert_eq!(decided(&requests), allowed);
}

#[test]
fn a_member_may_change_nothing_else() {
    let meta = |field: &str, value: Value| json!({"metadata": {field: value}});
    let (own, label) =
        ("a member may change its own pod alone", "a member may change the label of its role alone");
    let cases = [
        (meta("labels", json!({"app": "web"})), label),
        (meta("labels", json!({"app": null})), label),
        (meta("labels", json!({"pod-security.kubernetes.io/enforce": "privileged"})), label),
        (meta("labels", Value::Null), label),
        (meta("annotations", json!({"example.org/team": "me"})), "a member may not change annotations"),
        (meta("annotations", json!({"example.org/other": "x"})), "a member may not change annotations"),
        (meta("annotations", Value::Null), "a member may not change annotations"),
        (meta("finalizers", json!([])), "a member may not change finalizers"),
        (meta("ownerReferences", Value::Null), "a member may not change owners"),
        (json!({"spec": {"nodeName": "b"}}), "a member may not change what its pod runs"),
        (
            json!({"spec": {"containers": [{"name": "iris", "image": "evil"}]}}),
            "a member may not change what its pod runs",
        ),
    ];
    let with_the_label = meta("labels", json!({"intersystems.com/mirrorRole": "primary"}));
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for (patch, message) in &cases {
        requests.push(request(&pod(), &patched(&patched(&pod(), &with_the_label), patch)));
        expected.push(json!([message]));
    }
    // Another pod, one that was made again under this name, and tokens that name none.
    let other = patched(&pod(), &json!({"metadata": {"name": "iris-1", "uid": "9999"}}));
    let again = patched(&pod(), &meta("uid", json!("5555")));
    for before in [&other, &again] {
        requests.push(request(before, &patched(before, &with_the_label)));
        expected.push(json!([own]));
    }
    for extra in [Value::Null, json!({}), json!({"authentication.kubernetes.io/pod-name": ["iris-0"]})] {
        let mut request = request(&pod(), &patched(&pod(), &with_the_label));
        match extra {
            Value::Null => {
                request["request"]["userInfo"].as_object_mut().expect("a map").remove("extra");
            }
            extra => request["request"]["userInfo"]["extra"] = extra,
        }
        requests.push(request);
        expected.push(json!([own]));
    }
    assert_eq!(decided(&requests), expected);
}

#[test]
fn others_are_not_concerned_by_the_policy() {
    let mut request = request(&pod(), &patched(&pod(), &json!({"metadata": {"labels": null}})));
    request["request"]["userInfo"] =
        json!({"username": "system:serviceaccount:kube-system:replicaset-controller"});
    assert_eq!(decided(&[request]), [Value::Null]);
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
