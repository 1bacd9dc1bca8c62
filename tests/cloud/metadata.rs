//! The simulated instance metadata service, asked with the client that the daemon uses and without a token.

use aws_config::imds;
use aws_config::provider_config::ProviderConfig;

use super::harness::fast_cloud;

#[tokio::test]
async fn instance_metadata_needs_a_token() {
    let cloud = fast_cloud();
    let endpoint = format!("http://{}", cloud.imds("b"));
    let http = aws_smithy_http_client::Builder::new().build_http();
    let provider = ProviderConfig::without_region().with_http_client(http);
    let client =
        imds::Client::builder().configure(&provider).endpoint(endpoint).expect("it is an address").build();
    let mut answers = Vec::new();
    for path in ["instance-id", "local-ipv4", "placement/region"] {
        let value = client.get(format!("/latest/meta-data/{path}")).await.expect("the service answers");
        answers.push(value.as_ref().to_owned());
    }
    let b = &cloud.settings().members[1];
    assert_eq!(answers, [b.instance_id.clone(), b.address.to_string(), "eu-west-1".to_owned()]);
    // Without a token every question is refused, and a token needs a lifetime.
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
