//! What the steering tables of one mirror are called: in logs, status, metrics and towards the authority, which
//! remembers by name what each of them saw. So no two have the same name. PURE.

use super::kubernetes;
use crate::config::steering::Target;

/// A name for each of a mirror's tables, in their order: the kind and which object, and where that is not enough
/// what tells the tables apart.
pub(crate) fn names(targets: &[Target]) -> Vec<String> {
    let mut names: Vec<String> = targets.iter().map(short).collect();
    for tell_apart in [long, |_: &Target, name: &str, nth: usize| format!("{name} ({nth})")] {
        let before = names.clone();
        for (index, target) in targets.iter().enumerate() {
            let same = |names: &[String]| names.iter().filter(|name| **name == before[index]).count();
            if same(&before) > 1 {
                names[index] = tell_apart(target, &before[index], same(&before[..=index]));
            }
        }
    }
    names
}

/// The kind and which object: `elbv2 targetgroup/iris/0123456789abcdef`.
fn short(target: &Target) -> String {
    match target {
        Target::Elbv2(table) => {
            let arn = &table.target_group_arn;
            format!("elbv2 {}", arn.rsplit_once(':').map_or(arn.as_str(), |(_, group)| group))
        }
        Target::ClassicElb(table) => format!("classic_elb {}", table.load_balancer),
        Target::Route53(table) => {
            let set = table.set_identifier.as_ref().map(|set| format!(" {set}")).unwrap_or_default();
            format!("route53 {} {}{set}", table.record, table.record_type)
        }
        Target::Route(table) => format!("route {}", table.destination),
        Target::CloudWatch(table) => format!("cloudwatch {}/{}", table.namespace, table.metric),
        Target::Kubernetes(table) => kubernetes::name(table),
        // Without the arguments, which may hold a password.
        Target::Hook(table) => format!("hook {}", table.command.first().map_or("", String::as_str)),
    }
}

/// With what else the object is found by.
fn long(target: &Target, name: &str, nth: usize) -> String {
    match target {
        Target::Elbv2(table) => format!("{name}:{}", table.port),
        Target::Route53(table) => format!("{name} in {}", table.hosted_zone_id),
        Target::Route(table) => format!("{name} in {}", table.route_tables.join(", ")),
        Target::ClassicElb(_) | Target::CloudWatch(_) | Target::Kubernetes(_) => name.to_owned(),
        Target::Hook(_) => format!("{name} ({nth})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(tables: &str) -> Vec<String> {
        let text = format!(
            "[[mirror]]\nname = \"PROD\"\npeers = \"none\"\n[mirror.probe.qlist]\ninstance = \"IRIS\"\n{tables}"
        );
        let config =
            crate::config::parse(&text, "test").unwrap_or_else(|report| panic!("{}", report.render(false)));
        names(&config.mirrors[0].targets)
    }

    fn group(port: u16) -> String {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";
        format!("[[mirror.elbv2]]\ntarget_group_arn = \"{arn}\"\npool = \"all-members\"\nport = {port}\n")
    }

    fn record(zone: &str, kind: &str, value: &str) -> String {
        format!(
            "[[mirror.route53]]\nhosted_zone_id = \"{zone}\"\nrecord = \"db.example.internal\"\n\
             type = \"{kind}\"\nvalue = \"{value}\"\n"
        )
    }

    #[test]
    fn one_of_a_kind_has_a_short_name() {
        let tables = group(1972) + &record("Z0123456789ABCDEFGHIJ", "A", "10.0.1.12");
        let names = names_of(&tables);
        assert_eq!(names, ["elbv2 targetgroup/iris/0123456789abcdef", "route53 db.example.internal A"]);
    }

    #[test]
    fn no_two_have_the_same_name() {
        let hook = "[[mirror.hook]]\ncommand = [\"/bin/true\", \"1\"]\n".to_owned();
        let route = |table: &str| {
            format!("[[mirror.route]]\nroute_tables = [\"{table}\"]\ndestination = \"192.0.2.10/32\"\n")
        };
        let tables = [
            group(1972),
            group(1973),
            record("Z0123456789ABCDEFGHIJ", "A", "10.0.1.12"),
            record("Z1123456789ABCDEFGHIJ", "A", "10.0.1.12"),
            record("Z0123456789ABCDEFGHIJ", "AAAA", "2001:db8::1"),
            route("rtb-0123456789abcdef0"),
            route("rtb-0123456789abcdef1"),
            hook.clone(),
            hook,
        ];
        assert_eq!(
            names_of(&tables.concat()),
            [
                "elbv2 targetgroup/iris/0123456789abcdef:1972",
                "elbv2 targetgroup/iris/0123456789abcdef:1973",
                "route53 db.example.internal A in Z0123456789ABCDEFGHIJ",
                "route53 db.example.internal A in Z1123456789ABCDEFGHIJ",
                "route53 db.example.internal AAAA",
                "route 192.0.2.10/32 in rtb-0123456789abcdef0",
                "route 192.0.2.10/32 in rtb-0123456789abcdef1",
                "hook /bin/true (1)",
                "hook /bin/true (2)",
            ]
        );
    }
}
