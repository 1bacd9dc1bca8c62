//! One HTTP GET over a connection of its own, as load balancers check: bounded in time and size.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest answer that is read: a status document with a full history is far below.
const LONGEST_ANSWER: u64 = 1 << 20;
const MOST_HEADERS: usize = 32;

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status code.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// Asks `address` for `path`, and has the whole answer within `limit` or an error.
pub(crate) async fn get(address: SocketAddr, path: &str, limit: Duration) -> io::Result<Answer> {
    timeout(limit, exchange(address, path)).await.map_err(|_elapsed| io::ErrorKind::TimedOut)?
}

async fn exchange(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: mirrorvip-demo\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(512);
    let mut connection = connection.take(LONGEST_ANSWER);
    loop {
        if let Some(answer) = parse(&bytes, false)? {
            return Ok(answer);
        }
        if connection.read_buf(&mut bytes).await? == 0 {
            let cut_off = io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut off");
            return parse(&bytes, true)?.ok_or(cut_off);
        }
    }
}

/// The answer in `bytes`, when it is whole; without a length it is whole at the `end` of the connection.
fn parse(bytes: &[u8], end: bool) -> io::Result<Option<Answer>> {
    let malformed = |error: httparse::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(malformed)? else {
        return Ok(None);
    };
    let status = response.code.expect("a complete head has a status");
    let body = &bytes[head..];
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let Some(length) = length else {
        return Ok(end.then(|| Answer { status, body: body.to_vec() }));
    };
    let length = std::str::from_utf8(length.value).ok().and_then(|text| text.trim().parse::<usize>().ok());
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a length that is none"))?;
    Ok(body.get(..length).map(|body| Answer { status, body: body.to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nFAILED";
        let answer = Answer { status: 503, body: b"FAILED".to_vec() };
        assert_eq!(parse(whole, false).expect("well-formed"), Some(answer));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length], false).expect("well-formed"), None);
        }
        let unsized_answer = b"HTTP/1.0 200 OK\r\n\r\nSUCC";
        assert_eq!(parse(unsized_answer, false).expect("well-formed"), None);
        let body = parse(unsized_answer, true).expect("well-formed").map(|answer| answer.body);
        assert_eq!(body.as_deref(), Some(&b"SUCC"[..]));
        assert!(parse(b"SSH-2.0-OpenSSH\r\n", false).is_err());
    }
}
