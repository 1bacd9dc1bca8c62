//! What is in the packages, as the formats' own tools report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::docker::output_of;
use crate::support::documents;
use crate::{Packages, blocks, root};

fn deb(option: &str, package: &Path) -> String {
    output_of(Command::new("dpkg-deb").arg(option).arg(package))
}

fn rpm(options: &[&str], package: &Path) -> String {
    output_of(Command::new("rpm").arg("--query").args(options).arg("--package").arg(package))
}

/// Files with their modes and owners, directories left out, and both formats' places for completions of zsh the same.
fn listed(lines: impl Iterator<Item = (String, String, String)>) -> BTreeMap<String, String> {
    let files = lines.filter(|(mode, ..)| !mode.starts_with('d'));
    let files = files.map(|(mode, owner, name)| {
        let name = name.trim_start_matches('.').replace("/vendor-completions/", "/site-functions/");
        (name, format!("{mode} {owner}"))
    });
    files.collect()
}

#[test]
fn two_builds_give_the_same_bytes() {
    let one = Packages::build(1, "");
    let other = Packages::build(1, "umask 077; export TZ=Asia/Tokyo LC_ALL=C HOSTNAME=elsewhere");
    for (one, other) in [(one.deb(), other.deb()), (one.rpm(), other.rpm())] {
        assert_eq!(one.file_name(), other.file_name());
        let same = fs::read(&one).expect("readable") == fs::read(&other).expect("readable");
        assert!(same, "{} differs between two builds", one.display());
    }
}

#[test]
fn both_formats_hold_the_same() {
    let packages = Packages::build(1, "");
    let (in_deb, in_rpm) = (deb("--contents", &packages.deb()), packages.rpm());
    let in_deb = listed(in_deb.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words[0].to_owned(), words[1].to_owned(), words[5].to_owned())
    }));
    let format = "--queryformat=[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\\n]";
    let in_rpm_files = rpm(&[format], &in_rpm);
    let in_rpm_files = listed(in_rpm_files.lines().map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().expect("three words");
        (word(), word(), word())
    }));
    assert_eq!(in_deb, in_rpm_files);
    assert!(in_deb.len() >= 15, "only {in_deb:?}");
    assert_eq!(in_deb["/usr/bin/mirrorvip"], "-rwxr-xr-x root/root");
    assert!(!in_deb.contains_key("/etc/mirrorvip/mirrorvip.toml"), "the units wait for this one");

    let kept = output_of(Command::new("dpkg-deb").arg("--info").arg(packages.deb()).arg("conffiles"));
    assert_eq!(kept, "/etc/mirrorvip/mirrorvip.toml.example");
    assert_eq!(rpm(&["--configfiles"], &in_rpm), kept);

    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(deb("--field", &packages.deb()).matches(&format!("\nVersion: {version}-1\n")).count(), 1);
    let shown = rpm(&["--info"], &in_rpm);
    for line in [&format!("Version     : {version}"), "License     : Apache-2.0", "Build Host  : localhost"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let scripts = rpm(&["--scripts"], &in_rpm);
    for script in ["postinstall", "preuninstall", "postuninstall"] {
        assert!(scripts.contains(&format!("{script} scriptlet (using /bin/sh):")), "{scripts}");
    }
    assert!(!scripts.contains("%%"), "macros are put in: {scripts}");
}

#[test]
fn the_documents_are_the_programs() {
    let packages = Packages::build(1, "");
    let directory = TempDir::new().expect("a temporary directory");
    output_of(Command::new("dpkg-deb").arg("--raw-extract").arg(packages.deb()).arg(directory.path()));
    let placed = directory.path().join("usr/share/doc/mirrorvip");
    let read = |name: &str| fs::read_to_string(placed.join(name)).expect("it is in the package");

    for script in ["postinst", "prerm", "postrm"] {
        output_of(Command::new("sh").arg("-n").arg(directory.path().join("DEBIAN").join(script)));
    }
    for (page, of) in [("man1/mirrorvip.1.gz", "mirrorvip"), ("man5/mirrorvip.toml.5.gz", "mirrorvip.toml")] {
        let man = directory.path().join("usr/share/man").join(page);
        assert_eq!(
            output_of(Command::new("gzip").args(["--decompress", "--stdout"]).arg(man)),
            output_of(Command::new(env!("CARGO_BIN_EXE_mirrorvip")).args(["man", of]))
        );
    }
    assert_eq!(blocks("docs/configuration.md", "## Wake-up", "objectscript"), [read("examples/ZMIRROR.mac")]);
    let policy: Value = serde_json::from_str(&read("examples/iam-policy.json")).expect("JSON");
    let statements = policy["Statement"].as_array().expect("a policy has statements");
    assert!(statements.len() >= 8, "the example steers in every way: {policy}");
    let licence = fs::read_to_string(root().join("LICENSE")).expect("there is a licence");
    assert_eq!(read("copyright").matches("Grant of Patent License").count(), 1);
    assert!(read("copyright").lines().count() > licence.lines().count());

    documents::assert_complete(&placed);

    // Nothing in them is of this machine.
    for entry in fs::read_dir(&placed).expect("documents") {
        let path = entry.expect("readable").path();
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{} names a path", path.display());
    }
}

#[test]
fn the_bill_of_materials_is_the_lock_files() {
    let packages = Packages::build(1, "");
    let directory = TempDir::new().expect("a temporary directory");
    output_of(Command::new("dpkg-deb").arg("--extract").arg(packages.deb()).arg(directory.path()));
    let path = directory.path().join("usr/share/doc/mirrorvip/sbom.cdx.json");
    let bill: Value = serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));

    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("there is a lock file");
    let components = bill["components"].as_array().expect("components");
    let mut names = BTreeSet::new();
    for component in components {
        let word = |value: &Value| value.as_str().expect("text").to_owned();
        let (name, version) = (word(&component["name"]), word(&component["version"]));
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{component}");
        let sum = word(&component["hashes"][0]["content"]);
        assert!(lock.contains(&format!("checksum = \"{sum}\"")), "{component}");
        assert!(!word(&component["licenses"][0]["expression"]).is_empty(), "{component}");
        names.insert(name);
    }
    for linked in ["tokio", "rustls", "hyper", "aws-runtime"] {
        assert!(names.contains(linked), "{linked} is linked in");
    }
    for other in ["proptest", "tempfile", "stateright"] {
        assert!(!names.contains(other), "{other} is for tests");
    }
    let all = components.iter().chain([&bill["metadata"]["component"]]);
    let known: BTreeSet<_> = all.map(|component| component["bom-ref"].as_str()).collect();
    let dependencies = bill["dependencies"].as_array().expect("dependencies");
    assert_eq!(dependencies.len(), known.len());
    for edge in dependencies.iter().filter_map(|node| node["dependsOn"].as_array()).flatten() {
        assert!(known.contains(&edge.as_str()), "{edge} is no component");
    }
}
