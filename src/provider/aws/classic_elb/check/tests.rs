//! A classic load balancer's settings in, findings out.

use super::*;
use crate::finding::Severity;
use crate::provider::Table as Target;
use crate::provider::aws::check::group::{Family, sound};
use crate::provider::check::testing::{config, told as told_of, with_subject};

#[test]
fn a_classic_load_balancer_is_judged_with_its_members() {
    const ME: &str = "i-0123456789abcdef0";
    let config = config(
        "",
        &format!(
            "[[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'eu-west-1'\ninstance_id = '{ME}'\n"
        ),
    );
    let judged = |state: &str, description: &str, draining: Option<&str>| {
        let described = Described {
            instance: ME.to_owned(),
            state: state.to_owned(),
            description: description.to_owned(),
        };
        let attributes = draining.map(|seconds| (CONNECTION_DRAINING.to_owned(), seconds.to_owned()));
        let group = Group {
            family: Family::Classic,
            target_type: "instance".to_owned(),
            attributes: attributes.into_iter().collect(),
            targets: vec![described.into()],
            ..sound()
        };
        let Target::ClassicElb(table) = &config.mirrors[0].targets[0] else { panic!("{config:?}") };
        let findings = with_subject(&config, |subject, _| judge(subject, table, &group, Some(ME)));
        told_of(findings)
    };
    let told = |found: &[(Severity, String)], severity, words: &str| {
        let told = found.iter().any(|(known, message)| *known == severity && message.contains(words));
        assert!(told, "no {severity:?} {words:?} in {found:#?}");
    };
    let good = judged("InService", "N/A", Some("5"));
    assert!(good.iter().all(|(severity, _)| *severity == Severity::Good), "{good:#?}");
    told(&good, Severity::Good, "i-0123456789abcdef0 is registered and InService");
    let absent = "Instance is not currently registered with the LoadBalancer.";
    told(&judged("OutOfService", absent, None), Severity::Warning, "is not registered: the running daemon");
    let failing =
        "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.";
    told(&judged("OutOfService", failing, None), Severity::Error, "none of its 1 members is healthy");
    let zone = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";
    told(&judged("OutOfService", zone, None), Severity::Error, "enable its availability zone");
    told(&judged("InService", "N/A", Some("300")), Severity::Warning, "drain for 300 s");
}
