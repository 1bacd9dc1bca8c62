//! README and `docs/` are true: what they show is parsed, run, or compared with the program, and their links resolve.
//!
//! Metrics, keys and exit codes are compared in `tests/tidy.rs`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mirrorvip::admin::status::Status;
use mirrorvip::provider;
use mirrorvip::provider::Table as Target;
use serde_json::Value;
use support::documents::{self, Block, Document, blocks};
use support::{Daemon, mirrorvip};

/// An introduction, in bytes. All else has its place in `docs/`.
const README_LIMIT: usize = 10_240;

/// A fragment is a mirror's probe, its steering tables, or everything but the mirror.
fn completed(block: &Block) -> String {
    const MIRROR: &str = "\n[[mirror]]\nname = \"PROD\"\n";
    const PROBE: &str = "[mirror.probe.qlist]\ninstance = \"IRIS\"\n";
    let Block { language, text } = block;
    match language.as_str() {
        "toml" => text.clone(),
        "toml fragment" if text.contains("[[mirror]]") => format!("{text}{PROBE}"),
        "toml fragment" if text.contains("[mirror.probe.") => format!("{MIRROR}{text}"),
        "toml fragment" if text.contains("[[mirror.") => format!("{MIRROR}{PROBE}{text}"),
        "toml fragment" => format!("{text}{MIRROR}{PROBE}"),
        other => panic!("the documents have a block of an unknown kind: {other}"),
    }
}

#[test]
fn configurations_are_valid() {
    let blocks = blocks("toml");
    let (mut probes, mut targets) = (BTreeSet::new(), BTreeSet::new());
    for block in &blocks {
        let config = provider::parse(&completed(block), "docs");
        let config = config.unwrap_or_else(|report| panic!("{}", report.render(false)));
        probes.extend(config.mirrors.iter().map(|mirror| mirror.probe.kind()));
        for table in config.mirrors.iter().flat_map(|mirror| &mirror.targets) {
            targets.insert(match table {
                Target::Elbv2(_) => "elbv2",
                Target::ClassicElb(_) => "classic_elb",
                Target::Route53(_) => "route53",
                Target::Route(_) => "route",
                Target::CloudWatch(_) => "cloudwatch",
                Target::Kubernetes(_) => "kubernetes",
                Target::Hook(_) => "hook",
            });
        }
    }
    assert_eq!(targets.len(), 7, "the documents show every way to steer, not only {targets:?}");
    assert_eq!(probes.len(), 5, "the documents show every way to ask, not only {probes:?}");
}

/// For every way to steer, the documents name the rights that `mirrorvip iam-policy` asks for.
#[test]
fn the_rights_are_those_of_the_policy() {
    let (documents, directory) = (documents::text(), tempfile::tempdir().expect("a temporary directory"));
    let path = directory.path().join("mirrorvip.toml");
    let mut rights = BTreeSet::new();
    for block in blocks("toml").iter().filter(|block| block.text.contains("[[mirror.")) {
        for pool in ["all-members", "primary-only"] {
            let text = completed(block).replace("primary-only", pool);
            let text = match pool {
                "all-members" => {
                    text.lines().filter(|line| !line.starts_with("owned_")).collect::<Vec<_>>().join("\n")
                }
                _ => text,
            };
            fs::write(&path, text).expect("the test's directory is writable");
            let printed = mirrorvip().args(["iam-policy", "--config"]).arg(&path).output();
            let printed = printed.expect("it runs");
            assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
            let policy: Value = serde_json::from_slice(&printed.stdout).unwrap_or_default();
            let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
            for action in statements.iter().filter_map(|statement| statement["Action"].as_array()).flatten() {
                rights.insert(action.as_str().expect("an action is text").to_owned());
            }
        }
    }
    assert!(rights.len() >= 12, "only {rights:?}");
    for right in rights {
        let (_, action) = right.split_once(':').expect("an action has a service");
        assert!(documents.contains(&format!("`{action}`")), "no document names the right {right}");
    }
}

#[test]
fn scripts_are_well_formed() {
    let blocks = blocks("sh");
    assert!(blocks.len() >= 10, "only {} scripts found", blocks.len());
    for Block { text, .. } in &blocks {
        let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().expect("there is a shell");
        let mut input = shell.stdin.take().expect("it is piped");
        input.write_all(text.as_bytes()).expect("the shell reads");
        drop(input);
        assert!(shell.wait().expect("our child").success(), "{text}");
    }
}

/// The words of each command in the scripts: a line with its continuations, at each pipe, `&&` and `;` another one.
/// Comments count to the last command of their line, for they explain its options.
fn commands() -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for block in blocks("sh") {
        for line in block.text.replace("\\\n", " ").lines() {
            let parts = line.replace("&&", "|").replace("; ", "|");
            let words = parts.split('|').map(|part| part.split_whitespace().map(str::to_owned).collect());
            commands.extend(words);
        }
    }
    commands
}

/// The options of a command, without their values.
fn options(words: &[String]) -> impl Iterator<Item = &str> {
    let options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
    options.map(|option| option.split(['=', ':', ',', ')']).next().unwrap_or_default())
}

