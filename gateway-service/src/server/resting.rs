//! Connections that rest: a client that says nothing costs its socket and little more.
//!
//! The server below sets two buffers of 8 KiB aside for every connection and keeps them until it ends. So
//! it is given a connection when the first bytes of a request are there, is told that it has ended when
//! the client has been silent for a while after an answer, and is given it again when there is more.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_service::{Service, ServiceFactory, fn_factory, fn_service};
use actix_tls::accept::rustls_0_23::TlsStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::crowd::Crowd;
use super::goaway::Goaway;
use crate::edge::streams::Streams;
use crate::edge::turns::{LOOK_INTERVAL, Rests, Turns};

/// Most bytes that are read before the server has the connection.
const FIRST_BYTES: usize = 1024;

/// Longest wait for the goodbye to a client that is sent away.
const GOODBYE: Duration = Duration::from_secs(1);

/// Longest wait for the first request of a client that connected just before a stop: it is on its way, and
/// the client took the gateway for one that serves.
pub(super) const NEWCOMER: Duration = Duration::from_secs(1);

/// How long clients may do nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Before the first request.
    pub(super) first: Duration,
    /// Between two requests.
    pub(super) next: Duration,
    /// While something waits to be taken by them.
    pub(super) taking: Duration,
    /// Streams of one connection of HTTP/2.
    pub(super) max_streams: usize,
}

/// A connection that somebody else uses for a while. It ends when the client takes nothing for too long:
/// what is written for it holds a connection to a service, and a place there.
pub(super) struct Lent<T> {
    stream: Rc<RefCell<T>>,
    taking: Duration,
    /// Until when it must take something, while it does not.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What ends it at a stop, if the server does not do that by itself. In a box: most have none.
    goaway: Option<Box<Goaway>>,
    /// Those of HTTP/2.
    streams: Option<Rc<Streams>>,
}

/// A connection that may have been opened for a name.
pub(super) trait Named {
    /// The name.
    fn server_name(&self) -> Option<&str>;
}

impl Named for TcpStream {
    fn server_name(&self) -> Option<&str> {
        None
    }
}

impl Named for TlsStream<TcpStream> {
    fn server_name(&self) -> Option<&str> {
        let (_socket, session) = self.get_ref();
        session.server_name()
    }
}

/// A connection, what is spoken on it, and whose it is.
pub(super) type Accepted<T> = (T, Protocol, Option<SocketAddr>);

/// Serves connections by `http` that have a place in the crowd, as long as they don't rest. Where they do,
/// they end when `patience` is over, when the client goes, or when `stopping` makes a future that is ready.
pub(super) fn resting<T, F, Stop>(
    http: F,
    patience: Patience,
    crowd: Rc<Crowd>,
    stopping: impl Fn() -> Stop + Clone + 'static,
) -> impl ServiceFactory<Accepted<T>, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    F: ServiceFactory<
            Accepted<Turns<Lent<T>>>,
            Config = (),
            Response = (),
            Error = DispatchError,
            InitError = (),
        >,
    F::Service: 'static,
    F::Future: 'static,
    Stop: Future<Output = ()> + 'static,
{
    fn_factory(move || {
        let (http, stopping) = (http.new_service(()), stopping.clone());
        let crowd = Rc::clone(&crowd);
        async move {
            let http = Rc::new(http.await?);
            Ok(fn_service(move |accepted: Accepted<T>| {
                let (http, stopping) = (Rc::clone(&http), stopping.clone());
                let place = crowd.enter(accepted.2);
                async move {
                    let Ok(_place) = place else {
                        metrics::counter!("gateway_refused_connections_total").increment(1);
                        return Ok(());
                    };
                    serve(&*http, accepted, patience, stopping).await
                }
            }))
        }
    })
}

