//! What no compiler checks: that pure modules are pure, that one task writes, that files say their job first,
//! and that the tables in the documents are the program's.

#[path = "support/documents.rs"]
mod documents;

use std::fs;
use std::path::{Path, PathBuf};

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
    for key in mirrorvip::config::known_keys() {
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
