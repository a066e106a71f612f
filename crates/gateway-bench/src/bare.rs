//! The least that the gateway's libraries cost: a proxy of actix-web and hyper that does nothing but pass
//! on, without routes, checks, limits, metrics or a log.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::error::{ErrorBadGateway, ErrorInternalServerError};
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Empty;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Sender = SendRequest<Empty<Bytes>>;

/// The connections to one service that nobody uses.
struct Upstream {
    service: SocketAddr,
    idle: RefCell<Vec<Sender>>,
}

/// Passes requests without a body on to `service`, with one worker, until the process is ended.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn serve(port: u16, service: SocketAddr) -> io::Result<()> {
    let app = move || {
        let idle = RefCell::default();
        let upstream = Rc::new(Upstream { service, idle });
        App::new()
            .app_data(upstream)
            .default_service(web::to(pass_on))
    };
    let server = HttpServer::new(app).workers(1);
    server.bind((Ipv4Addr::LOCALHOST, port))?.run().await
}

async fn pass_on(request: HttpRequest) -> actix_web::Result<HttpResponse<Body>> {
    let Some(upstream) = request.app_data::<Rc<Upstream>>() else {
        return Err(ErrorInternalServerError("the worker has no upstream"));
    };
    ask(&request, upstream).await.map_err(ErrorBadGateway)
}

async fn ask(request: &HttpRequest, upstream: &Rc<Upstream>) -> anyhow::Result<HttpResponse<Body>> {
    let idle = upstream.idle.borrow_mut().pop();
    let mut sender = match idle.filter(Sender::is_ready) {
        Some(sender) => sender,
        None => connect(upstream.service).await?,
    };
    let mut asked = Request::new(Empty::new());
    *asked.method_mut() = Method::from_bytes(request.method().as_str().as_bytes())?;
    *asked.uri_mut() = request.uri().to_string().parse()?;
    for (name, value) in request.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes())?;
        let value = HeaderValue::from_bytes(value.as_bytes())?;
        asked.headers_mut().append(name, value);
    }
    if let Some(peer) = request.peer_addr() {
        let client = HeaderValue::from_str(&peer.ip().to_string())?;
        asked.headers_mut().insert("x-forwarded-for", client);
    }
    let (head, incoming) = sender.send_request(asked).await?.into_parts();
    let length = incoming.size_hint().exact();
    let size = length.map_or(BodySize::Stream, BodySize::Sized);
    let body = Body {
        incoming,
        size,
        sender: Some(sender),
        upstream: Rc::clone(upstream),
    };
    let status = StatusCode::from_u16(head.status.as_u16())?;
    let mut answer = HttpResponse::with_body(status, body);
    for (name, value) in &head.headers {
        if ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            let name = actix_web::http::header::HeaderName::from_bytes(name.as_str().as_bytes())?;
            let value = actix_web::http::header::HeaderValue::from_bytes(value.as_bytes())?;
            answer.headers_mut().append(name, value);
        }
    }
    Ok(answer)
}

async fn connect(service: SocketAddr) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(service).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    rt::spawn(connection);
    Ok(sender)
}

/// What the service answers. With it the connection goes back.
struct Body {
    incoming: Incoming,
    size: BodySize,
    sender: Option<Sender>,
    upstream: Rc<Upstream>,
}

impl Drop for Body {
    fn drop(&mut self) {
        let sender = self.sender.take();
        self.upstream.idle.borrow_mut().extend(sender);
    }
}

impl MessageBody for Body {
    type Error = hyper::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.incoming).poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            // Trailers are no part of an answer here.
            if let Ok(data) = frame.into_data() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}
