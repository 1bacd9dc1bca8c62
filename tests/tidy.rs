//! What no compiler checks: that pure modules are pure, that one task writes, who imports whom, that files say their job first,
//! and that the tables in the documents are the program's.

#[path = "support/documents.rs"]
mod documents;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("readable sources") {
            let path = entry.expect("readable sources").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("readable source");
                found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
            }
        }
    }
    assert!(found.len() > 30, "only {} sources found", found.len());
    found.sort();
    found
}

/// Whether a source holds tests alone.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

/// The part of a source that ships: without its tests and comments.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    shipped.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn pure_modules_do_no_io_and_read_no_clock() {
    let mut checked = 0;
    for (path, text) in sources() {
        let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if !header.contains("PURE") || path == Path::new("src/lib.rs") {
            continue;
        }
        checked += 1;
        let code = code(&text);
        let forbidden = [
            "std::fs",
            "std::net::Tcp",
            "std::process",
            "std::thread",
            "tokio::net",
            "tokio::fs",
            "tokio::spawn",
            "tokio::process",
            "async fn",
            ".await",
            "Clock::system",
            "::now()",
            "tracing::",
            "rustix::",
        ];
        for word in forbidden {
            assert!(!code.contains(word), "{} says that it is PURE and uses {word}", path.display());
        }
    }
    assert!(checked >= 8, "only {checked} modules say that they are PURE");
}

#[test]
fn one_task_writes_the_snapshots() {
    for (path, text) in sources() {
        let owner = path.starts_with("src/probe/run.rs") || path.starts_with("src/daemon/mirrors.rs");
        let owner = owner || path.ends_with("tests.rs");
        let writes = code(&text).contains("watch::Sender<Snapshot>");
        assert!(
            owner || !writes || is_test(&path),
            "{} holds the sending side of a snapshot",
            path.display()
        );
    }
}

#[test]
fn every_file_says_its_job_first() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} begins without a module comment", path.display());
    }
}

#[test]
fn files_have_one_job() {
    for (path, text) in sources() {
        let lines = code(&text).lines().count();
        assert!(lines <= 400, "{} has {lines} lines of code: are those two jobs?", path.display());
    }
}

#[test]
fn comments_do_not_tell_history() {
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//").unwrap_or_default().to_lowercase();
            let comment = comment.replace("no longer than", "");
            for word in ["no longer", "used to be", "previously", "refactor", "todo", "fixme", "xxx"] {
                assert!(!comment.contains(word), "{}:{}: {word}", path.display(), number + 1);
            }
        }
    }
}

/// Cargo does not look for tests by itself here, and a file that no binary includes is never run.
#[test]
fn every_file_of_tests_is_part_of_a_binary() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("there is a manifest");
    let listed: Vec<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"')).collect();
    let included: String =
        listed.iter().filter_map(|path| fs::read_to_string(root().join(path)).ok()).collect();
    let mut checked = 0;
    for entry in fs::read_dir(root().join("tests")).expect("readable tests") {
        let path = entry.expect("readable tests").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let candidates =
            [format!("tests/{name}.rs"), format!("tests/{name}/mod.rs"), format!("tests/{name}/main.rs")];
        let Some(file) = candidates.iter().find(|file| root().join(file).is_file()) else { continue };
        let is_included = included.lines().any(|line| line == format!("mod {name};"));
        assert!(listed.contains(&&**file) || is_included, "{file} is part of no test binary");
        checked += 1;
    }
    assert!(checked > 20, "only {checked} files found");
}

// === who may import whom ===

/// The part of a source that ships, as lines of code with their number.
fn shipped(path: &Path, text: &str) -> String {
    if is_test(path) { String::new() } else { code(text) }
}

