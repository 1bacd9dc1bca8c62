//! A mirror that steers, and the answers of its cloud.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use super::aws::{Endpoint, Reply, Request};

pub(crate) const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";

/// Every kind of target that AWS has, and a peer that is down: no process listens there.
pub(crate) const TARGETS: &str = r#"
[[mirror.peer]]
address = "10.0.2.12"
page = "http://127.255.255.254:9/csp/bin/mirrorstatus.cxw"

[[mirror.elbv2]]
target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef"
pool = "primary-only"
owned_targets = ["10.0.1.12", "10.0.2.12"]
target_id = "10.0.1.12"
port = 1972

[[mirror.classic_elb]]
load_balancer = "iris"
region = "eu-west-1"
instance_id = "i-0123456789abcdef0"

[[mirror.route53]]
hosted_zone_id = "Z0123456789ABCDEFGHIJ"
record = "db.example.internal"
type = "A"
value = "10.0.1.12"

[[mirror.route]]
route_tables = ["rtb-0123456789abcdef0"]
destination = "192.168.99.1/32"
target = "eni-0123456789abcdef0"
region = "eu-west-1"

[[mirror.cloudwatch]]
member = "db1"
region = "eu-west-1"

[[mirror.hook]]
command = ["tell", "--password", "s3cret"]
"#;

/// Runs `mirrorvip VERB` with this mirror's `targets`, and with `endpoint` in the place of AWS.
pub(crate) async fn run(endpoint: &Endpoint, directory: &Path, targets: &str, verb: &[&str]) -> Output {
    command(&endpoint.url(), directory, targets, verb).output().await.expect("the command under test starts")
}

/// What [`run`] runs, with the endpoint at this address. Ends with its process's value.
pub(crate) fn command(endpoint: &str, directory: &Path, targets: &str, verb: &[&str]) -> Command {
    let role = directory.join("role");
    std::fs::write(&role, "primary\n").expect("the test's directory is writable");
    let config = format!(
        "state_directory = '{directory}'\n[health]\nlisten = '127.0.0.1:0'\n[admin]\nlisten = '127.0.0.1:0'\n\
         [[mirror]]\nname = 'PROD'\nmember = 'db1'\nprobe.file.path = '{role}'\n{targets}",
        directory = directory.display(),
        role = role.display()
    );
    let file = directory.join("mirrorvip.toml");
    std::fs::write(&file, config).expect("the test's directory is writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirrorvip"));
    command
        .args(verb)
        .args(["--color", "never", "--config"])
        .arg(&file)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "AKIATEST")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// The action of a request, in Route 53's case its path.
pub(crate) fn action(request: &Request) -> String {
    match request.parameter("Action") {
        Some(action) => action.to_owned(),
        None => format!("{} {}", request.method, request.path.split('?').next().unwrap_or_default()),
    }
}

/// Panics if anything was sent that changes something.
pub(crate) fn assert_read_only(requests: &[Request]) {
    assert!(!requests.is_empty(), "nothing was asked");
    for request in requests {
        let action = action(request);
        let reads = ["Describe", "GetCallerIdentity", "GET "].iter().any(|read| action.starts_with(read));
        assert!(reads, "{action} is no read");
    }
}

