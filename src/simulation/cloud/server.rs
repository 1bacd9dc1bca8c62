//! HTTP on loopback: accepts connections, reads whole requests, passes them to a [`Serve`], and applies faults to the
//! connection.
//!
//! As with a real service, a request that has been read is carried out even if the client hangs up.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::api::{self, Rendered, Request};
use super::fault::Effect;
use super::state::Shared;

/// Longest body that is read.
const LONGEST_BODY: usize = 1 << 20;
/// The size limit of an endless answer, so that it cannot use up a client's memory.
const LONGEST_FLOOD: usize = 1 << 28;
/// One piece of it.
const PIECE: &[u8] = &[b'x'; 1 << 14];
/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a request waits at most for another change.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often it checks for one.
const PAUSE: Duration = Duration::from_millis(2);

/// How a request ends.
pub(super) enum Reply {
    Answer(Rendered),
    /// The answer, and nothing more on this connection: it stays open and silent.
    LastAnswer(Rendered),
    /// The head of the answer and a part of the body, then the connection is reset.
    CutOff(Rendered),
    /// An answer without end.
    Endless,
    /// No answer; the connection is reset.
    Reset,
    /// No answer; the connection stays open.
    Never,
}

/// Something that answers requests.
pub(super) trait Serve: Send + Sync + 'static {
    /// Answers one request; runs to its end even if the client hangs up.
    fn serve(&self, head: Parts, body: Bytes) -> impl Future<Output = Reply> + Send;
}

/// The APIs: one port for all services.
pub(super) struct Api(pub(super) Arc<Shared>);

/// What the tasks of one connection share.
#[derive(Default)]
struct Fate {
    /// No further request is answered.
    silent: AtomicBool,
    /// The connection is reset at its end.
    reset: AtomicBool,
}

/// An endless body, up to [`LONGEST_FLOOD`].
struct Flood {
    left: usize,
}

/// A body that breaks off.
struct Torn {
    whole_length: u64,
    part: Option<Bytes>,
    pauses: u8,
}

/// The body of an answer.
type Answer = Either<Full<Bytes>, Either<Torn, Flood>>;

#[derive(Debug, thiserror::Error)]
#[error("broken off, as a fault asks for")]
struct BrokenOff;