#[test]
fn shown_commands_have_the_verbs_and_options_that_are_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for words in commands() {
        // Without `sudo`, its user, and variables of the environment.
        let before = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["sudo", "-u", ..] => 3,
            ["sudo", ..] => 1,
            [first, ..] if first.contains('=') => 1,
            _ => 0,
        };
        let rest = words.get(before..).unwrap_or_default();
        let Some((program, rest)) = rest.split_first() else { continue };
        let known = if program == "mirrorvip" || program.ends_with("/mirrorvip") {
            // Without a verb it is an option of the program itself.
            let verb = rest.first().filter(|word| !word.starts_with('-'));
            let help = mirrorvip().args(verb).arg("--help").output().expect("it runs");
            assert!(help.status.success(), "{words:?}: {}", String::from_utf8_lossy(&help.stderr));
            String::from_utf8_lossy(&help.stdout).into_owned()
        } else if program.starts_with("tests/") || program.starts_with("config/") {
            fs::read_to_string(root.join(program)).unwrap_or_else(|error| panic!("{words:?}: {error}"))
        } else {
            continue;
        };
        found += 1;
        for option in options(rest) {
            assert!(known.contains(option), "{words:?}: {program} has no option {option}");
        }
    }
    assert!(found >= 20, "only {found} commands found");
}

#[test]
fn the_quick_start_works() {
    let blocks = blocks("toml");
    let quick_start =
        blocks.iter().find(|block| block.text.contains("\"TRY\"")).expect("the documents have a quick start");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let shown = "/tmp/mirrorvip-try";
    let config =
        quick_start.text.replace(shown, directory.path().to_str().expect("temporary paths are text"));
    let config = config.replace("127.0.0.1:8080", "127.0.0.1:0") + "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    assert!(!config.contains(shown) && !config.contains(":8080"), "{config}");
    let daemon = Daemon::start(directory.path(), &config);
    let primary = directory.path().join("primary");
    daemon.wait_for_page(503);
    fs::write(&primary, "").expect("the test's directory is writable");
    daemon.wait_for_page(200);
    fs::remove_file(&primary).expect("it was written above");
    daemon.wait_for_page(503);
    assert!(daemon.stop().success());
}

/// The reader's configuration names the file that the publisher writes where the documents run it.
#[test]
fn the_role_file_is_the_publishers() {
    let published = mirrorvip::publish::role_file("PROD", Path::new("/run/mirrorvip"));
    assert!(documents::text().contains("`mirrorvip publish /run/mirrorvip`"));
    let probes: Vec<_> = blocks("toml").iter().map(completed).collect();
    let shown = format!("[mirror.probe.file]\npath = \"{}\"\n", published.display());
    assert!(
        probes.iter().any(|text| text.contains(&shown)),
        "no configuration reads {}",
        published.display()
    );
}

#[test]
fn the_status_document_is_shown_whole() {
    let blocks = blocks("json");
    let [block] = blocks.as_slice() else { panic!("{} JSON documents are shown", blocks.len()) };
    let shown: Value = serde_json::from_str(&block.text).expect("it is JSON");
    let document: Status = serde_json::from_value(shown.clone()).expect("it is a status document");
    let whole = serde_json::to_value(&document).expect("it was read from JSON");
    assert_eq!(whole, shown, "a field is missing in the example, or unknown to the program");
    let reference = Document::read("docs/reference/status.md");
    for name in names(&whole) {
        assert!(reference.text.contains(&format!("`{name}`")), "{} does not explain {name}", reference.name);
    }
}

fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => {
            let below = fields.values().flat_map(names);
            fields.keys().cloned().chain(below).collect()
        }
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

/// All of `src/`, one after the other.
fn sources() -> String {
    let mut sources = String::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("readable sources") {
            let path = entry.expect("readable sources").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                sources += &fs::read_to_string(path).expect("sources are text");
            }
        }
    }
    sources
}

#[test]
fn log_messages_are_the_programs() {
    let (sources, documents) = (sources(), documents::text());
    let mut messages = 0;
    for row in documents.lines() {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (Some("info" | "warn" | "error"), Some(message)) = (cells.next(), cells.next()) else { continue };
        let message = message.trim_matches('`');
        assert!(sources.contains(&format!("\"{message}")), "no source logs `{message}`");
        messages += 1;
    }
    assert!(messages >= 10, "only {messages} messages found");
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = documents::all();
    let anchors: BTreeMap<_, _> =
        documents.iter().map(|document| (Path::new(&document.name), document.anchors())).collect();
    let mut links = 0;
    for (document, link) in
        documents.iter().flat_map(|from| from.links().into_iter().map(move |to| (from, to)))
    {
        links += 1;
        let (from, path) = (&document.name, link.path.display());
        assert!(root.join(&link.path).exists(), "{from}: {path} does not exist");
        let Some(anchor) = &link.anchor else { continue };
        let there = anchors.get(&*link.path).is_some_and(|anchors| anchors.contains(anchor));
        assert!(there, "{from}: {path} has no heading for #{anchor}");
    }
    assert!(links > 60, "only {links} links found");
}

#[test]
fn every_document_is_reachable_from_readme() {
    let documents = documents::all();
    let mut reached = BTreeSet::from([Path::new("README.md").to_owned()]);
    let mut followed = 0;
    while followed < reached.len() {
        followed = reached.len();
        let linked = documents.iter().filter(|document| reached.contains(Path::new(&document.name)));
        let linked: Vec<_> = linked.flat_map(Document::links).map(|link| link.path).collect();
        reached.extend(linked);
    }
    for document in &documents {
        assert!(reached.contains(Path::new(&document.name)), "no link leads to {}", document.name);
    }
}

#[test]
fn readme_is_short() {
    let length = Document::read("README.md").text.len();
    assert!(length <= README_LIMIT, "README has {length} bytes, which is more than {README_LIMIT}");
}