/// A cloud in which the other member is registered and the record and route point to it.
pub(crate) fn answer(request: &Request) -> Reply {
    let action = action(request);
    let version2 = request.parameter("Version") == Some("2015-12-01");
    let result = |inner: &str| {
        Reply::ok(format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"))
    };
    match action.as_str() {
        "GetCallerIdentity" => result(
            "<Arn>arn:aws:sts::123456789012:assumed-role/mirror/i-0</Arn><UserId>A</UserId><Account>123456789012</Account>",
        ),
        "DescribeTargetGroups" => result(&format!(
            "<TargetGroups><member><TargetGroupArn>{ARN}</TargetGroupArn><Protocol>TCP</Protocol><Port>1972</Port>\
             <TargetType>ip</TargetType><HealthCheckEnabled>true</HealthCheckEnabled>\
             <HealthCheckProtocol>TCP</HealthCheckProtocol><HealthCheckPort>traffic-port</HealthCheckPort>\
             <HealthCheckIntervalSeconds>30</HealthCheckIntervalSeconds><HealthCheckTimeoutSeconds>10</HealthCheckTimeoutSeconds>\
             <HealthyThresholdCount>5</HealthyThresholdCount><UnhealthyThresholdCount>2</UnhealthyThresholdCount>\
             <LoadBalancerArns><member>arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/lb/1</member>\
             </LoadBalancerArns></member></TargetGroups>"
        )),
        "DescribeTargetGroupAttributes" => result(
            "<Attributes><member><Key>deregistration_delay.timeout_seconds</Key><Value>300</Value></member></Attributes>",
        ),
        "DescribeTargetHealth" => result(
            "<TargetHealthDescriptions><member><Target><Id>10.0.2.12</Id><Port>1972</Port></Target>\
             <TargetHealth><State>healthy</State></TargetHealth></member></TargetHealthDescriptions>",
        ),
        "DescribeLoadBalancers" if version2 => result(
            "<LoadBalancers><member><LoadBalancerArn>arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/lb/1\
             </LoadBalancerArn><LoadBalancerName>lb</LoadBalancerName><AvailabilityZones><member/><member/></AvailabilityZones>\
             </member></LoadBalancers>",
        ),
        "DescribeLoadBalancerAttributes" if version2 => result(
            "<Attributes><member><Key>load_balancing.cross_zone.enabled</Key><Value>false</Value></member></Attributes>",
        ),
        "DescribeLoadBalancers" => result(
            "<LoadBalancerDescriptions><member><LoadBalancerName>iris</LoadBalancerName><AvailabilityZones><member>a</member>\
             </AvailabilityZones><HealthCheck><Target>HTTP:8080/csp/bin/mirror_status.cxw</Target><Interval>5</Interval>\
             <Timeout>2</Timeout><HealthyThreshold>2</HealthyThreshold><UnhealthyThreshold>2</UnhealthyThreshold></HealthCheck>\
             </member></LoadBalancerDescriptions>",
        ),
        "DescribeLoadBalancerAttributes" => result(
            "<LoadBalancerAttributes><CrossZoneLoadBalancing><Enabled>true</Enabled></CrossZoneLoadBalancing>\
             <ConnectionDraining><Enabled>true</Enabled><Timeout>300</Timeout></ConnectionDraining></LoadBalancerAttributes>",
        ),
        "DescribeInstanceHealth" => result(
            "<InstanceStates><member><InstanceId>i-0123456789abcdef1</InstanceId><State>OutOfService</State>\
             <ReasonCode>Instance</ReasonCode></member></InstanceStates>",
        ),
        "DescribeRouteTables" => Reply::ok(
            "<DescribeRouteTablesResponse><routeTableSet><item><routeTableId>rtb-0123456789abcdef0</routeTableId><routeSet>\
             <item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId><state>active</state></item>\
             <item><destinationCidrBlock>192.168.99.1/32</destinationCidrBlock><instanceId>i-0123456789abcdef1</instanceId>\
             <networkInterfaceId>eni-0123456789abcdef1</networkInterfaceId><state>blackhole</state></item>\
             </routeSet></item></routeTableSet></DescribeRouteTablesResponse>",
        ),
        "DescribeNetworkInterfaces" => Reply::ok(
            "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item>\
             <networkInterfaceId>eni-0123456789abcdef0</networkInterfaceId><sourceDestCheck>true</sourceDestCheck>\
             </item></networkInterfaceSet></DescribeNetworkInterfacesResponse>",
        ),
        "GET /2013-04-01/change/C0000000000000000000" => {
            Reply::query_error(404, "NoSuchChange", "no such change")
        }
        "GET /2013-04-01/hostedzone/Z0123456789ABCDEFGHIJ/rrset" => records(request),
        other => Reply::query_error(400, "InvalidAction", other),
    }
}

fn records(request: &Request) -> Reply {
    let set = |name: &str, kind: &str, ttl: u32, value: &str| {
        format!(
            "<ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type><TTL>{ttl}</TTL><ResourceRecords><ResourceRecord>\
             <Value>{value}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>"
        )
    };
    let ownership = "&quot;mirrorvip1 owner=db2 epoch=7 at=2026-11-21T02:40:00Z&quot;";
    // A zone's list begins with the records of its own name.
    let sets = if request.parameter("name").is_none() && !request.path.contains("name=") {
        set("example.internal", "NS", 172_800, "ns-1.example.net.")
    } else if request.path.contains("_mirrorvip") {
        set("_mirrorvip.db.example.internal", "TXT", 300, ownership)
    } else {
        set("db.example.internal", "A", 300, "10.0.2.12")
    };
    Reply::ok(format!(
        "<ListResourceRecordSetsResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ResourceRecordSets>{sets}\
         </ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems></ListResourceRecordSetsResponse>"
    ))
}

/// What `check --json` found on subjects that contain `subject`, as severity and message.
pub(crate) fn found(output: &Output, subject: &str) -> Vec<(String, String)> {
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let findings = document["findings"].as_array().expect("findings").iter();
    let ours = findings.filter(|finding| word(&finding["subject"]).contains(subject));
    ours.map(|finding| (word(&finding["severity"]), word(&finding["message"]))).collect()
}

#[track_caller]
pub(crate) fn assert_found(found: &[(String, String)], severity: &str, words: &str) {
    assert!(has(found, severity, words), "no {severity} with {words:?} in {found:#?}");
}

pub(crate) fn has(found: &[(String, String)], severity: &str, words: &str) -> bool {
    found.iter().any(|(known, message)| known == severity && message.contains(words))
}
