//! HTTP/1 without encryption: what a service speaks with the gateway and its neighbours.
//!
//! The server that actix-web comes with speaks HTTP/2 as well, which is 0.4 MB of every service's code
//! for nobody, and it makes the buffers of a connection as soon as it is accepted.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Request};
use actix_server::GracefulShutdownSignal;
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt as _, boxed, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceResponse};
use tokio::net::TcpStream;

use super::set_up_client;
use crate::settings::ServerSettings;

/// Longest wait for the first byte of a connection, and from there for the end of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that the rest of an unwanted request is read and thrown away.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves what `app` makes, on each worker, at `listener`.
///
/// # Errors
/// When nothing can be accepted there.
pub(super) fn serve<F, I, S, B>(
    settings: &ServerSettings,
    listener: TcpListener,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(settings.workers)
        .shutdown_timeout(settings.shutdown_grace_ms.div_ceil(1_000))
        .disable_signals();
    let signal = builder.graceful_shutdown_signal();
    let builder = builder.listen("http", listener, move || {
        let app = map_config(app().into_factory(), |()| AppConfig::default());
        let stopping = signal.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || wait_for(stopping.clone()))
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(LINGER_TIMEOUT)
            .h1(app.map_err(|error| error.error_response()));
        let signal = signal.clone();
        // Boxed, so that who is not yet heard takes no room for it.
        let http = boxed::factory(http);
        fn_service(move |stream| hear(stream, signal.clone())).and_then(http)
    })?;
    Ok(builder.run())
}

/// Waits until a new client says something. Only then are buffers made for it: of many that come at
/// once those are answered and gone already for which nothing is to be done.
async fn hear(
    stream: TcpStream,
    stopping: GracefulShutdownSignal,
) -> Result<(TcpStream, Option<SocketAddr>), DispatchError> {
    tokio::select! {
        heard = tokio::time::timeout(HEAD_TIMEOUT, stream.readable()) => {
            heard.map_err(|_elapsed| DispatchError::SlowRequestTimeout)??;
            let peer = set_up_client(&stream);
            Ok((stream, peer))
        }
        () = wait_for(stopping) => Err(DispatchError::DisconnectTimeout),
    }
}

async fn wait_for(stopping: GracefulShutdownSignal) {
    stopping.notified().await;
}
