//! The load balancer against stand-in pages and servers, over real sockets.

use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::demo::report::{self, Report};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn opinions_change_after_the_threshold_only() {
    let play = |checks: &str| -> String {
        let mut opinion = Opinion::default();
        let changes = checks.chars().map(|check| opinion.record(check == '+', 2));
        changes.map(|changed| if changed { 'x' } else { '.' }).collect()
    };
    assert_eq!(play("+++-+--+-++"), ".x....x...x");
    assert_eq!(play("-----"), ".....", "unhealthy is how a target begins");
    assert_eq!(play("+-+-+-"), "......");
    let mut eager = Opinion::default();
    assert!(eager.record(true, 1) && eager.record(false, 1));
}

/// Two members, each a page whose status can be set and a server that says its name and waits for the end.
struct Scene {
    pages: [Arc<AtomicU16>; 2],
    balancer: SocketAddr,
    reports: mpsc::Receiver<Report>,
    _tasks: JoinSet<()>,
}

const SILENT: u16 = 0;

impl Scene {
    async fn new(statuses: [u16; 2]) -> Self {
        let mut tasks = JoinSet::new();
        let pages = statuses.map(|status| Arc::new(AtomicU16::new(status)));
        let mut targets = Vec::new();
        for (member, status) in [MemberId::A, MemberId::B].into_iter().zip(&pages) {
            let (page, server) = (listen().await, listen().await);
            targets.push(Target {
                member,
                page: page.local_addr().expect("it is bound"),
                server: server.local_addr().expect("it is bound"),
            });
            tasks.spawn(serve_page(page, status.clone()));
            tasks.spawn(serve_name(server, member));
        }
        let settings = Settings {
            interval: Duration::from_millis(20),
            timeout: Duration::from_millis(200),
            threshold: 2,
            path: "/page",
        };
        let listener = listen().await;
        let balancer = listener.local_addr().expect("it is bound");
        let (reporter, reports) = report::channel(tokio::time::Instant::now());
        start(settings, &targets, listener, &reporter, &mut tasks);
        Self { pages, balancer, reports, _tasks: tasks }
    }

    fn set_page(&self, member: MemberId, status: u16) {
        self.pages[member.index()].store(status, Ordering::SeqCst);
    }

    /// The next report in a few words.
    async fn next(&mut self) -> String {
        let report = timeout(LIMIT, self.reports.recv()).await.expect("in time").expect("it goes on");
        match report.observed {
            Observed::Target { member, healthy } => format!("{member} {healthy}"),
            other => format!("{other:?}"),
        }
    }

    async fn connect(&self) -> (TcpStream, String) {
        let mut connection = TcpStream::connect(self.balancer).await.expect("it listens");
        let mut name = [0; 1];
        timeout(LIMIT, connection.read_exact(&mut name)).await.expect("in time").expect("a name");
        (connection, String::from_utf8_lossy(&name).into_owned())
    }

    async fn names(&self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.connect().await.1);
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has free ports")
}

async fn serve_page(listener: TcpListener, status: Arc<AtomicU16>) {
    let mut silent = Vec::new();
    while let Ok((mut connection, _)) = listener.accept().await {
        let mut request = [0; 1024];
        let length = connection.read(&mut request).await.unwrap_or(0);
        assert!(request[..length].starts_with(b"GET /page HTTP/1.1\r\n"));
        match status.load(Ordering::SeqCst) {
            SILENT => silent.push(connection),
            status => {
                let answer =
                    format!("HTTP/1.1 {status} Word\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                let _gone = connection.write_all(answer.as_bytes()).await;
            }
        }
    }
}

async fn serve_name(listener: TcpListener, member: MemberId) {
    let mut open = JoinSet::new();
    while let Ok((mut connection, _)) = listener.accept().await {
        open.spawn(async move {
            let _gone = connection.write_all(member.name().as_bytes()).await;
            let _end = connection.read(&mut [0; 1]).await;
        });
    }
}

#[tokio::test]
async fn sends_to_the_healthy_target_alone() {
    let mut scene = Scene::new([200, 503]).await;
    assert_eq!(scene.next().await, "A true");
    assert_eq!(scene.names(6).await, ["A"]);
    scene.set_page(MemberId::B, 200);
    assert_eq!(scene.next().await, "B true");
    assert_eq!(scene.names(6).await, ["A", "B"]);
}

#[tokio::test]
async fn only_200_is_healthy() {
    for status in [201, 301, 500, SILENT] {
        let mut scene = Scene::new([status, 200]).await;
        assert_eq!(scene.next().await, "B true");
        scene.set_page(MemberId::A, 200);
        assert_eq!(scene.next().await, "A true");
        scene.set_page(MemberId::A, status);
        assert_eq!(scene.next().await, "A false");
    }
}

#[tokio::test]
async fn fails_open_when_none_is_healthy() {
    let mut scene = Scene::new([200, 503]).await;
    assert_eq!(scene.next().await, "A true");
    scene.set_page(MemberId::A, 503);
    assert_eq!(scene.next().await, "A false");
    assert_eq!(scene.next().await, "FailsOpen");
    assert_eq!(scene.names(6).await, ["A", "B"]);
    scene.set_page(MemberId::B, 200);
    assert_eq!(scene.next().await, "B true");
    assert_eq!(scene.names(6).await, ["B"]);
}

#[tokio::test]
async fn cuts_the_connections_of_a_target_that_becomes_unhealthy() {
    let mut scene = Scene::new([200, 503]).await;
    assert_eq!(scene.next().await, "A true");
    let (mut to_a, name) = scene.connect().await;
    assert_eq!(name, "A");
    scene.set_page(MemberId::B, 200);
    assert_eq!(scene.next().await, "B true");
    let mut to_b = loop {
        let (connection, name) = scene.connect().await;
        if name == "B" {
            break connection;
        }
    };
    scene.set_page(MemberId::A, 503);
    assert_eq!(scene.next().await, "A false");
    let cut = timeout(LIMIT, to_a.read(&mut [0; 1])).await.expect("in time");
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    // The other connection is alive: what the client sends still arrives, and the server closes upon it.
    assert!(to_b.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    to_b.write_all(b"x").await.expect("it is open");
    assert_eq!(timeout(LIMIT, to_b.read(&mut [0; 1])).await.expect("in time").expect("a clean end"), 0);
}

#[tokio::test]
async fn a_connection_made_while_failing_open_is_kept() {
    let mut scene = Scene::new([503, 503]).await;
    let (mut connection, name) = scene.connect().await;
    scene.set_page(if name == "A" { MemberId::B } else { MemberId::A }, 200);
    assert!(scene.next().await.ends_with(" true"));
    assert!(
        connection.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    );
    connection.write_all(b"x").await.expect("it is open");
    let end = timeout(LIMIT, connection.read(&mut [0; 1])).await.expect("in time");
    assert_eq!(end.expect("a clean end"), 0);
}