async fn serve<T, Stop>(
    http: &impl Service<Accepted<Turns<Lent<T>>>, Response = (), Error = DispatchError>,
    (mut stream, protocol, peer): Accepted<T>,
    patience: Patience,
    stopping: impl Fn() -> Stop,
) -> Result<(), DispatchError>
where
    T: AsyncRead + AsyncWrite + Unpin,
    Stop: Future<Output = ()> + 'static,
{
    if protocol == Protocol::Http2 {
        // In a box: the many that rest should not carry the room for it.
        return Box::pin(serve_http2(http, (stream, peer), patience, stopping())).await;
    }
    let mut wait = patience.first;
    let mut expected_until = Instant::now() + NEWCOMER;
    loop {
        let stopped = async {
            stopping().await;
            // In a box, which is not there before.
            Box::pin(sleep_until(expected_until)).await;
        };
        let begun = tokio::select! {
            biased;
            begun = timeout(wait, first_bytes(&mut stream)) => begun,
            () = stopped => Ok(None),
        };
        let Ok(Some(begun)) = begun else {
            // Nobody has anything to answer.
            let _best_effort = timeout(GOODBYE, stream.shutdown()).await;
            return Ok(());
        };
        let rests = Rests::default();
        let (lent, ours) = Lent::new(stream, patience.taking);
        let turns = Turns::new(lent, begun, Rc::clone(&rests));
        // In a box, which is there no longer than what it holds.
        Box::pin(http.call((turns, protocol, peer))).await?;
        stream = match Rc::try_unwrap(ours) {
            Ok(back) if rests.get() => back.into_inner(),
            _ => return Ok(()),
        };
        wait = patience.next.saturating_sub(LOOK_INTERVAL);
        expected_until = Instant::now();
    }
}

/// Until the client or a stop ends it, or it leaves too many answers untaken.
async fn serve_http2<T: AsyncRead + AsyncWrite + Unpin>(
    http: &impl Service<Accepted<Turns<Lent<T>>>, Response = (), Error = DispatchError>,
    (stream, peer): (T, Option<SocketAddr>),
    patience: Patience,
    stopping: impl Future<Output = ()> + 'static,
) -> Result<(), DispatchError> {
    let (mut lent, _ours) = Lent::new(stream, patience.taking);
    lent.goaway = Some(Box::new(Goaway::new(stopping)));
    let streams = Streams::new(patience.max_streams);
    lent.streams = Some(Rc::clone(&streams));
    tokio::select! {
        served = http.call((Turns::untouched(lent), Protocol::Http2, peer)) => served,
        () = streams.overrun() => {
            metrics::counter!("gateway_overrun_connections_total").increment(1);
            Ok(())
        }
    }
}

/// What a client says when it begins; `None` when it has gone.
async fn first_bytes<T: AsyncRead + Unpin>(stream: &mut T) -> Option<Vec<u8>> {
    let read = poll_fn(|cx| {
        // Not kept while nothing comes.
        let mut bytes = [0; FIRST_BYTES];
        let mut bytes = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut bytes))?;
        Poll::Ready(io::Result::Ok(bytes.filled().to_vec()))
    });
    read.await.ok().filter(|bytes| !bytes.is_empty())
}

impl<T: Named> Lent<T> {
    /// The name for which the connection was opened, if for any.
    pub(super) fn server_name(&self) -> Option<String> {
        self.stream.borrow().server_name().map(str::to_owned)
    }
}

impl<T> Lent<T> {
    /// To be given away, and to be kept.
    fn new(stream: T, taking: Duration) -> (Self, Rc<RefCell<T>>) {
        let ours = Rc::new(RefCell::new(stream));
        let lent = Self {
            stream: Rc::clone(&ours),
            taking,
            stalled: None,
            goaway: None,
            streams: None,
        };
        (lent, ours)
    }

    /// The streams of HTTP/2.
    pub(super) const fn streams(&self) -> Option<&Rc<Streams>> {
        self.streams.as_ref()
    }

