//! What all members of a mirror must agree on, as a short digest: a member whose configuration differs is found by
//! comparing one word. PURE.
//!
//! Agreed on are the mirror's name, its quality of service timeout, and the cloud objects that are steered, with how.
//! What is a member's own business (addresses, its name, metrics, labels, hooks) is left out.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest as sha256};

use super::key::hexadecimal;
use crate::config::Mirror;
use crate::config::steering::{Route53, Target};

/// Bytes of the SHA-256 that are kept: enough to notice a difference that was not made on purpose.
const LENGTH: usize = 8;

/// The digest of `mirror`.
pub(crate) fn digest(mirror: &Mirror) -> String {
    let mut objects: Vec<String> = mirror.targets.iter().filter_map(object).collect();
    objects.sort_unstable();
    let mut text = format!("{}\nqos_timeout {}\n", mirror.name, mirror.qos_timeout.as_millis());
    for object in objects {
        writeln!(text, "{object}").expect("writing to a string cannot fail");
    }
    hexadecimal(&sha256(&SHA256, text.as_bytes()).as_ref()[..LENGTH])
}

/// A steered object that all members share.
fn object(target: &Target) -> Option<String> {
    match target {
        Target::Elbv2(table) => {
            Some(format!("elbv2 {} {:?} {}", table.target_group_arn, table.pool, table.port))
        }
        Target::ClassicElb(table) => Some(format!("classic_elb {} {:?}", table.load_balancer, table.pool)),
        // Each member may have a set of its own.
        Target::Route53(Route53 { hosted_zone_id, record, record_type, write, .. }) => {
            Some(format!("route53 {hosted_zone_id} {record} {record_type} {write:?}"))
        }
        Target::Route(table) => {
            let mut tables = table.route_tables.clone();
            tables.sort_unstable();
            Some(format!("route {} {}", tables.join(","), table.destination))
        }
        Target::CloudWatch(_) | Target::Kubernetes(_) | Target::Hook(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let text = format!(
            "[[mirror]]\nname = \"PROD\"\npeers = \"none\"\n{text}\n[mirror.probe.exec]\ncommand = [\"/bin/true\"]\n"
        );
        let config = crate::config::parse(&text, "test").unwrap_or_else(|r| panic!("{}", r.render(false)));
        digest(&config.mirrors[0])
    }

    #[test]
    fn what_is_a_members_own_business_does_not_count() {
        let plain = of("");
        assert_eq!(plain.len(), 2 * LENGTH);
        assert_eq!(plain, of("member = \"db1\"\ninterval = \"500ms\""));
        assert_ne!(plain, of("qos_timeout = \"9s\""));
        let route = |target: &str, tables: &str| {
            of(&format!(
                "[[mirror.route]]\nroute_tables = [{tables}]\ndestination = \"192.0.2.10/32\"\ntarget = \"{target}\"\n"
            ))
        };
        let one = route("eni-0123456789abcdef0", "\"rtb-0123456789abcdef0\", \"rtb-0123456789abcdef1\"");
        assert_eq!(
            one,
            route("eni-0123456789abcdef1", "\"rtb-0123456789abcdef1\", \"rtb-0123456789abcdef0\"")
        );
        assert_ne!(one, route("eni-0123456789abcdef0", "\"rtb-0123456789abcdef0\""));
        assert_ne!(one, plain);
    }
}
