//! The table of a mirror's members. PURE.

use anstyle::Style;

use super::{line, seconds_only};
use crate::admin::status::{MemberStatus, MirrorStatus};
use crate::cli::output::{BAD, DOUBTFUL, FAINT, GOOD};

const HEADER: [&str; 7] = ["member", "role", "page", "term", "authority", "version", "answer"];

/// One member.
struct Row {
    style: Style,
    cells: [String; HEADER.len()],
}

/// Appends the table, if there is another member.
pub(super) fn render(text: &mut String, mirror: &MirrorStatus) {
    if mirror.members.iter().all(|member| member.is_self) {
        return;
    }
    let rows: Vec<Row> = mirror.members.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.cells[column].chars().count());
        cells.chain([HEADER[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; HEADER.len()] = std::array::from_fn(width);
    let aligned = |cells: [&str; HEADER.len()]| {
        let padded: Vec<_> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    line(text, format_args!("  members   {FAINT}{}{FAINT:#}", aligned(HEADER)));
    for Row { style, cells } in &rows {
        let cells = aligned(std::array::from_fn(|column| cells[column].as_str()));
        line(text, format_args!("            {style}{cells}{style:#}"));
    }
}

fn row(member: &MemberStatus) -> Row {
    let plain = Style::new();
    let style = match (member.reachable, &member.problem, member.agrees, member.serving) {
        (false, ..) => BAD,
        (true, Some(_), ..) => BAD,
        (true, None, Some(false), _) => DOUBTFUL,
        (true, None, _, Some(true)) => GOOD,
        (true, None, ..) => plain,
    };
    let name = match (&member.member, &member.address) {
        (Some(name), Some(address)) if name != address => format!("{name} ({address})"),
        (Some(name), _) | (None, Some(name)) => name.clone(),
        (None, None) => "-".to_owned(),
    };
    let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    // The current state of a silent member is unknown; the last column has its last report and its age.
    let present = |value: Option<String>| if member.reachable { known(value) } else { "?".to_owned() };
    let role = member.role.clone().map(|role| match member.definite {
        Some(false) => format!("was {role}"),
        Some(true) | None => role,
    });
    Row {
        style,
        cells: [
            name,
            present(role),
            present(page(member)),
            known(member.term.map(|term| term.to_string())),
            present(member.authority.clone()),
            known(member.version.clone()),
            answer(member),
        ],
    }
}

fn page(member: &MemberStatus) -> Option<String> {
    member.serving.map(|serving| if serving { "SUCCESS" } else { "FAILED" }.to_owned())
}

/// When the member answered, and its problem.
fn answer(member: &MemberStatus) -> String {
    if member.is_self {
        return "this member".to_owned();
    }
    let mut answer = match (member.reachable, member.age_seconds) {
        (true, Some(age)) => format!("{age:.1} s ago"),
        (true, None) => "unusable".to_owned(),
        (false, age) => {
            let since = match &member.since {
                Some(since) => format!("none since {}", seconds_only(since)),
                None => "none yet".to_owned(),
            };
            match age {
                None => since,
                Some(age) => {
                    let role = member.role.as_deref().unwrap_or("no role");
                    let page = page(member).unwrap_or_else(|| "no page".to_owned());
                    format!("{since}; {age:.0} s ago it was {role}, {page}")
                }
            }
        }
    };
    if member.agrees == Some(false) {
        answer.push_str("; its configuration differs");
    }
    if let Some(problem) = &member.problem {
        answer.push_str("; ");
        answer.push_str(problem);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::super::tests::{document, plain};
    use super::*;

    fn member(fields: serde_json::Value) -> MemberStatus {
        let mut member = serde_json::json!({
            "self": false, "member": "db2", "address": "10.0.2.12", "role": "backup", "definite": true, "serving": false,
            "term": 6, "proven": false, "authority": "unsure", "version": "1.2.3", "age_seconds": 0.42, "reachable": true,
            "since": "2026-11-21T02:40:01.000000Z", "problem": null, "agrees": true
        });
        let serde_json::Value::Object(fields) = fields else { panic!("{fields} has no fields") };
        member.as_object_mut().unwrap().extend(fields);
        serde_json::from_value(member).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_silence_is_not_shown_as_present() {
        let mut status = document();
        status.mirrors[0].members = vec![
            member(serde_json::json!({
                "self": true, "member": "db1", "address": null, "role": "primary", "serving": true, "term": 7, "proven": true,
                "authority": "clear", "age_seconds": 0.0, "since": null, "agrees": null
            })),
            member(serde_json::json!({"agrees": false})),
            member(serde_json::json!({
                "member": "10.0.3.13", "address": "10.0.3.13", "reachable": false, "age_seconds": 61.2, "serving": true,
                "role": "primary", "since": "2026-11-21T02:59:00.000000Z", "problem": "no answer within 2s"
            })),
            member(serde_json::json!({
                "member": null, "address": "10.0.4.14", "role": null, "definite": null, "serving": null, "term": null,
                "authority": null, "version": null, "age_seconds": null, "reachable": false, "since": null
            })),
        ];
        let expected = "
  members   member           role     page     term  authority  version  answer
            db1              primary  SUCCESS  7     clear      1.2.3    this member
            db2 (10.0.2.12)  backup   FAILED   6     unsure     1.2.3    0.4 s ago; its configuration differs
            10.0.3.13        ?        ?        6     ?          1.2.3    none since 2026-11-21 02:59:00Z; 61 s ago it was primary, SUCCESS; no answer within 2s
            10.0.4.14        ?        ?        -     ?          -        none yet
";
        let text = plain(&status);
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn member_alone_has_no_table() {
        let mut status = document();
        status.mirrors[0].members = vec![member(serde_json::json!({"self": true}))];
        assert!(!plain(&status).contains("members"));
    }
}
