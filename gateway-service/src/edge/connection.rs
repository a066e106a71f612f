//! The end of a client's connection. The server below serves what a client sent ahead even when the
//! answer before it closes the connection; here it ends with that answer (RFC 9112, section 9.6), or
//! what hides behind a request that two parsers read differently would be served as one of its own.

use std::any::Any;
use std::cell::Cell;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::http::{ConnectionType, Version};

use crate::answer::{Draft, close_after};

/// How long the last answer may take to leave before the connection is dropped, when more has come
/// after its request. A client that sent nothing ahead gets an orderly end.
const FAREWELL: Duration = Duration::from_millis(100);

/// Whether the last answer of a connection has been made.
#[derive(Debug, Default)]
struct Fate(Cell<bool>);

/// For the server: every connection has a fate.
pub(crate) fn begin(_socket: &dyn Any, connection: &mut Extensions) {
    connection.insert(Fate::default());
}

/// Says so, and remembers it, when this answer is the last one of its connection.
pub(crate) fn finish(request: &HttpRequest, draft: &mut Draft) {
    let last = [
        request.head().connection_type(),
        draft.head().connection_type(),
    ];
    if !last.contains(&ConnectionType::Close) {
        return;
    }
    close_after(draft);
    if let Some(fate) = fate(request) {
        fate.0.set(true);
    }
}

/// Whether the last answer of this request's connection has been made.
pub(crate) fn is_over(request: &HttpRequest) -> bool {
    fate(request).is_some_and(|fate| fate.0.get())
}

/// Waits until the last answer has left.
pub(crate) async fn farewell() {
    tokio::time::sleep(FAREWELL).await;
}

/// The streams of an HTTP/2 connection end one by one.
fn fate(request: &HttpRequest) -> Option<&Fate> {
    match request.version() {
        Version::HTTP_2 => None,
        _ => request.conn_data(),
    }
}
