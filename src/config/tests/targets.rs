//! Steering tables: every value arrives in its field, and what is left out has its documented meaning.

use super::super::steering::*;
use super::*;
use crate::provider::Mirror;
use crate::provider::Table as Target;
use crate::provider::aws::classic_elb::Table as ClassicElb;
use crate::provider::aws::cloudwatch::Table as CloudWatch;
use crate::provider::aws::elbv2::Table as Elbv2;
use crate::provider::aws::region::Region;
use crate::provider::aws::route::{NextHop, Table as Route};
use crate::provider::aws::route53::{RecordType, RecordValue, Table as Route53, Write as How};
use crate::provider::hook::Table as Hook;
use crate::provider::kubernetes::Table as Kubernetes;
use crate::steer::pool::Pool;

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";

fn mirror(tables: &str) -> Mirror {
    accept(&format!("{ALONE}{tables}")).mirrors.remove(0)
}

/// A mirror of which it is said that there is no other member.
const ALONE: &str =
    "[[mirror]]\nname = \"PROD\"\npeers = \"none\"\n[mirror.probe.qlist]\ninstance = \"IRIS\"\n";

fn is(text: &str) -> Value {
    Value::Is(text.to_owned())
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn hosted_zone_id_is_what_the_api_accepts() {
    let zone = |id: &str| {
        let table = format!(
            "[[mirror.route53]]\nhosted_zone_id = '{id}'\nrecord = 'db.example.internal'\ntype = 'A'\n"
        );
        match mirror(&table).targets.remove(0) {
            Target::Route53(table) => table.hosted_zone_id,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(zone("/hostedzone/Z0123456789"), "Z0123456789");
    assert_eq!(zone("4J3PQX0MOTO"), "4J3PQX0MOTO", "simulators do not begin ids with Z");
}

#[test]
fn what_is_left_out_has_its_documented_meaning() {
    let tables = format!(
        "[[mirror.elbv2]]\ntarget_group_arn = '{ARN}'\nport = 1972\n[[mirror.classic_elb]]\nload_balancer = 'iris'\n\
         [[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n\
         [[mirror.route]]\nroute_tables = 'rtb-01234567'\ndestination = '192.168.99.1'\n\
         [[mirror.cloudwatch]]\n[[mirror.kubernetes]]\n[[mirror.hook]]\ncommand = ['tell']\n"
    );
    assert_eq!(
        mirror(&tables).targets,
        [
            Target::Elbv2(Elbv2 {
                target_group_arn: ARN.parse().unwrap(),
                pool: Pool::AllMembers,
                target_id: Value::Auto,
                port: 1972,
                owned_targets: Vec::new(),
                healthy_within: Duration::from_mins(1),
            }),
            Target::ClassicElb(ClassicElb {
                load_balancer: "iris".to_owned(),
                region: Value::Auto,
                pool: Pool::AllMembers,
                instance_id: Value::Auto,
                owned_instances: Vec::new(),
                healthy_within: Duration::from_mins(1),
            }),
            Target::Route53(Route53 {
                hosted_zone_id: "Z1".to_owned(),
                record: "db.example.internal".to_owned(),
                record_type: RecordType::A,
                value: RecordValue::Plain { value: Value::Auto, ttl: 5 },
                set_identifier: None,
                weight: None,
                write: How::CompareAndSwap,
            }),
            Target::Route(Route {
                route_tables: strings(["rtb-01234567"]),
                destination: "192.168.99.1/32".parse().unwrap(),
                target: Value::Auto,
                region: Value::Auto,
            }),
            Target::CloudWatch(CloudWatch {
                namespace: "mirrorvip".to_owned(),
                metric: "Primary".to_owned(),
                member: Value::Auto,
                region: Value::Auto,
                interval: Duration::from_secs(10),
            }),
            Target::Kubernetes(Kubernetes {
                label: "intersystems.com/mirrorRole".to_owned(),
                pod: Value::Auto,
                namespace: Value::Auto,
                server: None,
                ca_file: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".into(),
                token_file: "/var/run/secrets/kubernetes.io/serviceaccount/token".into(),
            }),
            Target::Hook(Hook {
                command: strings(["tell"]),
                on_promotion: true,
                on_demotion: true,
                timeout: Duration::from_secs(10),
                retry: false,
                environment: Vec::new(),
            }),
        ]
    );
}

#[test]
fn pools_arrive() {
    let tables = format!(
        "[[mirror.elbv2]]\ntarget_group_arn = '{ARN}'\nport = 65535\npool = 'primary-only'\ntarget_id = '2001:DB8::0:1'\n\
         owned_targets = ['2001:db8::1', '10.0.2.12']\nhealthy_within = '1s'\n\
         [[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'us-gov-west-1'\npool = 'primary-only'\n\
         instance_id = 'i-01234567'\nowned_instances = 'i-0123456789abcdef0'\nhealthy_within = '10m'\n"
    );
    let targets = mirror(&tables).targets;
    let [Target::Elbv2(group), Target::ClassicElb(classic)] = targets.as_slice() else {
        panic!("{targets:?}")
    };
    assert_eq!((group.pool, group.port), (Pool::PrimaryOnly, 65_535));
    assert_eq!(group.target_id, is("2001:db8::1"), "in its usual form");
    assert_eq!(group.owned_targets, ["2001:db8::1", "10.0.2.12"]);
    assert_eq!(group.healthy_within, Duration::from_secs(1));
    assert_eq!(
        (classic.pool, &classic.region),
        (Pool::PrimaryOnly, &Value::Is(Region::named("us-gov-west-1")))
    );
    assert_eq!(classic.instance_id, is("i-01234567"));
    assert_eq!(classic.owned_instances, ["i-0123456789abcdef0"]);
    assert_eq!(classic.healthy_within, Duration::from_mins(10));
}

#[test]
fn records_arrive() {
    let record = |tables: &str| {
        let head = "[[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = '_db-1.example.internal'\n";
        let targets = mirror(&format!("{head}{tables}")).targets;
        let [Target::Route53(record)] = targets.as_slice() else { panic!("{targets:?}") };
        record.clone()
    };
    let plain = record(
        "type = 'AAAA'\nvalue = '2001:db8::1'\nttl = 0\nset_identifier = 'a b'\nweight = 0\nwrite = 'upsert'\n",
    );
    assert_eq!((plain.record_type, plain.write), (RecordType::Aaaa, How::Upsert));
    assert_eq!(plain.value, RecordValue::Plain { value: is("2001:db8::1"), ttl: 0 });
    assert_eq!((plain.set_identifier.as_deref(), plain.weight), (Some("a b"), Some(0)));
    let name = record("type = 'CNAME'\nvalue = 'a.example.internal'\n");
    assert_eq!(name.value, RecordValue::Plain { value: is("a.example.internal"), ttl: 5 });
    let alias = record(
        "type = 'A'\nalias_dns_name = 'lb.example.com'\nalias_hosted_zone_id = 'Z2'\nalias_evaluate_target_health = true\n",
    );
    assert_eq!(
        alias.value,
        RecordValue::Alias {
            hosted_zone_id: "Z2".to_owned(),
            dns_name: "lb.example.com".to_owned(),
            evaluate_target_health: true
        }
    );
}

#[test]
fn the_others_arrive() {
    let read = mirror(
        "[[mirror.route]]\nroute_tables = ['rtb-01234567', 'rtb-01234568']\ndestination = '2001:db8::/64'\n\
         target = 'eni-01234567'\nregion = 'eu-west-1'\n\
         [[mirror.cloudwatch]]\nnamespace = 'Mirrors'\nmetric = 'IsPrimary'\nmember = 'db1'\nregion = 'eu-west-1'\n\
         interval = '1m'\n\
         [[mirror.hook]]\ncommand = ['/bin/tell', '']\non = 'demotion'\ntimeout = '100ms'\nretry = true\n\
         environment = ['A', 'B']\n",
    );
    assert_eq!(
        read.targets,
        [
            Target::Route(Route {
                route_tables: strings(["rtb-01234567", "rtb-01234568"]),
                destination: "2001:db8::/64".parse().unwrap(),
                target: Value::Is(NextHop::NetworkInterface("eni-01234567".to_owned())),
                region: Value::Is(Region::named("eu-west-1")),
            }),
            Target::CloudWatch(CloudWatch {
                namespace: "Mirrors".to_owned(),
                metric: "IsPrimary".to_owned(),
                member: is("db1"),
                region: Value::Is(Region::named("eu-west-1")),
                interval: Duration::from_mins(1),
            }),
            Target::Hook(Hook {
                command: strings(["/bin/tell", ""]),
                on_promotion: false,
                on_demotion: true,
                timeout: Duration::from_millis(100),
                retry: true,
                environment: strings(["A", "B"]),
            }),
        ]
    );
}

#[test]
fn the_members_of_the_mirror_arrive() {
    let text = MINIMAL.replace(
        "name = \"PROD\"",
        "name = \"PROD\"\nmember = \"db1\"\nsuperseded = \"warn\"\ndrift_interval = \"2m\"\npeer_key_file = \"/secret\"",
    );
    let peers = "[[mirror.peer]]\naddress = '10.0.2.12'\npage = 'https://b:8443/csp/bin/mirrorstatus.cxw'\nca_file = '/ca'\n\
                 member = 'db2.example.internal'\n[[mirror.peer]]\naddress = 'c.example.internal'\npage = 'http://c/'\n";
    let read = accept(&format!("{text}{peers}")).mirrors.remove(0);
    assert_eq!((read.member.as_deref(), read.superseded), (Some("db1"), Superseded::Warn));
    assert_eq!(read.member_name(), "db1");
    assert_eq!(read.peer_key_file, Some("/secret".into()));
    assert_eq!(read.drift_interval, Duration::from_mins(2));
    let page = |url: &str, ca_file: Option<&str>| HttpTarget {
        url: url.parse().unwrap(),
        ca_file: ca_file.map(PathBuf::from),
    };
    assert_eq!(
        read.peers,
        [
            Peer {
                address: "10.0.2.12".to_owned(),
                page: page("https://b:8443/csp/bin/mirrorstatus.cxw", Some("/ca")),
                member: Some("db2.example.internal".to_owned()),
            },
            Peer { address: "c.example.internal".to_owned(), page: page("http://c/", None), member: None },
        ]
    );
    let host = mirror("");
    assert_eq!((host.member.as_ref(), host.peer_key_file.as_ref()), (None, None));
    assert!(!host.member_name().is_empty(), "the host has a name");
}

#[test]
fn steering_that_moves_traffic_says_which_other_members_there_are() {
    let peer = "[[mirror.peer]]\naddress = '10.0.2.12'\npage = 'http://b/'\n";
    let pool = |pool: &str| {
        let elbv2 = format!("[[mirror.elbv2]]\ntarget_group_arn = '{ARN}'\nport = 1972\npool = '{pool}'\n");
        let classic = format!("[[mirror.classic_elb]]\nload_balancer = 'iris'\npool = '{pool}'\n");
        let owned = if pool == "primary-only" { "['10.0.1.12', '10.0.2.12']" } else { "[]" };
        let instances = if pool == "primary-only" { "['i-01234567', 'i-01234568']" } else { "[]" };
        [format!("{elbv2}owned_targets = {owned}\n"), format!("{classic}owned_instances = {instances}\n")]
    };
    let record =
        "[[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n".to_owned();
    let route = "[[mirror.route]]\nroute_tables = 'rtb-01234567'\ndestination = '192.168.99.1'\n".to_owned();
    for mover in pool("primary-only").into_iter().chain([record, route]) {
        let table = mover.lines().next().expect("its title");
        assert_eq!(
            only_message(&format!("{MINIMAL}{mover}")),
            format!("{table} moves traffic, and no other member is named")
        );
        accept(&format!("{ALONE}{mover}"));
        accept(&format!("{MINIMAL}{peer}{mover}"));
        let both = "`peers` is \"none\", and there are [[mirror.peer]] tables";
        assert_eq!(only_message(&format!("{ALONE}{peer}{mover}")), both);
    }
    // What takes nothing from another member needs no other member.
    let publications =
        ["[[mirror.cloudwatch]]\n", "[[mirror.kubernetes]]\n", "[[mirror.hook]]\ncommand = ['tell']\n"];
    for other in pool("all-members").into_iter().chain(publications.map(str::to_owned)) {
        accept(&format!("{MINIMAL}{other}"));
    }
    assert_eq!(
        only_message(&format!("{ALONE}{peer}")),
        "`peers` is \"none\", and there are [[mirror.peer]] tables"
    );
    let wrong = ALONE.replace("\"none\"", "\"db2\"");
    assert_eq!(only_message(&wrong), "`peers` must be \"none\", and this is `db2`");
}

#[test]
fn two_mirrors_may_share_a_pool_of_which_each_owns_a_part() {
    let shard = |name: &str, port: u16, owned: &str| {
        format!(
            "[[mirror]]\nname = '{name}'\npaths = '/{name}'\npeers = 'none'\nprobe.file.path = '/role'\n[[mirror.elbv2]]\n\
             target_group_arn = '{ARN}'\nport = {port}\npool = 'primary-only'\nowned_targets = {owned}\n"
        )
    };
    accept(&(shard("a", 1972, "['10.0.1.1', '10.0.2.1']") + &shard("b", 1972, "['10.0.1.2', '10.0.2.2']")));
    accept(&(shard("a", 1972, "['10.0.1.1', '10.0.2.1']") + &shard("b", 1973, "['10.0.1.1', '10.0.2.1']")));
    refuse(&(shard("a", 1972, "['10.0.1.1', '10.0.2.1']") + &shard("b", 1972, "['10.0.2.1']")));
}
