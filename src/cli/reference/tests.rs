//! The files of `docs/reference` are what the source says; `UPDATE_EXPECT=1` rewrites them.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;
use crate::explain::tests::sources;
use markdown::{begin, row};

fn agrees(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, made).unwrap();
        return;
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let first = there.lines().zip(made.lines()).find(|(there, made)| there != made);
    let first = first.map(|(there, made)| format!("\n- {there}\n+ {made}")).unwrap_or_default();
    assert!(there == made, "docs/reference/{name} is out of date; UPDATE_EXPECT=1 rewrites it{first}");
}

#[test]
fn configuration_is_the_table_of_keys() {
    agrees("configuration.md", &markdown::configuration());
}

#[test]
fn metrics_are_the_table_of_metrics() {
    agrees("metrics.md", &markdown::metrics());
}

#[test]
fn exit_codes_are_the_programs() {
    agrees("exit-codes.md", &markdown::exit_codes());
    assert_eq!(EXITS.iter().map(|exit| *exit as u8).collect::<BTreeSet<_>>().len(), EXITS.len());
}

#[cfg(feature = "simulation")]
#[test]
fn command_line_is_the_programs() {
    agrees("command-line.md", &markdown::command_line());
}

#[test]
fn the_example_is_valid() {
    let config = crate::provider::parse(EXAMPLE, "EXAMPLE");
    assert!(config.is_ok(), "{}", config.err().map(|report| report.render(false)).unwrap_or_default());
}

#[test]
fn every_variable_that_is_read_is_listed() {
    let known: BTreeSet<&str> = ENVIRONMENT
        .iter()
        .flat_map(|(_, variables)| *variables)
        .flat_map(|(names, _)| names.split(", "))
        .collect();
    let mut read = BTreeSet::new();
    for (path, text) in sources() {
        // Those of members that a simulation starts are passed on.
        if ["src/demo", "src/simulation", "src/reference"].iter().any(|directory| path.starts_with(directory))
        {
            continue;
        }
        for start in ["env::var(\"", "env::var_os(\"", "variable(\"", ".env(\"", "(\"MIRRORVIP_"] {
            for (at, _) in text.match_indices(start) {
                let rest = &text[at..];
                let name: String =
                    rest[rest.find('"').unwrap() + 1..].chars().take_while(|c| *c != '"').collect();
                let is_name = !text[..at].ends_with('!')
                    && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                    && name.len() > 2;
                read.extend(is_name.then_some(name));
            }
        }
    }
    assert!(read.len() >= 15, "only {read:?}");
    for name in read {
        assert!(known.contains(name.as_str()), "ENVIRONMENT does not list {name}");
    }
    assert!(known.contains(crate::config::VARIABLE));
}

// === The status document ===

#[derive(Debug)]
struct Field {
    name: String,
    kind: String,
    meaning: String,
    is_flat: bool,
}

/// The public fields of every struct in `text`, by the struct's name, with their documentation.
fn structs(text: &str) -> HashMap<String, Vec<Field>> {
    let mut found: HashMap<String, Vec<Field>> = HashMap::new();
    let mut open: Option<(String, Vec<Field>)> = None;
    let (mut meaning, mut renamed, mut is_flat) = (String::new(), None, false);
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            meaning.extend([comment.trim(), " "]);
        } else if line.starts_with("#[") {
            is_flat |= line.contains("flatten");
            let name = line.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next());
            renamed = name.map(str::to_owned).or(renamed);
        } else if let Some((name, fields)) = &mut open {
            if line == "}" {
                found.insert(name.clone(), std::mem::take(fields));
                open = None;
            } else if let Some((name, kind)) =
                line.strip_prefix("pub ").and_then(|line| line.split_once(": "))
            {
                let name = renamed.take().unwrap_or_else(|| name.to_owned());
                let kind = kind.trim_end_matches(',').to_owned();
                fields.push(Field { name, kind, meaning: without_links(meaning.trim()), is_flat });
            }
            (meaning, renamed, is_flat) = (String::new(), None, false);
        } else {
            let name = line.strip_prefix("pub struct ").and_then(|line| line.strip_suffix(" {"));
            open = name.map(|name| (name.to_owned(), Vec::new()));
            (meaning, renamed, is_flat) = (String::new(), None, false);
        }
    }
    found
}

