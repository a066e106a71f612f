//! A small HTTP server on a free port, for stand-ins.

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

/// A server that stops when it is dropped.
pub(crate) struct FakeServer {
    address: SocketAddr,
    handle: ServerHandle,
}

impl FakeServer {
    pub(crate) fn start(routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let server = HttpServer::new(move || App::new().configure(routes.clone()))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .expect("the listener is usable")
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { address, handle }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        // The order to stop is given by the call; nobody waits for it to be carried out.
        drop(self.handle.stop(false));
    }
}
