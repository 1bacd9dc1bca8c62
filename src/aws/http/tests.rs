//! Answers that do not end, and answers that a parser would not end with: what each client makes of them.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::config::{Credentials, SharedCredentialsProvider};
use tokio::time::Instant;

use super::*;
use crate::aws::error::call_error;
use crate::aws::flood::{CHUNKED, Flood};
use crate::aws::help::help;
use crate::aws::query::{QueryClient, Service};
use crate::aws::wire::{Endpoint, Reply};
use crate::steer::{CallError, Class};

/// What may be on its way in the buffers of two sockets, and in the reader's.
const ON_ITS_WAY: usize = 16 * 1024 * 1024;

async fn sdk(url: String) -> SdkConfig {
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
    let sdk = crate::aws::sdk_config("eu-west-1").await.into_builder();
    sdk.endpoint_url(url).credentials_provider(SharedCredentialsProvider::new(credentials)).build()
}

/// What each kind of client makes of who answers at `url`.
async fn outcomes(url: &str) -> Vec<(&'static str, Option<CallError>)> {
    let sdk = sdk(url.to_owned()).await;
    let balancers = aws_sdk_elasticloadbalancingv2::Client::new(&sdk);
    let typed = balancers.describe_target_health().target_group_arn("arn").send().await;
    let zones = aws_sdk_route53::Client::new(&sdk);
    let records = zones.list_resource_record_sets().hosted_zone_id("Z1").send().await;
    let query = QueryClient::new(&sdk, Service::Ec2).call("DescribeThings", &[]).await;
    vec![
        ("typed", typed.err().map(|error| call_error("DescribeTargetHealth", &error))),
        ("route53", records.err().map(|error| call_error("ListResourceRecordSets", &error))),
        ("query", query.err()),
    ]
}

async fn ask_metadata(url: &str) -> Option<String> {
    let client = crate::aws::identity::client().endpoint(url).expect("an address is an endpoint");
    client.build().get("/latest/meta-data/instance-id").await.err().map(|error| crate::text::chain(&error))
}

#[tokio::test]
async fn an_answer_without_end_is_given_up_at_the_bound_and_the_cause_is_told() {
    let flood = Flood::of_chunks().await;
    let told = format!("{} answered more than {LARGEST_ANSWER} bytes, {FOREIGN}", flood.address());
    for (client, error) in outcomes(&flood.url()).await {
        let error = error.expect("it is no answer");
        assert_eq!((error.class, error.message.as_str()), (Class::Retry, told.as_str()), "{client}");
        assert!(help(&error).contains("AWS_ENDPOINT_URL"), "{}", help(&error));
    }
    assert_eq!(flood.requests(), 3, "asking again at once would only make it worse");
    assert!(flood.sent() < 3 * ON_ITS_WAY, "{} bytes were taken", flood.sent());

    let flood = Flood::of_chunks().await;
    let error = ask_metadata(&flood.url()).await.expect("it is no answer");
    assert!(error.contains("answered more than"), "{error}");
    assert!(flood.sent() < ON_ITS_WAY, "{} bytes were taken", flood.sent());
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let field = format!("a: {}\r\n", "x".repeat(4_000));
    let flood = Flood::start("HTTP/1.1 200 OK\r\n", &field, Duration::ZERO).await;
    for (client, error) in outcomes(&flood.url()).await {
        assert_eq!(error.expect("it is no answer").class, Class::Retry, "{client}");
    }
    assert!(ask_metadata(&flood.url()).await.is_some());
    assert!(flood.sent() < 3 * ON_ITS_WAY, "{} bytes were taken", flood.sent());
}

#[tokio::test(start_paused = true)]
async fn what_comes_drop_by_drop_has_the_time_of_one_answer() {
    for (head, piece) in [(CHUNKED, "1\r\nx\r\n"), ("", "HTTP/1.1 100 Continue\r\n\r\n")] {
        let flood = Flood::start(head, piece, Duration::from_millis(100)).await;
        let sdk = sdk(flood.url()).await;
        let begun = Instant::now();
        let outcome = QueryClient::new(&sdk, Service::Ec2).call_once("ChangeThings", &[]).await;
        let error = outcome.expect_err("it is no answer");
        assert_eq!(error.class, Class::Retry, "{error}");
        assert!(begun.elapsed() <= READ_TIMEOUT + Duration::from_millis(100), "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert!(ask_metadata(&flood.url()).await.is_some());
        assert!(begun.elapsed() <= Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn markup_that_a_parser_would_not_end_with_reaches_none() {
    let attributes: Vec<_> = (0..10_000).map(|n| format!(" a{n}=\"\"")).collect();
    let answer = format!("<a{}/>", attributes.concat());
    let endpoint = Endpoint::start(move |_| Reply::ok(answer.clone())).await;
    for (client, error) in outcomes(&endpoint.url()).await {
        let error = error.expect("it is no answer");
        assert_eq!(error.class, Class::Retry, "{client}");
        assert!(error.message.contains("answered with more than 100 attributes"), "{client}: {error}");
    }
    assert_eq!(endpoint.take().len(), 3);
}

#[tokio::test]
async fn of_a_refusal_with_such_markup_the_status_is_told() {
    let page = format!("<!DOCTYPE html><html>{}</html>", "<p a='b'>x</p>".repeat(200));
    let endpoint = Endpoint::start(move |_| Reply::Answer { status: 403, body: page.clone() }).await;
    for (client, error) in outcomes(&endpoint.url()).await {
        let error = error.expect("it is refused");
        assert_eq!(error.class, Class::Stop, "{client}: {error}");
        assert!(error.message.starts_with("HTTP status 403 without an error code"), "{client}: {error}");
    }
}