/// The top-level module that a source belongs to; `None` for `lib.rs` and `main.rs`, which belong to all.
fn module(path: &Path) -> Option<String> {
    let first = path.components().nth(1)?.as_os_str().to_str()?;
    let name = first.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

/// The top-level modules that a source names.
fn imports(code: &str) -> BTreeSet<String> {
    let names = code.match_indices("crate::").map(|(at, word)| {
        let rest = &code[at + word.len()..];
        rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default().to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn what_knows_no_cloud_imports_nothing_from_providers() {
    let below = ["steer", "config", "role", "health", "probe", "peer", "state", "term", "snapshot"];
    for (path, text) in sources() {
        let is_below = module(&path).is_some_and(|module| below.contains(&module.as_str()));
        if is_below {
            let code = shipped(&path, &text);
            assert!(!code.contains("crate::provider"), "{} imports from a provider", path.display());
        }
    }
}

#[test]
fn imports_of_modules_form_no_circle() {
    let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let Some(module) = module(&path) else { continue };
        let mut imported = imports(&shipped(&path, &text));
        imported.remove(&module);
        below.entry(module).or_default().extend(imported);
    }
    // A module that imports nothing that is left can go; what stays is in a circle, or imports one.
    while let Some(free) =
        below.iter().find(|(_, imported)| !imported.iter().any(|name| below.contains_key(name)))
    {
        let free = free.0.clone();
        below.remove(&free);
    }
    assert!(below.is_empty(), "these modules import each other: {below:#?}");
}

/// Sources that name a kind's folder, besides that folder and the simulated cloud: `aws.rs` declares it, `provider.rs` has
/// its variant, and `lib.rs` maps it.
#[test]
fn few_sources_name_one_kind() {
    for kind in ["elbv2", "classic_elb", "route53", "cloudwatch"] {
        let outside = |path: &Path| {
            let path = path.to_string_lossy();
            !path.contains(&format!("/{kind}")) && !path.contains("/simulation") && !path.contains("/demo")
        };
        let found: Vec<_> = sources()
            .into_iter()
            .filter(|(path, _)| outside(path) && !is_test(path))
            .filter(|(_, text)| {
                let ships = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                ships.to_lowercase().contains(kind)
            })
            .map(|(path, _)| path)
            .collect();
        assert!(found.len() <= 4, "{} sources name {kind}: {found:?}", found.len());
    }
}

/// What does I/O may be named by pure modules for its types; its functions may not.
#[test]
fn pure_modules_call_nothing_that_does_io() {
    let sources = sources();
    let is_pure = |text: &str| {
        let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        header.contains("PURE")
    };
    for (path, text) in &sources {
        if !is_pure(text) || path == Path::new("src/lib.rs") || is_test(path) {
            continue;
        }
        for (module, name) in called_elsewhere(&code(text)) {
            let file = PathBuf::from(format!("src/{}.rs", module.replace("::", "/")));
            let definition = format!("async fn {name}(");
            let does_io =
                |(other, text): &(PathBuf, String)| *other == file && code(text).contains(&definition);
            assert!(
                !sources.iter().any(does_io),
                "{} is PURE and imports {module}::{name}, which waits for somebody",
                path.display()
            );
        }
    }
}

/// The functions and modules that `use` declarations of a source import from this crate, each with where it is.
fn called_elsewhere(code: &str) -> Vec<(String, String)> {
    let declarations = code.split("use crate::").skip(1).filter_map(|rest| rest.split(';').next());
    let mut names = Vec::new();
    for declaration in declarations {
        let Some((module, last)) = declaration.rsplit_once("::") else { continue };
        for name in last.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if name.starts_with(|c: char| c.is_ascii_lowercase()) && name != "self" && name != "as" {
                names.push((module.trim_end_matches("::{").to_owned(), name.to_owned()));
            }
        }
    }
    names
}

#[test]
fn the_tests_that_invariants_name_exist() {
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("readable source");
    let section = library.split("# Invariants").nth(1).expect("lib.rs has its invariants");
    let text: String = section
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix("//!"))
        .fold(String::new(), |text, line| text + line.trim_start() + " ");
    let everything: String = sources().into_iter().chain(test_sources()).map(|(_, text)| text).collect();
    let mut checked = 0;
    // What holds an invariant stands in italics after it.
    for held in text.split('*').skip(1).step_by(2) {
        for name in held.split('`').skip(1).step_by(2) {
            if let Some(file) = name.strip_prefix("tests/") {
                let (file, wanted) =
                    file.split_once("::").map_or((file, None), |(file, name)| (file, Some(name)));
                let path = root().join("tests").join(file);
                assert!(path.exists(), "lib.rs names tests/{file}, which is not there");
                let has = |name: &str| {
                    fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("fn {name}(")))
                };
                assert!(wanted.is_none_or(has), "tests/{file} has no test {}", wanted.unwrap_or_default());
                checked += 1;
            } else if name.contains("tests") || name.matches('_').count() > 2 {
                let last = name.rsplit("::").next().unwrap_or_default();
                let exists = if last == "tests" {
                    let module = name.trim_end_matches("::tests").rsplit("::").next().unwrap_or_default();
                    let of_module = |(path, text): &(PathBuf, String)| {
                        path.to_string_lossy().contains(module) && text.contains("mod tests")
                    };
                    sources().iter().any(of_module)
                } else {
                    everything.contains(&format!("fn {last}("))
                        || sources().iter().any(|(path, _)| path.to_string_lossy().contains(last))
                };
                assert!(exists, "lib.rs names the test {name}, which is not there");
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} names of tests found");
}

/// The integration tests.
fn test_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("readable tests") {
            let path = entry.expect("readable tests").path();
            let is_foreign = path.file_name().is_some_and(|name| name == ".venv" || name == "target");
            if path.is_dir() && !is_foreign {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("readable test");
                found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
            }
        }
    }
    found
}