/// Links of the documentation lead nowhere outside of it.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((label, behind)) = after.split_once("`]") else { break };
        plain.extend([before, "`", label, "`"]);
        rest = match behind.strip_prefix('(').and_then(|behind| behind.split_once(')')) {
            Some((_, behind)) => behind,
            None => behind,
        };
    }
    plain + rest
}

/// What is within `Option<>`, `Vec<>` or `Box<>`, and how JSON shows it.
fn json(kind: &str) -> (&str, String) {
    let within = |outer: &str| kind.strip_prefix(outer)?.strip_suffix('>');
    if let Some(inner) = within("Option<") {
        let (name, shown) = json(inner);
        return (name, format!("{shown} or null"));
    }
    if let Some(inner) = within("Vec<") {
        let (name, shown) = json(inner);
        return (name, format!("list of {shown}s"));
    }
    let shown = match kind {
        "String" => "string",
        "bool" => "boolean",
        "u16" | "u32" | "u64" | "usize" | "f64" => "number",
        _ => "object",
    };
    (kind, shown.to_owned())
}

fn table(structs: &HashMap<String, Vec<Field>>, name: &str, path: &str, text: &mut String) {
    let fields =
        structs.get(name).unwrap_or_else(|| panic!("no struct {name} of the status document is found"));
    let heading = if path.is_empty() { "The document".to_owned() } else { format!("`{path}`") };
    let _ = write!(text, "\n## {heading}\n\n| field | type | meaning |\n|---|---|---|\n");
    let mut flat: Vec<&Field> = Vec::new();
    for field in fields {
        if field.is_flat { flat.extend(&structs[json(&field.kind).0]) } else { flat.push(field) }
    }
    for Field { name, kind, meaning, .. } in &flat {
        assert!(!meaning.is_empty(), "{path}.{name} has no documentation");
        row(text, &[&format!("`{name}`"), &json(kind).1, meaning]);
    }
    for field in flat {
        let (inner, shown) = json(&field.kind);
        if shown.contains("object") {
            let list = if shown.starts_with("list") { "[]" } else { "" };
            let dot = if path.is_empty() { "" } else { "." };
            table(structs, inner, &format!("{path}{dot}{}{list}", field.name), text);
        }
    }
}

#[test]
fn status_is_the_documentation_of_its_structs() {
    let mut known = HashMap::new();
    for (path, text) in sources() {
        if path.starts_with("src/admin/status.rs")
            || path.starts_with("src/admin/status")
            || path.starts_with("src/admin/view.rs")
            || path.starts_with("src/snapshot.rs")
            || path.starts_with("src/term.rs")
        {
            known.extend(structs(&text));
        }
    }
    let mut text = begin(
        "Status document",
        "What `GET /status` of the admin listener answers and `mirrorvip status --json` prints. Fields are added, never renamed. \
         Times are RFC 3339 in UTC, spans are seconds. `mirrorvip explain WORD` explains states, rulings and causes.",
    );
    table(&known, "Status", "", &mut text);
    agrees("status.md", &text);
}

#[test]
fn structs_are_read_with_their_documentation() {
    let text = "/// A.\npub struct A {\n    /// See [`X`](crate::X), and\n    /// more.\n    #[serde(rename = \"self\")]\n    pub is_self: Option<Vec<B>>,\n}\n";
    let found = structs(text);
    let [field] = found["A"].as_slice() else { panic!("{found:?}") };
    assert_eq!((field.name.as_str(), field.meaning.as_str()), ("self", "See `X`, and more."));
    assert_eq!(json(&field.kind), ("B", "list of objects or null".to_owned()));
}
