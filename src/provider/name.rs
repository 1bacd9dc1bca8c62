//! The names of one mirror's steering tables in logs, status and metrics, and for the arbiter, which keeps their records
//! by name. No two have the same name. PURE.

use super::Table;

/// A name for each of a mirror's tables, in their order: the kind and the object, and if that is not unique, what
/// distinguishes the tables.
pub(crate) fn names(targets: &[Table]) -> Vec<String> {
    let mut names: Vec<String> = targets.iter().map(|table| table.kind().name()).collect();
    let long = |table: &Table, name: &str, nth: usize| table.kind().long_name(name, nth);
    for distinguish in [long, |_: &Table, name: &str, nth: usize| format!("{name} ({nth})")] {
        let before = names.clone();
        for (index, target) in targets.iter().enumerate() {
            let same = |names: &[String]| names.iter().filter(|name| **name == before[index]).count();
            if same(&before) > 1 {
                names[index] = distinguish(target, &before[index], same(&before[..=index]));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::check::testing::config;

    fn names_of(tables: &str) -> Vec<String> {
        names(&config("", tables).mirrors[0].targets)
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