    /// What came of writing, or that it has waited for too long.
    fn judge(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(self.taking)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lent<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut stream = this.stream.borrow_mut();
        let Some(goaway) = &mut this.goaway else {
            return Pin::new(&mut *stream).poll_read(cx, buffer);
        };
        if !goaway.speaks() {
            let before = buffer.filled().len();
            let read = Pin::new(&mut *stream).poll_read(cx, buffer);
            if read.is_ready() {
                goaway.see(buffer.filled().get(before..).unwrap_or_default());
                return read;
            }
        }
        goaway.poll_read(cx, buffer).map(Ok)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Lent<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, parts);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use actix_http::HttpService;
    use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, map_config};
    use actix_web::dev::AppConfig;
    use actix_web::{App, HttpRequest, web};
    use futures_util::poll;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio::task::LocalSet;

    use super::*;
    use crate::edge::peers::TrustedPeers;
    use crate::edge::turns::Turn;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const BODY: &str = "hello ";
    const PATIENCE: Patience = Patience {
        first: Duration::from_secs(5),
        next: Duration::from_secs(60),
        taking: Duration::from_secs(20),
        max_streams: 100,
    };

    async fn hello(request: HttpRequest) -> String {
        let _until_answered = Turn::of(&request);
        BODY.repeat(100)
    }

    /// Serves one end of a connection while `client` has the other one; says how often the server was
    /// given it.
    async fn served<C: Future<Output = ()>, Stop: Future<Output = ()> + 'static>(
        stopping: impl Fn() -> Stop,
        client: impl FnOnce(DuplexStream) -> C,
    ) -> u32 {
        // The server has a clock of its own, which is a task.
        LocalSet::new()
            .run_until(async {
                let app = App::new().default_service(web::to(hello));
                let app = map_config(app.into_factory(), |()| AppConfig::default());
                let http = HttpService::build()
                    .keep_alive(PATIENCE.next)
                    .client_request_timeout(PATIENCE.first)
                    .h1_allow_half_closed(false)
                    .on_connect_ext(|stream: &Turns<Lent<DuplexStream>>, data| stream.begin(data))
                    .finish(app.map_err(|error| error.error_response()));
                let http = http.new_service(()).await.unwrap();
                let given = Cell::new(0);
                let counted = fn_service(|accepted| {
                    given.set(given.get() + 1);
                    http.call(accepted)
                });
                let counted = counted.new_service(()).await.unwrap();
                // What is not read by the client waits with the server.
                let (theirs, ours) = duplex(64);
                let accepted = (ours, Protocol::Http1, None);
                let serving = serve(&counted, accepted, PATIENCE, stopping);
                let (served, ()) = tokio::join!(serving, client(theirs));
                // Who takes nothing is an error of the connection.
                let cut_off = |error: &DispatchError| {
                    matches!(error, DispatchError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
                };
                assert!(served.as_ref().err().is_none_or(cut_off), "{served:?}");
                given.get()
            })
            .await
    }

    async fn answer(client: &mut DuplexStream) {
        let mut answer = Vec::new();
        let is_whole = |answer: &[u8]| {
            let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
            head.is_some_and(|end| answer.len() == end + 4 + BODY.len() * 100)
        };
        while !is_whole(&answer) {
            let room = &mut [0];
            assert_eq!(client.read(room).await.unwrap(), 1, "no whole answer");
            answer.push(room[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    async fn ask(client: &mut DuplexStream) {
        client.write_all(REQUEST).await.unwrap();
        answer(client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_at_the_moment_of_rest_gets_its_answer() {
        for around in [LOOK_INTERVAL, 2 * LOOK_INTERVAL, 3 * LOOK_INTERVAL] {
            for micros in (0..8_000).step_by(250) {
                let silence = around + Duration::from_micros(micros) - Duration::from_millis(4);
                let given = served(pending, |mut client| async move {
                    ask(&mut client).await;
                    sleep(silence).await;
                    ask(&mut client).await;
                });
                let given = given.await;
                assert!(matches!(given, 1 | 2), "{silence:?}");
                assert!(silence > LOOK_INTERVAL || given == 1, "{silence:?}");
                assert!(silence < 2 * LOOK_INTERVAL + Duration::from_millis(3) || given == 2);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_does_not_rest() {
        let given = served(pending, |mut client| async move {
            ask(&mut client).await;
            for _ in 0..3 {
                let (half, rest) = REQUEST.split_at(20);
                client.write_all(half).await.unwrap();
                sleep(10 * LOOK_INTERVAL).await;
                client.write_all(rest).await.unwrap();
                // Not all of the answer can be written meanwhile.
                sleep(10 * LOOK_INTERVAL).await;
                answer(&mut client).await;
            }
        });
        assert_eq!(given.await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_ahead_is_answered_and_then_it_rests() {
        let given = served(pending, |mut client| async move {
            for _ in 0..3 {
                client.write_all(&REQUEST.repeat(2)).await.unwrap();
                answer(&mut client).await;
                answer(&mut client).await;
                sleep(5 * LOOK_INTERVAL).await;
            }
        });
        assert_eq!(given.await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_for_too_long_is_sent_away() {
        let given = served(pending, |mut client| async move {
            let begin = Instant::now();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            assert_eq!(begin.elapsed(), PATIENCE.first);
        });
        assert_eq!(given.await, 0);
        let given = served(pending, |mut client| async move {
            ask(&mut client).await;
            let begin = Instant::now();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            let waited = begin.elapsed();
            assert!(waited >= PATIENCE.next && waited < PATIENCE.next + 2 * LOOK_INTERVAL);
        });
        assert_eq!(given.await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_too_long_is_cut_off() {
        let given = served(pending, |mut client| async move {
            // The answer does not fit into what lies between.
            client.write_all(REQUEST).await.unwrap();
            for _ in 0..3 {
                sleep(PATIENCE.taking * 9 / 10).await;
                client.read_exact(&mut [0; 20]).await.unwrap();
            }
            sleep(PATIENCE.taking * 11 / 10).await;
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            assert!(rest.len() < BODY.len() * 100, "{}", rest.len());
        });
        assert_eq!(given.await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_too_many_connections_is_sent_away() {
        let http = fn_service(|_lent: Accepted<Turns<Lent<DuplexStream>>>| async { Ok(()) });
        let crowd = Crowd::new(1, TrustedPeers::try_new(&[]).unwrap());
        let service = resting(http, PATIENCE, crowd, pending);
        let service = service.new_service(()).await.unwrap();
        let connect = |address: &str| {
            let (theirs, ours) = duplex(64);
            let peer = SocketAddr::new(address.parse().unwrap(), 4711);
            let serving = service.call((ours, Protocol::Http1, Some(peer)));
            (theirs, Box::pin(serving))
        };
        let (_first, serving) = connect("192.0.2.1");
        let (mut second, refused) = connect("192.0.2.1");
        let begin = Instant::now();
        refused.await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO, "it was waited for");
        assert_eq!(second.read(&mut [0]).await.unwrap(), 0);
        let (_other, mut others) = connect("192.0.2.2");
        assert!(poll!(others.as_mut()).is_pending());
        drop(serving);
        let (_third, mut serving) = connect("192.0.2.1");
        assert!(poll!(serving.as_mut()).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_just_before_a_stop_is_answered() {
        let stopping = || std::future::ready(());
        let given = served(stopping, |mut client| async move {
            sleep(NEWCOMER * 9 / 10).await;
            ask(&mut client).await;
            let begin = Instant::now();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            assert!(begin.elapsed() < NEWCOMER, "it was waited for twice");
        });
        assert_eq!(given.await, 1);
        let given = served(stopping, |mut client| async move {
            let begin = Instant::now();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            assert!(begin.elapsed() < NEWCOMER + LOOK_INTERVAL);
        });
        assert_eq!(given.await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_what_rests() {
        let begin = Instant::now();
        let stop = Duration::from_secs(10);
        let stopping = move || tokio::time::sleep_until(begin + stop);
        let given = served(stopping, |mut client| async move {
            ask(&mut client).await;
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        });
        assert_eq!(given.await, 1);
        assert!(begin.elapsed() < stop + LOOK_INTERVAL);
    }
}
