//! The Query protocol on the wire: what is sent, where to and signed for whom, and what answers mean.

use aws_config::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::*;
use crate::aws::OPERATION_TIMEOUT;
use crate::aws::http::LARGEST_ANSWER;
use crate::aws::wire::{Endpoint, Reply, assert_golden};

const CALLER: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/iris/i-1</Arn>\
    <UserId>AROA:i-1</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
    <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>";

/// EC2 words its errors in a shape of its own.
fn ec2_error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
         <Message>{message}</Message></Error></Errors><RequestID>1</RequestID></Response>"
    );
    Reply::Answer { status, body }
}

async fn sdk(endpoint: &Endpoint) -> SdkConfig {
    endpoint.point(crate::aws::sdk_config("eu-west-1").await)
}

/// What a call to `service` makes of `reply`, and how often it was sent.
async fn outcome(service: Service, reply: Reply) -> (Result<Xml, CallError>, usize) {
    let endpoint = Endpoint::start(move |_| reply.clone()).await;
    let outcome = QueryClient::new(&sdk(&endpoint).await, service).call("DescribeThings", &[]).await;
    (outcome, endpoint.take().len())
}

// === requests ===

#[tokio::test]
async fn asks_who_it_is() {
    let endpoint = Endpoint::start(|_| Reply::ok(CALLER)).await;
    let caller = caller_identity(&sdk(&endpoint).await).await.expect("it answers");
    assert_eq!(caller.account, "123456789012");
    assert_eq!(caller.arn, "arn:aws:sts::123456789012:assumed-role/iris/i-1");
    let sent = endpoint.take();
    assert_eq!(sent.len(), 1);
    assert_golden("sts-get-caller-identity", &sent[0].golden());
}

#[tokio::test]
async fn signs_for_the_service_and_the_region() {
    for (service, scope, version) in [
        (Service::Ec2, "/eu-west-1/ec2/aws4_request", "2016-11-15"),
        (Service::CloudWatch, "/eu-west-1/monitoring/aws4_request", "2010-08-01"),
        (Service::ClassicElb, "/eu-west-1/elasticloadbalancing/aws4_request", "2012-06-01"),
        (Service::Sts, "/eu-west-1/sts/aws4_request", "2011-06-15"),
    ] {
        let endpoint = Endpoint::start(|_| Reply::ok("<Fine/>")).await;
        let client = QueryClient::new(&sdk(&endpoint).await, service);
        let answer = client.call("DescribeThings", &[]).await.expect("it answers");
        assert_eq!(answer.name(), "Fine");
        let sent = endpoint.take();
        let authorization = sent[0].header("authorization").expect("it is signed");
        assert!(authorization.contains(scope), "{authorization}");
        assert_eq!(sent[0].parameter("Version"), Some(version));
        let agent = sent[0].header("x-amz-user-agent").expect("the service's logs tell who asks");
        assert!(agent.contains(&format!("api/{}/{version}", service.prefix())), "{agent}");
    }
}

#[test]
fn escapes_all_that_a_form_or_a_signature_could_take_for_its_own() {
    let parameters = [("Name.1".to_owned(), "a b&c=d+e%/~ü\n".to_owned())];
    assert_eq!(form("Do", "1", &parameters), "Action=Do&Version=1&Name.1=a%20b%26c%3Dd%2Be%25%2F~%C3%BC%0A");
}

// === endpoints ===

/// Settings as the environment and the shared configuration file make them.
#[derive(Debug)]
struct Environment(&'static [(&'static str, &'static str)]);

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        // The SDK's own naming: AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING.
        let name = format!("{}_{}", key.env(), key.service_id().to_uppercase().replace(' ', "_"));
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }
}

