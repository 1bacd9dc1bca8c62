//! The files of `docs/reference` as Markdown. PURE.

use std::fmt::Write as _;

use clap::Arg;

use super::{ENVIRONMENT, EXITS, FILES, SIGNALS, meaning, sections};
use crate::admin::metrics::METRICS;
use crate::config::WhenAbsent;

/// `docs/reference/configuration.md`.
pub(super) fn configuration() -> String {
    let mut text = begin(
        "Configuration",
        "Every key of `mirrorvip.toml`, by table. Tables in double brackets may be written several times. *Refused* means that a \
         configuration without the key is an error, *off* that the feature is not used. `mirrorvip check` names every problem with \
         its line. The same is in `man mirrorvip.toml`.",
    );
    for (section, keys) in sections() {
        let title = if section.starts_with('[') { format!("`{section}`") } else { section };
        let _ = write!(text, "\n## {title}\n\n| key | when absent | meaning |\n|---|---|---|\n");
        for key in keys {
            let absent = match key.when_absent {
                WhenAbsent::Refused => "refused".to_owned(),
                WhenAbsent::Means(value) => format!("`{value}`"),
                WhenAbsent::Off => "off".to_owned(),
            };
            row(&mut text, &[&format!("`{}`", key.name), &absent, key.meaning]);
        }
    }
    text
}

/// `docs/reference/metrics.md`.
pub(super) fn metrics() -> String {
    let mut text = begin(
        "Metrics",
        "The metrics that `GET /metrics` of the admin listener answers, in the OpenMetrics text format. Values are read at the \
         scrape. Metrics about a mirror have the label `mirror`; those about a steering target also have `target`.",
    );
    text.push_str("\n| metric | type | meaning |\n|---|---|---|\n");
    for metric in METRICS {
        let (suffix, kind) = if metric.counter { ("_total", "counter") } else { ("", "gauge") };
        row(&mut text, &[&format!("`{}{suffix}`", metric.name), kind, metric.help]);
    }
    text
}

/// `docs/reference/exit-codes.md`.
pub(super) fn exit_codes() -> String {
    let mut text =
        begin("Exit codes", "The numbers are those of `sysexits.h`. Every command uses the same ones.");
    text.push_str("\n| code | meaning | what to do |\n|---|---|---|\n");
    for exit in EXITS {
        let (meaning, action) = meaning(exit);
        row(&mut text, &[&(exit as u8).to_string(), meaning, action]);
    }
    text
}

/// `docs/reference/command-line.md`.
pub(super) fn command_line() -> String {
    let mut text = begin(
        "Command line",
        "Every command with its options, then signals, environment and files. Output goes to standard output, logs and errors go to \
         standard error. The same is in `man mirrorvip`.",
    );
    let mut command = crate::cli::command();
    command.build();
    text.push_str("\n## Options of every command\n\n");
    arguments(&mut text, command.get_arguments().filter(|argument| argument.is_global_set()));
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
        let usage = verb.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let about = verb.get_long_about().or(verb.get_about()).map(ToString::to_string).unwrap_or_default();
        let _ = write!(
            text,
            "\n## mirrorvip {}\n\n{}\n\n```text\n{usage}\n```\n",
            verb.get_name(),
            about.trim_end()
        );
        let own = verb.get_arguments().filter(|argument| {
            !argument.is_global_set() && !argument.is_hide_set() && argument.get_id() != "help"
        });
        let own: Vec<_> = own.collect();
        if !own.is_empty() {
            text.push('\n');
            arguments(&mut text, own.into_iter());
        }
        if let Some(after) = verb.get_after_help() {
            let _ = write!(text, "\n{}\n", after.to_string().trim_end());
        }
    }
    text.push_str("\n## Signals\n\n| signal | effect on `run` |\n|---|---|\n");
    for (signal, effect) in SIGNALS {
        row(&mut text, &[signal, effect]);
    }
    text.push_str(
        "\n`publish` handles TERM, INT and USR1. Restart it to load a new configuration.\n\n## Environment\n",
    );
    for (by, variables) in ENVIRONMENT {
        let _ = write!(text, "\n### {by}\n\n| variable | meaning |\n|---|---|\n");
        for (name, meaning) in *variables {
            row(&mut text, &[&names(name), meaning]);
        }
    }
    text.push_str("\n## Files\n\n| file | what it is |\n|---|---|\n");
    for (file, meaning) in FILES {
        row(&mut text, &[&names(file), meaning]);
    }
    text
}

/// The beginning of a generated file.
pub(super) fn begin(title: &str, introduction: &str) -> String {
    format!(
        "# {title}\n\n<!-- Made from the source by `UPDATE_EXPECT=1 cargo nextest run --lib reference`. Do not edit. -->\n\n\
         {introduction}\n"
    )
}

/// A row of a table. A bar in a cell would end it.
pub(super) fn row(text: &mut String, cells: &[&str]) {
    for cell in cells {
        let _ = write!(text, "| {} ", cell.replace('|', "\\|"));
    }
    text.push_str("|\n");
}

/// Each of the names that commas separate as code.
fn names(names: &str) -> String {
    names.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn arguments<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    text.push_str("| option | meaning |\n|---|---|\n");
    for argument in arguments {
        row(text, &[&option(argument), &help(argument)]);
    }
}

fn option(argument: &Arg) -> String {
    let value = argument.get_value_names().unwrap_or_default().join(" ");
    let value = if argument.get_action().takes_values() { value } else { String::new() };
    let name = match (argument.get_long(), argument.get_short()) {
        (Some(long), Some(short)) => format!("-{short}, --{long} {value}"),
        (Some(long), None) => format!("--{long} {value}"),
        (None, _) => value,
    };
    format!("`{}`", name.trim_end())
}

fn help(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut meaning = help.split_whitespace().collect::<Vec<_>>().join(" ");
    if !argument.get_action().takes_values() {
        return meaning;
    }
    let values = argument.get_possible_values().into_iter().map(|value| match value.get_help() {
        Some(help) => format!("`{}` ({help})", value.get_name()),
        None => format!("`{}`", value.get_name()),
    });
    let values: Vec<_> = values.filter(|_| !argument.is_hide_possible_values_set()).collect();
    if !values.is_empty() {
        let _ = write!(meaning, ": {}", values.join(", "));
    }
    for default in argument.get_default_values() {
        let _ = write!(meaning, " [default: `{}`]", default.to_string_lossy());
    }
    meaning
}
