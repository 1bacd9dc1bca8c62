//! Calls on the wire: what is sent and how it is signed, and what answers mean.

use aws_config::Region;

use super::*;
use crate::provider::aws::OPERATION_TIMEOUT;
use crate::provider::aws::http::LARGEST_ANSWER;
use crate::provider::aws::query::{self, QueryClient, caller_identity};
use crate::provider::aws::wire::{Endpoint, Reply, assert_golden};
use crate::provider::aws::{classic_elb, cloudwatch, elbv2, route};

const CALLER: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/iris/i-1</Arn>\
    <UserId>AROA:i-1</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
    <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>";

/// An error in EC2's own form.
fn ec2_error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
         <Message>{message}</Message></Error></Errors><RequestID>1</RequestID></Response>"
    );
    Reply::Answer { status, body }
}

async fn sdk(endpoint: &Endpoint) -> SdkConfig {
    endpoint.point(crate::provider::aws::sdk_config("eu-west-1").await)
}

/// What a call to `service` makes of `reply`, and how often it was sent.
async fn outcome(service: Service, reply: Reply) -> (Result<Xml, CallError>, usize) {
    let endpoint = Endpoint::start(move |_| reply.clone()).await;
    let outcome = QueryClient::new(&sdk(&endpoint).await, service).call("DescribeThings", &[]).await;
    (outcome, endpoint.take().len())
}

// === requests ===

#[tokio::test]
async fn the_caller_is_asked_for() {
    let endpoint = Endpoint::start(|_| Reply::ok(CALLER)).await;
    let caller = caller_identity(&sdk(&endpoint).await).await.expect("it answers");
    assert_eq!(caller.account, "123456789012");
    assert_eq!(caller.arn, "arn:aws:sts::123456789012:assumed-role/iris/i-1");
    let sent = endpoint.take();
    assert_eq!(sent.len(), 1);
    assert_golden("sts-get-caller-identity", &sent[0].golden());
}

#[tokio::test]
async fn requests_are_signed_for_the_service_and_the_region() {
    for (service, scope, version) in [
        (route::SERVICE, "/eu-west-1/ec2/aws4_request", "2016-11-15"),
        (cloudwatch::SERVICE, "/eu-west-1/monitoring/aws4_request", "2010-08-01"),
        (classic_elb::SERVICE, "/eu-west-1/elasticloadbalancing/aws4_request", "2012-06-01"),
        (elbv2::SERVICE, "/eu-west-1/elasticloadbalancing/aws4_request", "2015-12-01"),
        (query::SERVICE, "/eu-west-1/sts/aws4_request", "2011-06-15"),
    ] {
        let endpoint = Endpoint::start(|_| Reply::ok("<Fine/>")).await;
        let client = QueryClient::new(&sdk(&endpoint).await, service);
        let answer = client.call("DescribeThings", &[]).await.expect("it answers");
        assert_eq!(answer.name(), "Fine");
        let sent = endpoint.take();
        let authorization = sent[0].header("authorization").expect("it is signed");
        assert!(authorization.contains(scope), "{authorization}");
        assert_eq!(sent[0].parameter("Version"), Some(version));
        let agent = sent[0].header("x-amz-user-agent").expect("the service's logs name the client");
        assert!(agent.contains(&format!("api/{}/{version}", service.prefix)), "{agent}");
    }
}

// === answers ===

#[test]
fn the_messages_of_a_refused_batch_are_joined() {
    let batch = |messages: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?>\n<InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
             <Messages>{messages}</Messages><RequestId>1</RequestId></InvalidChangeBatch>"
        );
        let error = service_error(body.as_bytes());
        (error.code().map(str::to_owned), error.message().map(str::to_owned))
    };
    let (code, message) = batch("<Message>one</Message><Message>type=&apos;A&apos;</Message>");
    assert_eq!((code.as_deref(), message.as_deref()), (Some("InvalidChangeBatch"), Some("one; type='A'")));
    assert_eq!(batch("").0.as_deref(), Some("InvalidChangeBatch"));
    assert_eq!(service_error(b"<InvalidChangeBatch").code(), None, "it is cut off");
}