#[test]
fn the_operator_says_where_services_are() {
    let region = Region::new("eu-west-1");
    let url = |sdk: &SdkConfig, service| endpoint::url(sdk, service, &region);
    let plain = SdkConfig::builder().region(region.clone()).build();
    assert_eq!(url(&plain, Service::Ec2), "https://ec2.eu-west-1.amazonaws.com");

    let all = SdkConfig::builder().endpoint_url("http://all").build();
    assert_eq!(url(&all, Service::CloudWatch), "http://all");

    let each = Environment(&[
        ("AWS_ENDPOINT_URL_EC2", "http://ec2"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://cloudwatch"),
        ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING", "http://elb"),
    ]);
    let each = SdkConfig::builder().endpoint_url("http://all").service_config(each).build();
    assert_eq!(url(&each, Service::Ec2), "http://ec2");
    assert_eq!(url(&each, Service::CloudWatch), "http://cloudwatch");
    assert_eq!(url(&each, Service::ClassicElb), "http://elb");
    assert_eq!(url(&each, Service::Sts), "http://all");
}

// === answers ===

#[tokio::test]
async fn errors_of_both_shapes_tell_whose_turn_it_is() {
    for (status, code, class, attempts) in [
        (403, "UnauthorizedOperation", Class::Stop, 1),
        (400, "InvalidRouteTableID.NotFound", Class::Stop, 1),
        (400, "RouteAlreadyExists", Class::Observe, 1),
        (503, "RequestLimitExceeded", Class::Throttled, 3),
        (400, "Throttling", Class::Throttled, 3),
        (500, "InternalError", Class::Retry, 3),
        (503, "NobodyHeardOfIt", Class::Retry, 3),
    ] {
        for (service, reply) in [
            (Service::Ec2, ec2_error(status, code, "words of the service")),
            (Service::CloudWatch, Reply::query_error(status, code, "words of the service")),
        ] {
            let (outcome, sent) = outcome(service, reply).await;
            let error = outcome.expect_err("it is refused");
            assert_eq!((error.class, sent), (class, attempts), "{service:?} {code}");
            assert_eq!(error.code.as_deref(), Some(code));
            assert_eq!(error.to_string(), format!("DescribeThings: {code}: words of the service"));
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_none_of_the_services_passes() {
    for (status, body) in [
        (502, "<html><body>Bad \u{1b}[31mGateway</body></html>".to_owned()),
        (404, "nobody here".to_owned()),
        (200, "not XML".to_owned()),
        (200, String::new()),
        (200, "<a>".repeat(100) + &"</a>".repeat(100)),
        (200, format!("<a>{}</a>", "x".repeat(LARGEST_ANSWER))),
    ] {
        let error = outcome(Service::Ec2, Reply::Answer { status, body }).await.0.expect_err("it is none");
        assert_eq!((error.class, error.code.as_deref()), (Class::Retry, None), "{error}");
        assert!(error.message.len() < 2_000 && !error.message.contains('\u{1b}'), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_without_a_code_is_one_and_hints_at_credentials_and_proxies() {
    for status in [401, 403, 407] {
        let reply = Reply::Answer { status, body: "proxy says no".to_owned() };
        let (outcome, sent) = outcome(Service::Ec2, reply).await;
        let error = outcome.expect_err("it is refused");
        assert_eq!((error.class, error.code.as_deref(), sent), (Class::Stop, None, 1), "{error}");
        let told = format!(
            "HTTP status {status} without an error code, from wrong credentials or a proxy: proxy says no"
        );
        assert_eq!(error.message, told);
        assert!(crate::aws::help::help(&error).contains("credentials"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_for_single_attempts_too() {
    let hour = jiff::SignedDuration::from_hours(1);
    let endpoint = Endpoint::ahead(hour, "AuthFailure", |_| Reply::ok("<Fine/>")).await;
    let client = QueryClient::new(&sdk(&endpoint).await, Service::Ec2);
    client.clone().call("DescribeThings", &[]).await.expect("the SDK mends it");
    assert_eq!(endpoint.take().len(), 2);
    client.call_once("ChangeThings", &[]).await.expect("the time is known");
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn an_answer_as_long_as_the_bound_is_read() {
    let body = format!("<a>{}</a>", "x".repeat(LARGEST_ANSWER - 7));
    let (outcome, _) = outcome(Service::Ec2, Reply::ok(body)).await;
    assert_eq!(outcome.expect("it is within the bound").text().len(), LARGEST_ANSWER - 7);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_is_given_up_in_time() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let begun = tokio::time::Instant::now();
    let call = QueryClient::new(&sdk(&endpoint).await, Service::Ec2);
    let outcome = tokio::time::timeout(OPERATION_TIMEOUT * 4, call.call("DescribeThings", &[])).await;
    let error = outcome.expect("calls have a deadline").expect_err("nobody answers");
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(begun.elapsed() <= OPERATION_TIMEOUT + std::time::Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn deadlines_hold_even_if_nobody_set_them() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let whole = sdk(&endpoint).await;
    let mut bare = SdkConfig::builder()
        .region(Region::new("eu-west-1"))
        .endpoint_url(whole.endpoint_url().expect("set"));
    bare.set_http_client(whole.http_client());
    bare.set_credentials_provider(whole.credentials_provider());
    let client = QueryClient::new(&bare.build(), Service::Ec2);
    let outcome = tokio::time::timeout(OPERATION_TIMEOUT * 4, client.call("DescribeThings", &[])).await;
    assert_eq!(outcome.expect("calls have a deadline").expect_err("nobody answers").class, Class::Retry);
}

#[tokio::test]
async fn without_a_region_or_credentials_nothing_is_sent() {
    let endpoint = Endpoint::start(|_| Reply::ok("<Fine/>")).await;
    let whole = sdk(&endpoint).await;
    let mut nowhere = whole.to_builder();
    nowhere.set_region(None);
    let error = QueryClient::new(&nowhere.build(), Service::Ec2).call("DescribeThings", &[]).await;
    assert_eq!(error.expect_err("there is nowhere to send to").class, Class::Stop);

    let mut nobody = whole.to_builder();
    nobody.set_credentials_provider(None);
    let error = QueryClient::new(&nobody.build(), Service::Ec2).call("DescribeThings", &[]).await;
    assert_eq!(error.expect_err("nobody signs").class, Class::Retry);
    assert_eq!(endpoint.take().len(), 0);
}
