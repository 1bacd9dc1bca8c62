//! Endless answers and answers with excessive markup: what each client makes of them.

use std::time::Duration;

use aws_config::SdkConfig;
use tokio::time::Instant;

use super::*;
use crate::flood::{CHUNKED, Flood};
use crate::provider::aws::query::QueryClient;
use crate::provider::aws::rest::RestClient;
use crate::provider::aws::wire::{self, Endpoint, Reply};
use crate::provider::aws::{route, route53};
use crate::provider::help::help;
use crate::steer::{CallError, Class};

/// What may be on its way in the buffers of two sockets, and in the reader's.
const ON_ITS_WAY: usize = 16 * 1024 * 1024;

async fn sdk(url: String) -> SdkConfig {
    wire::point(crate::provider::aws::sdk_config("eu-west-1").await, &url)
}

/// The error of each kind of client with the endpoint `url`.
async fn outcomes(url: &str) -> Vec<(&'static str, Option<CallError>)> {
    let sdk = sdk(url.to_owned()).await;
    let rest = RestClient::new(&sdk, route53::SERVICE).get("ListThings", &["things"], &[]).await;
    let query = QueryClient::new(&sdk, route::SERVICE).call("DescribeThings", &[]).await;
    vec![("rest", rest.err()), ("query", query.err())]
}

async fn ask_metadata(url: &str) -> Option<String> {
    let client = crate::provider::aws::identity::client().endpoint(url).expect("an address is an endpoint");
    client.build().get("/latest/meta-data/instance-id").await.err().map(|error| crate::text::chain(&error))
}

#[tokio::test]
async fn an_endless_answer_ends_at_the_bound() {
    let flood = Flood::of_chunks().await;
    let expected = format!("{} answered more than {LARGEST_ANSWER} bytes, {FOREIGN}", flood.address());
    for (client, error) in outcomes(&flood.url()).await {
        let error = error.expect("it is no answer");
        assert_eq!((error.class, error.message.as_str()), (Class::Retry, expected.as_str()), "{client}");
        assert!(help(&error).contains("AWS_ENDPOINT_URL"), "{}", help(&error));
    }
    assert_eq!(flood.requests(), 2, "asking again at once would only make it worse");
    assert!(flood.sent() < 2 * ON_ITS_WAY, "{} bytes were taken", flood.sent());

    let flood = Flood::of_chunks().await;
    let error = ask_metadata(&flood.url()).await.expect("it is no answer");
    assert!(error.contains("answered more than"), "{error}");
    assert!(flood.sent() < ON_ITS_WAY, "{} bytes were taken", flood.sent());
}

#[tokio::test]
async fn an_endless_head_ends_at_the_bound() {
    let field = format!("a: {}\r\n", "x".repeat(4_000));
    let flood = Flood::start("HTTP/1.1 200 OK\r\n", &field, Duration::ZERO).await;
    for (client, error) in outcomes(&flood.url()).await {
        assert_eq!(error.expect("it is no answer").class, Class::Retry, "{client}");
    }
    assert!(ask_metadata(&flood.url()).await.is_some());
    assert!(flood.sent() < 2 * ON_ITS_WAY, "{} bytes were taken", flood.sent());
}

#[tokio::test(start_paused = true)]
async fn a_dripping_answer_has_the_time_of_one_answer() {
    for (head, piece) in [(CHUNKED, "1\r\nx\r\n"), ("", "HTTP/1.1 100 Continue\r\n\r\n")] {
        let flood = Flood::start(head, piece, Duration::from_millis(100)).await;
        let sdk = sdk(flood.url()).await;
        let begun = Instant::now();
        let outcome = QueryClient::new(&sdk, route::SERVICE).call_once("ChangeThings", &[]).await;
        let error = outcome.expect_err("it is no answer");
        assert_eq!(error.class, Class::Retry, "{error}");
        assert!(begun.elapsed() <= READ_TIMEOUT + Duration::from_millis(100), "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert!(ask_metadata(&flood.url()).await.is_some());
        assert!(begun.elapsed() <= Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn excessive_markup_reaches_no_parser() {
    let attributes: Vec<_> = (0..10_000).map(|n| format!(" a{n}=\"\"")).collect();
    let answer = format!("<a{}/>", attributes.concat());
    let endpoint = Endpoint::start(move |_| Reply::ok(answer.clone())).await;
    for (client, error) in outcomes(&endpoint.url()).await {
        let error = error.expect("it is no answer");
        assert_eq!(error.class, Class::Retry, "{client}");
        assert!(error.message.contains("answered with more than 100 attributes"), "{client}: {error}");
    }
    assert_eq!(endpoint.take().len(), 2);
}

#[tokio::test]
async fn a_refusal_with_excessive_markup_keeps_its_status() {
    let page = format!("<!DOCTYPE html><html>{}</html>", "<p a='b'>x</p>".repeat(200));
    let endpoint = Endpoint::start(move |_| Reply::Answer { status: 403, body: page.clone() }).await;
    for (client, error) in outcomes(&endpoint.url()).await {
        let error = error.expect("it is refused");
        assert_eq!(error.class, Class::Stop, "{client}: {error}");
        assert!(error.message.starts_with("HTTP status 403 without an error code"), "{client}: {error}");
    }
}