#[tokio::test]
async fn errors_of_both_forms_have_a_class() {
    for (status, code, class, attempts) in [
        (403, "UnauthorizedOperation", Class::Stop, 1),
        (400, "InvalidRouteTableID.NotFound", Class::Stop, 1),
        (400, "RouteAlreadyExists", Class::Observe, 1),
        (503, "RequestLimitExceeded", Class::Throttled, 3),
        (400, "Throttling", Class::Throttled, 3),
        (500, "InternalError", Class::Retry, 3),
        (503, "UnknownCode", Class::Retry, 3),
    ] {
        for (service, reply) in [
            (route::SERVICE, ec2_error(status, code, "words of the service")),
            (cloudwatch::SERVICE, Reply::query_error(status, code, "words of the service")),
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
async fn an_answer_of_another_program_is_retried() {
    for (status, body) in [
        (502, "<html><body>Bad \u{1b}[31mGateway</body></html>".to_owned()),
        (404, "not found".to_owned()),
        (200, "not XML".to_owned()),
        (200, String::new()),
        (200, "<a>".repeat(100) + &"</a>".repeat(100)),
        (200, format!("<a>{}</a>", "x".repeat(LARGEST_ANSWER))),
    ] {
        let error = outcome(route::SERVICE, Reply::Answer { status, body }).await.0.expect_err("it is none");
        assert_eq!((error.class, error.code.as_deref()), (Class::Retry, None), "{error}");
        assert!(error.message.len() < 2_000 && !error.message.contains('\u{1b}'), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_without_a_code_points_to_credentials_and_proxies() {
    for status in [401, 403, 407] {
        let reply = Reply::Answer { status, body: "proxy says no".to_owned() };
        let (outcome, sent) = outcome(route::SERVICE, reply).await;
        let error = outcome.expect_err("it is refused");
        assert_eq!((error.class, error.code.as_deref(), sent), (Class::Stop, None, 1), "{error}");
        let expected = format!(
            "HTTP status {status} without an error code, from wrong credentials or a proxy: proxy says no"
        );
        assert_eq!(error.message, expected);
        assert!(crate::provider::help::help(&error).contains("credentials"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_for_single_attempts_too() {
    let hour = jiff::SignedDuration::from_hours(1);
    let endpoint = Endpoint::ahead(hour, "AuthFailure", |_| Reply::ok("<Fine/>")).await;
    let client = QueryClient::new(&sdk(&endpoint).await, route::SERVICE);
    client.clone().call("DescribeThings", &[]).await.expect("the SDK corrects it");
    assert_eq!(endpoint.take().len(), 2);
    client.call_once("ChangeThings", &[]).await.expect("the time is known");
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn an_answer_at_the_bound_is_read() {
    let body = format!("<a>{}</a>", "x".repeat(LARGEST_ANSWER - 7));
    let (outcome, _) = outcome(route::SERVICE, Reply::ok(body)).await;
    assert_eq!(outcome.expect("it is within the bound").text().len(), LARGEST_ANSWER - 7);
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_ends_a_call_in_time() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let begun = tokio::time::Instant::now();
    let call = QueryClient::new(&sdk(&endpoint).await, route::SERVICE);
    let outcome = tokio::time::timeout(OPERATION_TIMEOUT * 4, call.call("DescribeThings", &[])).await;
    let error = outcome.expect("calls have a deadline").expect_err("there is no answer");
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(begun.elapsed() <= OPERATION_TIMEOUT + std::time::Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn deadlines_hold_without_settings() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let whole = sdk(&endpoint).await;
    let mut bare = SdkConfig::builder()
        .region(Region::new("eu-west-1"))
        .endpoint_url(whole.endpoint_url().expect("set"));
    bare.set_http_client(whole.http_client());
    bare.set_credentials_provider(whole.credentials_provider());
    let client = QueryClient::new(&bare.build(), route::SERVICE);
    let outcome = tokio::time::timeout(OPERATION_TIMEOUT * 4, client.call("DescribeThings", &[])).await;
    assert_eq!(outcome.expect("calls have a deadline").expect_err("there is no answer").class, Class::Retry);
}

#[tokio::test]
async fn nothing_is_sent_without_a_region_or_credentials() {
    let endpoint = Endpoint::start(|_| Reply::ok("<Fine/>")).await;
    let whole = sdk(&endpoint).await;
    let mut nowhere = whole.to_builder();
    nowhere.set_region(None);
    let error = QueryClient::new(&nowhere.build(), route::SERVICE).call("DescribeThings", &[]).await;
    assert_eq!(error.expect_err("there is nowhere to send to").class, Class::Stop);

    let mut anonymous = whole.to_builder();
    anonymous.set_credentials_provider(None);
    let error = QueryClient::new(&anonymous.build(), route::SERVICE).call("DescribeThings", &[]).await;
    assert_eq!(error.expect_err("it cannot be signed").class, Class::Retry);
    assert_eq!(endpoint.take().len(), 0);
}