// === Documents ===

#[test]
fn the_documents_name_every_metric_and_no_other() {
    let documents = documents::text();
    let mut known = Vec::new();
    for metric in mirrorvip::admin::metrics::METRICS {
        let name = if metric.counter { format!("{}_total", metric.name) } else { metric.name.to_owned() };
        let row = documents.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("no document has a row for {name}"));
        assert!(row.contains(metric.help), "the row for {name} does not say: {}", metric.help);
        known.push(name);
    }
    for word in documents
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("mirrorvip_"))
    {
        assert!(known.iter().any(|name| name == word), "a document names {word}, which is no metric");
    }
}

#[test]
fn the_documents_name_every_key() {
    let documents = documents::text();
    for key in mirrorvip::provider::known_keys() {
        assert!(documents.contains(&format!("`{}`", key.name)), "no document names the key {}", key.name);
    }
}

#[test]
fn the_documents_name_every_exit_code() {
    use mirrorvip::cli::Exit;
    let documents = documents::text();
    for exit in [
        Exit::Ok,
        Exit::Usage,
        Exit::Unavailable,
        Exit::Software,
        Exit::System,
        Exit::Permission,
        Exit::Config,
    ] {
        assert!(
            documents.contains(&format!("| {} |", exit as u8)),
            "no document has a row for exit code {}",
            exit as u8
        );
    }
}

/// Words that read as translated, outside of code. `docs/reference.md` is left out: its tables quote the program's help.
#[test]
fn the_documents_use_plain_words() {
    let odd = ["mend", "mended", "mends", "anew", "nobody", "somebody", "anybody", "whoever", "told"];
    for document in documents::all().iter().filter(|document| !document.name.starts_with("docs/reference")) {
        for (number, line) in document.text.lines().enumerate() {
            let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase();
            let mut words = prose.split(|c: char| !c.is_alphanumeric());
            let found = words.find(|word| odd.contains(word));
            assert_eq!(found, None, "{}:{}", document.name, number + 1);
        }
    }
}

/// A row with more cells than its header loses them when it is shown; a `|` in code counts as well.
#[test]
fn the_rows_of_a_table_have_equal_lengths() {
    for document in documents::all() {
        let (mut fenced, mut cells) = (false, None);
        for (number, line) in document.text.lines().enumerate() {
            fenced ^= line.starts_with("```");
            let row = line.trim();
            if fenced || !row.starts_with('|') {
                cells = None;
                continue;
            }
            let found = row.matches('|').count() - row.matches("\\|").count();
            let expected = *cells.get_or_insert(found);
            assert_eq!(found, expected, "{}:{}", document.name, number + 1);
        }
    }
}

// === language ===

/// Words that are wrong in text for people nearly always, and what stands in their place.
const WORST: [(&str, &str); 19] = [
    ("mend", "correct, repair"),
    ("mended", "corrected, repaired"),
    ("anew", "again"),
    ("tells", "reports, shows"),
    ("told", "reported"),
    ("nobody", "no client, no member"),
    ("somebody", "another process, an operator"),
    ("anybody", "a client"),
    ("everybody", "every client"),
    ("whoever", "the caller, the owner"),
    ("a look", "a read, a poll"),
    ("looks at", "reads, checks"),
    ("put right", "reverted, corrected"),
    ("stop it in order", "shut it down cleanly"),
    ("without order", "at once"),
    ("has no say", "does not matter"),
    ("need be", "necessary"),
    ("in vain", "without result"),
    ("for want of", "without, out of"),
];