/// Accepts connections for as long as the runtime lives.
pub(super) async fn accept<S: Serve>(listener: TcpListener, server: Arc<S>, tasks: TaskTracker) {
    loop {
        match listener.accept().await {
            Ok((stream, _client)) => {
                tasks.spawn(connection(stream, Arc::clone(&server), tasks.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the simulated cloud failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<S: Serve>(stream: TcpStream, server: Arc<S>, tasks: TaskTracker) {
    let fate = Arc::new(Fate::default());
    let service = service_fn(|request: HttpRequest<Incoming>| {
        Box::pin(exchange(request, Arc::clone(&server), Arc::clone(&fate), tasks.clone()))
    });
    let mut connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    // An error means that the client hung up, or is the effect of a fault.
    let _ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if fate.reset.load(Ordering::Relaxed) {
        // Closing a socket with zero linger time resets the connection.
        let _best_effort: io::Result<()> = stream.set_zero_linger();
    }
}

async fn exchange<S: Serve>(
    request: HttpRequest<Incoming>,
    server: Arc<S>,
    fate: Arc<Fate>,
    tasks: TaskTracker,
) -> Result<Response<Answer>, BrokenOff> {
    if fate.silent.load(Ordering::Relaxed) {
        return never().await;
    }
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(|_cut_off| BrokenOff)?.to_bytes();
    let reply = tasks.spawn(async move { server.serve(head, body).await });
    match reply.await {
        Ok(Reply::Answer(rendered)) => Ok(response(rendered, |body| Either::Left(Full::new(body)))),
        Ok(Reply::LastAnswer(rendered)) => {
            fate.silent.store(true, Ordering::Relaxed);
            Ok(response(rendered, |body| Either::Left(Full::new(body))))
        }
        Ok(Reply::CutOff(rendered)) => {
            fate.reset.store(true, Ordering::Relaxed);
            Ok(response(rendered, |body| Either::Right(Either::Left(Torn::new(&body)))))
        }
        Ok(Reply::Endless) => {
            let flood = Flood { left: LONGEST_FLOOD };
            Ok(response(page(200, ""), |_empty| Either::Right(Either::Right(flood))))
        }
        Ok(Reply::Reset) => {
            fate.reset.store(true, Ordering::Relaxed);
            Err(BrokenOff)
        }
        Ok(Reply::Never) => never().await,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Waits until the client hangs up, which drops this.
async fn never<T>() -> T {
    match pending::<Infallible>().await {}
}

fn response<B>(rendered: Rendered, body: impl FnOnce(Bytes) -> B) -> Response<B> {
    let mut response =
        Response::builder().status(rendered.status).header("content-type", rendered.content_type);
    for (name, value) in rendered.headers {
        response = response.header(name, value);
    }
    response.body(body(rendered.body.into())).expect("statuses and headers of our own are valid")
}

// === impl Api ===

impl Serve for Api {
    async fn serve(&self, head: Parts, body: Bytes) -> Reply {
        let request = match Request::read(&head, &body) {
            Ok(request) => request,
            Err(error) => return Reply::Answer(api::render_unread("unread", &error)),
        };
        let arrived = self.0.arrive(request);
        if arrived.effect == Some(Effect::Overtaken) {
            let changes = || self.0.lock().journal.count();
            let (before, deadline) = (changes(), tokio::time::Instant::now() + LONGEST_WAIT);
            while changes() == before && tokio::time::Instant::now() < deadline {
                sleep(PAUSE).await;
            }
        }
        let carry_out = || match (arrived.effect, self.0.carry_out(&arrived)) {
            // A proxy in front of the service answers with a page that has no code of the service.
            (Some(Effect::ServerError(502 | 504)), answer) => page(answer.status, "<h1>Server Error</h1>"),
            (_, answer) => answer,
        };
        reply(arrived.effect, carry_out).await
    }
}

/// How a request ends that `effect` hits; `carry_out` answers it, or refuses where the effect is an error.
pub(super) async fn reply(effect: Option<Effect>, carry_out: impl FnOnce() -> Rendered + Send) -> Reply {
    match effect {
        Some(Effect::Hang) => Reply::Never,
        Some(Effect::HangAfter) => {
            carry_out();
            Reply::Never
        }
        Some(Effect::Reset) => Reply::Reset,
        Some(Effect::CutOff) => Reply::CutOff(carry_out()),
        Some(Effect::DeadKeepAlive) => Reply::LastAnswer(carry_out()),
        Some(Effect::Endless) => Reply::Endless,
        Some(Effect::Attributes) => Reply::Answer(attributes()),
        Some(Effect::Delay(by)) => {
            sleep(by).await;
            Reply::Answer(carry_out())
        }
        Some(Effect::SlowAnswer(by)) => {
            let answer = carry_out();
            sleep(by).await;
            Reply::Answer(answer)
        }
        _ => Reply::Answer(carry_out()),
    }
}

/// Keeps a parser busy for half a minute that compares each attribute with every other one.
fn attributes() -> Rendered {
    let attributes: Vec<_> = (0..100_000).map(|number| format!(" a{number:x}=\"\"")).collect();
    page(200, &format!("<a{}/>", attributes.concat()))
}

/// A page for people.
pub(super) fn page(status: u16, body: &str) -> Rendered {
    Rendered { status, content_type: "text/html", headers: Vec::new(), body: body.as_bytes().to_vec() }
}

// === impl Flood ===

impl Body for Flood {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(left) = self.left.checked_sub(PIECE.len()) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }
}

// === impl Torn ===

impl Torn {
    fn new(whole: &Bytes) -> Self {
        Self { whole_length: whole.len() as u64, part: Some(whole.slice(..whole.len() / 2)), pauses: 2 }
    }
}

impl Body for Torn {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(part) = self.part.take() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        if self.pauses > 0 {
            // hyper flushes what was written while the body is not ready.
            self.pauses -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(BrokenOff)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.whole_length)
    }
}
