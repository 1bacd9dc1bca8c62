//! A strict reader of the OpenMetrics text format 1.0, as far as gauges and counters go.
//!
//! Source: the specification at `prometheus/OpenMetrics`. Strict where a scraper is: descriptors before
//! samples, no family twice or in two pieces, no sample twice, `_total` on counters and on nothing else, an
//! end that says so.

use std::collections::{BTreeMap, BTreeSet};

/// One metric and what was measured.
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

pub(crate) struct Sample {
    pub(crate) labels: String,
    pub(crate) value: f64,
}

/// Reads a whole exposition.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the end is missing")?;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut present = String::new();
    for line in body.lines() {
        let wrong = |what: &str| format!("{what}: {line}");
        if let Some(descriptor) = line.strip_prefix("# ") {
            let (keyword, rest) = descriptor.split_once(' ').ok_or_else(|| wrong("no keyword"))?;
            let (name, text) = rest.split_once(' ').ok_or_else(|| wrong("no text"))?;
            if !is_name(name) {
                return Err(wrong("no name"));
            }
            if name != present {
                name.clone_into(&mut present);
                let fresh = Family { kind: String::new(), help: String::new(), samples: Vec::new() };
                if families.insert(name.to_owned(), fresh).is_some() {
                    return Err(wrong("a family in two pieces"));
                }
            }
            let family = families.get_mut(name).ok_or_else(|| wrong("no family"))?;
            let field = match keyword {
                "TYPE" if ["gauge", "counter"].contains(&text) => &mut family.kind,
                "HELP" => &mut family.help,
                _ => return Err(wrong("an unexpected descriptor")),
            };
            if !field.is_empty() || !family.samples.is_empty() {
                return Err(wrong("a descriptor twice or too late"));
            }
            text.clone_into(field);
        } else {
            let family = families.get_mut(&present).ok_or_else(|| wrong("a sample before any family"))?;
            let suffix = if family.kind == "counter" { "_total" } else { "" };
            let rest =
                line.strip_prefix(&format!("{present}{suffix}")).ok_or_else(|| wrong("a strange name"))?;
            family.samples.push(sample(rest).ok_or_else(|| wrong("no sample"))?);
        }
    }
    for (name, family) in &families {
        let distinct: BTreeSet<_> = family.samples.iter().map(|sample| &sample.labels).collect();
        if distinct.len() != family.samples.len() {
            return Err(format!("{name} has two samples with the same labels"));
        }
        let counts = |sample: &Sample| sample.value.is_finite() && sample.value >= 0.0;
        if family.kind == "counter" && !family.samples.iter().all(counts) {
            return Err(format!("{name} counts something that cannot be counted"));
        }
        if family.kind.is_empty() || family.help.is_empty() {
            return Err(format!("{name} is not described"));
        }
    }
    Ok(families)
}

/// What follows the name: labels, if any, one space, one number.
fn sample(rest: &str) -> Option<Sample> {
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    if rest.starts_with('{') && !are_labels(labels) {
        return None;
    }
    Some(Sample { labels: labels.to_owned(), value: value.parse().ok()? })
}

/// `name="value"`, separated by commas; no name twice. No value here needs an escape.
fn are_labels(text: &str) -> bool {
    let mut names = BTreeSet::new();
    text.split(',').all(|label| {
        label.split_once('=').is_some_and(|(name, value)| {
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            is_name(name) && names.insert(name) && value.is_some_and(|value| !value.contains(['"', '\\']))
        })
    })
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[test]
fn the_reader_is_strict() {
    let good = "# HELP a b\n# TYPE a counter\na_total{x=\"y\"} 1\na_total{x=\"z\"} 2.5\n# EOF\n";
    assert!(parse(good).is_ok_and(|families| families["a"].samples.len() == 2));
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n\n"),
        ("# HELP a b\n", ""),
        ("# TYPE a counter\n", ""),
        ("# TYPE a counter\n", "# TYPE a summary\n"),
        ("_total{x=\"z\"}", "_total{x=\"y\"}"),
        ("_total{x=\"z\"}", "{x=\"z\"}"),
        ("{x=\"z\"}", "{x=z}"),
        ("{x=\"z\"}", "{}"),
        ("{x=\"z\"} ", "{x=\"z\"}"),
        ("2.5", "-2.5"),
        ("2.5", "NaN"),
        ("2.5", "much"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