/// Text that has such a word in its plain sense.
const ACCEPTED: [&str; 2] = [
    // Keys of steering tables.
    "for an alias record: whether Route 53 looks at the health of what it points to",
    "tells records of the same name and type apart: 1 to 128 characters",
];

/// Text of tests that quotes the program, or a transcript of it.
const QUOTED: [&str; 1] = ["nobody listens"];

#[test]
fn text_for_people_is_plain() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let mut visible = literals(shipped);
        if path.starts_with("src/cli") || path == Path::new("src/cli.rs") {
            visible.extend(help_texts(shipped));
        }
        for text in visible.iter().filter(|text| !ACCEPTED.contains(&text.as_str())) {
            wrong.extend(worst(&path, text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tests_are_in_plain_words() {
    let mut wrong = Vec::new();
    for (path, text) in &test_sources() {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for text in literals(text).iter().filter(|text| !QUOTED.iter().any(|quoted| text.contains(quoted))) {
            wrong.extend(worst(path, text));
        }
        let comments = text.lines().filter_map(|line| line.split_once("//"));
        wrong.extend(comments.flat_map(|(_, comment)| worst(path, comment)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a text for people.
fn worst(path: &Path, text: &str) -> Vec<String> {
    let words: Vec<_> = text
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let spoken = format!(" {} ", words.join(" "));
    let found = WORST.iter().filter(|(word, _)| spoken.contains(&format!(" {word} ")));
    found
        .map(|(word, better)| format!("{}: \"{text}\" says \"{word}\": write {better}", path.display()))
        .collect()
}

#[test]
fn literals_are_found_in_code_and_not_in_comments() {
    let code = "call(\"one\\\n   two\", '\"'); // \"no\"\nlet x = r#\"raw \"three\"\"#; let y: &'static str = \"\\\"four\\\"\";";
    assert_eq!(literals(code), ["onetwo", "raw \"three\"", "\\\"four\\\""]);
}

/// The string literals of a source, escapes as they are written, continued lines joined.
fn literals(code: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (before, from) = rest.split_at(at);
        let length = if from.starts_with("//") {
            from.find('\n').unwrap_or(from.len())
        } else if from.starts_with('/') {
            1
        } else if from.starts_with('\'') {
            // A character, or a lifetime.
            let quoted =
                ["'\"'", "'\\''", "'\\\\'", "'/'"].into_iter().find(|quoted| from.starts_with(quoted));
            quoted.map_or(1, str::len)
        } else {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let is_raw = before.trim_end_matches('#').ends_with('r');
            let end = if is_raw {
                let mark = format!("\"{}", "#".repeat(hashes));
                from[1..].find(&mark).map_or(from.len(), |end| end + 1)
            } else {
                end_of_string(from)
            };
            let lines: Vec<_> = from[1..end].split("\\\n").collect();
            let joined =
                lines.iter().enumerate().map(|(i, line)| if i == 0 { line } else { line.trim_start() });
            let joined: Vec<_> = joined.map(str::to_owned).collect();
            found.push(if is_raw { from[1..end].to_owned() } else { joined.join("") });
            (end + 1).min(from.len())
        };
        rest = &from[length..];
    }
    found
}

/// Where the string ends that begins `text`.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(end, _)| end)
}

/// What clap shows: the comments of the command line's options and verbs, those before fields and variants.
fn help_texts(code: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut open = false;
    for line in code.lines() {
        match line.strip_prefix("    ").and_then(|line| line.strip_prefix("///")) {
            Some(text) if open => blocks.last_mut().expect("it is open").push_str(text),
            Some(text) => blocks.push(text.trim().to_owned()),
            None => {}
        }
        open = line.trim_start().starts_with("///");
    }
    blocks
}

/// A mutation whose text is gone would break nothing, and the model would never be tried on it again.
#[test]
fn the_mutations_of_the_rule_fit_its_source() {
    let script = root().join("tests/authority/break-rules");
    let listed = Command::new(script).arg("--list").output().expect("Python is installed");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names are text");
    assert!(names.lines().count() >= 40, "{names}");
}
