//! The SDK that the daemon uses, against the simulated cloud: errors keep their codes and words, and instance
//! metadata can be asked.

use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_elasticloadbalancingv2 as elbv2;
use aws_sdk_route53 as route53;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use mirrorvip::simulation::cloud::{Effect, Fault, Service, SimulatedCloud, TargetGroup};

use crate::harness::fast_cloud;

async fn config(cloud: &SimulatedCloud, member: &str) -> aws_config::SdkConfig {
    let environment = cloud.environment(member);
    let get = |key: &str| {
        let found = environment.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone()).expect("the environment of a member is whole")
    };
    let credentials = elbv2::config::Credentials::new(
        get("AWS_ACCESS_KEY_ID"),
        get("AWS_SECRET_ACCESS_KEY"),
        None,
        None,
        "test",
    );
    aws_config::defaults(aws_config::BehaviorVersion::latest())
        .endpoint_url(get("AWS_ENDPOINT_URL"))
        .region(aws_config::Region::new(get("AWS_REGION")))
        .credentials_provider(credentials)
        .retry_config(aws_smithy_types::retry::RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await
}

#[tokio::test]
async fn registers_and_describes_a_target() {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    let client = elbv2::Client::new(&config(&cloud, "a").await);
    let target = elbv2::types::TargetDescription::builder().id("10.0.1.11").port(1972).build();
    let register = client.register_targets().target_group_arn(&arn).targets(target.clone());
    register.send().await.expect("the target is registered");
    let health = client.describe_target_health().target_group_arn(&arn).send().await.expect("an answer");
    let described = health.target_health_descriptions();
    assert_eq!(described.len(), 1);
    assert_eq!(described[0].target().and_then(elbv2::types::TargetDescription::port), Some(1972));
    let outside = elbv2::types::TargetDescription::builder().id("192.168.1.1").port(1972);
    let refused = client.register_targets().target_group_arn(&arn).targets(outside.clone().build());
    let error = refused.send().await.expect_err("it is not in the network");
    assert_eq!(error.code(), Some("InvalidTarget"));
    let everywhere = outside.availability_zone("all").build();
    let register = client.register_targets().target_group_arn(&arn).targets(everywhere);
    register.send().await.expect("all zones are named");
    assert_eq!(cloud.target_health(&arn).len(), 2);
    assert_eq!(cloud.mutations()[0].member, "a");
}

#[tokio::test]
async fn the_words_of_a_lost_swap_arrive() {
    let cloud = fast_cloud();
    let zone = cloud.create_zone("example.internal");
    cloud.create_record(&zone, "db.example.internal", "A", 5, &["10.0.1.11"]);
    let client = route53::Client::new(&config(&cloud, "b").await);
    let value = route53::types::ResourceRecord::builder().value("10.0.1.99").build().expect("it has a value");
    let record = route53::types::ResourceRecordSet::builder()
        .name("db.example.internal")
        .r#type(route53::types::RrType::A)
        .ttl(5)
        .resource_records(value)
        .build()
        .expect("it has name and type");
    let change = route53::types::Change::builder()
        .action(route53::types::ChangeAction::Delete)
        .resource_record_set(record)
        .build()
        .expect("it has an action");
    let batch = route53::types::ChangeBatch::builder().changes(change).build().expect("it has changes");
    let lost = client.change_resource_record_sets().hosted_zone_id(&zone).change_batch(batch);
    let error = lost.send().await.expect_err("the record says something else");
    assert_eq!(error.code(), Some("InvalidChangeBatch"));
    let message = error.message().unwrap_or_default();
    assert!(message.contains("but the values provided do not match the current values"), "{message}");
    cloud.fault(Fault::new(Effect::PriorRequestNotComplete).on(Service::Route53).times(1));
    let busy = client.get_hosted_zone().id(&zone).send().await.expect_err("a fault is switched on");
    assert_eq!(busy.code(), Some("PriorRequestNotComplete"));
    assert!(cloud.mutations().is_empty());
}

#[tokio::test]
async fn instance_metadata_are_told_to_whoever_has_a_token() {
    let cloud = fast_cloud();
    let endpoint = format!("http://{}", cloud.imds("b"));
    let http = aws_smithy_http_client::Builder::new().build_http();
    let provider = ProviderConfig::without_region().with_http_client(http);
    let client =
        imds::Client::builder().configure(&provider).endpoint(endpoint).expect("it is an address").build();
    let mut told = Vec::new();
    for path in ["instance-id", "local-ipv4", "placement/region"] {
        let value = client.get(format!("/latest/meta-data/{path}")).await.expect("the service answers");
        told.push(value.as_ref().to_owned());
    }
    let b = &cloud.settings().members[1];
    assert_eq!(told, [b.instance_id.clone(), b.address.to_string(), "eu-west-1".to_owned()]);
    // Without a token the service says nothing at all, and a token needs a life time.
    let address = cloud.imds("b");
    let ask = move |request: String| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it takes requests");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    };
    let end = "Host: imds\r\nConnection: close\r\n";
    let answer = ask(format!("GET /latest/meta-data/instance-id HTTP/1.1\r\n{end}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let answer = ask(format!("PUT /latest/api/token HTTP/1.1\r\n{end}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
    let answer = ask(format!("PUT /latest/api/token HTTP/1.1\r\n{ttl}{end}\r\n"));
    assert!(answer.contains("x-aws-ec2-metadata-token-ttl-seconds: 60"), "{answer}");
}
