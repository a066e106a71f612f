//! Which protocol a client without TLS speaks: HTTP/2 begins with bytes that are no request of HTTP/1
//! (RFC 9113, section 3.4).

use std::time::Duration;

use actix_http::error::DispatchError;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often it is looked whether the rest of a preface has come. Only clients that send it in pieces
/// wait for that.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Whether the preface comes. Nothing is read, so that whoever serves the connection finds it as it is.
///
/// # Errors
/// When `wait` is over and nothing tells which protocol it is: nobody has anything to answer.
pub(super) async fn follows(stream: &TcpStream, wait: Duration) -> Result<bool, DispatchError> {
    let seen = timeout(wait, look(stream)).await;
    seen.map_err(|_elapsed| DispatchError::SlowRequestTimeout)
}

async fn look(stream: &TcpStream) -> bool {
    let mut seen = [0; PREFACE.len()];
    loop {
        let Ok(count) = stream.peek(&mut seen).await else {
            return false;
        };
        let matches = count > 0 && seen.get(..count) == PREFACE.get(..count);
        if !matches || count == PREFACE.len() {
            return matches;
        }
        sleep(LOOK_INTERVAL).await;
    }
}
