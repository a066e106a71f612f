//! How the connections of clients are set up.

use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Bytes of an answer that may wait in the system until they are sent. What is under way does not
/// count, so that it slows nobody down; but of an answer that its client does not read, the system
/// would keep megabytes, of memory that all connections of the machine share.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 64 * 1024;

/// Sets up an accepted connection; whose it is, if that can still be told.
///
/// What is written is sent at once, and of what a client is slow to read, no more than 64 KiB wait in
/// the system.
#[must_use]
pub fn set_up_client(stream: &TcpStream) -> Option<SocketAddr> {
    // Without the first, an answer in two parts may wait for an acknowledgement, and without the second
    // slow clients cost more memory; neither is wrong then.
    let _best_effort = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _best_effort = socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
    stream.peer_addr().ok()
}
