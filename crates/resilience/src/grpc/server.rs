//! Start and stop of a gRPC server.

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use tokio::net::TcpListener;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Error, Server};

use super::guard::MAX_CALL;

/// Calls under way at a stop have this long to end.
const DRAIN: Duration = Duration::from_secs(10);
/// Calls under way on one connection at a time.
const MAX_STREAMS: u32 = 1_024;

/// A server with the settings that every service shares. Add services, then [`serve_grpc`].
#[must_use]
pub fn server_builder() -> Server {
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        // For a caller that grants no time; a shorter `grpc-timeout` counts. The handler is dropped.
        .timeout(MAX_CALL)
        // A client that vanished without a word is noticed, and its streams are freed.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
}

/// Serves `router` on `listener` until `shutdown` completes; then refuses new connections and lets
/// the calls under way end, for ten seconds at most. Bind the listener to port 0 for a free port.
///
/// # Errors
/// When the transport fails.
pub async fn serve_grpc(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let shutdown = shutdown.shared();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serve = router.serve_with_incoming_shutdown(incoming, shutdown.clone());
    let give_up = async {
        shutdown.await;
        tokio::time::sleep(DRAIN).await;
    };
    match select(Box::pin(serve), Box::pin(give_up)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => {
            tracing::warn!("calls were still under way when the server stopped");
            Ok(())
        }
    }
}
