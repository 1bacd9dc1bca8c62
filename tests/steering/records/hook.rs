//! A command of the operator's: run once a promotion and once a demotion, with the facts in its environment; its
//! failure is seen.

use std::fs;

use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage, eventually};

/// Writes one line a run: the facts, in their order in this script.
const SCRIPT: &str = "echo $MIRRORVIP_EVENT $MIRRORVIP_MIRROR $MIRRORVIP_MEMBER $MIRRORVIP_EPOCH \
                      $MIRRORVIP_ORIGIN $MIRRORVIP_ROLE >>DIRECTORY/runs";

fn table(script: &str) -> String {
    format!("[[mirror.hook]]\ncommand = [\"/bin/sh\", \"-c\", '{script}']\n")
}

fn stage(targets: &str) -> Stage {
    Stage::started(fast_cloud(), (), &["a", "b"], Peers::None, targets)
}

fn runs(stage: &Stage, name: &str) -> Vec<String> {
    let text = fs::read_to_string(stage.path(name, "runs")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until_runs(stage: &Stage, name: &str, count: usize) -> Vec<String> {
    eventually(&format!("{count} runs of {name}"), || runs(stage, name).len() >= count);
    runs(stage, name)
}

#[test]
fn it_is_run_once_for_each_promotion_and_demotion() {
    let mut stage = stage(&table(SCRIPT));
    stage.promote("a");
    stage.until_led("a");
    assert_eq!(until_runs(&stage, "a", 1), ["promotion PROD a 1 promoted primary"]);
    assert_eq!(runs(&stage, "b"), Vec::<String>::new(), "it was neither promoted nor demoted");

    // A daemon that restarts on the primary runs nothing: it remembers.
    stage.restart("a");
    stage.until_led("a");
    assert_eq!(runs(&stage, "a").len(), 1);

    stage.fail_over("b");
    stage.until_led("b");
    assert_eq!(until_runs(&stage, "b", 1), ["promotion PROD b 1 promoted primary"]);
    let of_a = until_runs(&stage, "a", 2);
    assert!(of_a[1].starts_with("demotion PROD a 1 "), "{of_a:?}");

    stage.fail_over("a");
    stage.until_led("a");
    let of_a = until_runs(&stage, "a", 3);
    assert_eq!(of_a[2], "promotion PROD a 2 promoted primary");
    assert_eq!(until_runs(&stage, "b", 2).len(), 2);
    assert_eq!(runs(&stage, "a").len(), 3);
}

#[test]
fn its_failure_is_seen_and_not_tried_again_unless_asked() {
    let script = format!("{SCRIPT}; echo no such balancer >&2; exit 3");
    let stage = stage(&table(&script));
    stage.promote("a");
    let target = stage.until_target("a", "impossible");
    let reason = target["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("promotion of epoch 1") && reason.contains("no such balancer"), "{target:#}");
    assert_eq!(target["ladder"]["fulfilled"], serde_json::Value::Null, "a failure is no success");
    assert_eq!(stage.page("a"), 200, "the page does not depend on it");

    // The next promotion is another matter.
    stage.fail_over("b");
    until_runs(&stage, "b", 1);
    stage.fail_over("a");
    // Promotion, demotion, promotion: each once, though each failed.
    let of_a = until_runs(&stage, "a", 3);
    assert_eq!(of_a[2], "promotion PROD a 2 promoted primary");
    stage.until_target("a", "impossible");
    assert_eq!(runs(&stage, "a").len(), 3);
}

#[test]
fn its_failure_is_tried_again_if_asked() {
    // The third run works.
    let script = format!("{SCRIPT}; test $(wc -l <DIRECTORY/runs) -ge 3");
    let stage = stage(&(table(&script) + "retry = true\non = \"promotion\"\n"));
    stage.promote("a");
    stage.until_led("a");
    let of_a = runs(&stage, "a");
    assert_eq!(of_a, vec!["promotion PROD a 1 promoted primary"; 3]);
}
