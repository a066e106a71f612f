//! From a host's name to a connection. All of its addresses are tried, a moment apart (RFC 8305, "happy
//! eyeballs"), and a name that nobody can resolve for a moment stands for what it stood for before.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long an address is waited for until the next one is tried beside it (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long the resolver is waited for by who knows earlier addresses.
const RESOLVER_PATIENCE: Duration = Duration::from_millis(250);

/// How long earlier addresses are good for. Somebody else may have got them then.
const MAX_AGE: Duration = Duration::from_secs(60);

/// What a name stood for when it was last resolved.
#[derive(Debug, Default)]
pub(super) struct LastGood(Mutex<Option<(Instant, Vec<SocketAddr>)>>);

impl LastGood {
    /// What the name stands for now by `lookup`, or stood for a moment ago when that fails or takes long.
    ///
    /// # Errors
    /// When it fails and nothing is known.
    pub(super) async fn or(
        &self,
        lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    ) -> io::Result<Vec<SocketAddr>> {
        let found = match self.known() {
            None => lookup.await?,
            Some(known) => match timeout(RESOLVER_PATIENCE, lookup).await {
                Ok(Ok(found)) => found,
                Ok(Err(_)) | Err(_) => return Ok(known),
            },
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    fn known(&self) -> Option<Vec<SocketAddr>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, known) = last.as_ref()?;
        (since.elapsed() < MAX_AGE).then(|| known.clone())
    }
}

/// Connects to the address that answers first. The next one is tried when those before it have failed,
/// or have not answered for a moment.
///
/// # Errors
/// That of the address which failed last.
pub(super) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = alternating(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        attempts.extend(left.next().map(TcpStream::connect));
        let is_last = left.len() == 0;
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep(ATTEMPT_DELAY), if !is_last => {}
        }
    }
}

/// The addresses in their order, but of one kind and the other by turns (RFC 8305, section 4).
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let of_kind = |is_ipv6: bool| addresses.iter().filter(move |one| one.is_ipv6() == is_ipv6);
    let leads = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut these, mut others) = (of_kind(leads), of_kind(!leads));
    let turns = addresses.iter().flat_map(|_| [these.next(), others.next()]);
    turns.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// An address where nobody listens as long as the socket is there: it refuses connections.
    fn refusing() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    /// An address whose queue of connections is full: it swallows what is sent to it.
    async fn silent() -> (Socket, TcpStream, SocketAddr) {
        let (socket, address) = refusing();
        socket.listen(0).unwrap();
        let waiting = TcpStream::connect(address).await.unwrap();
        (socket, waiting, address)
    }

    #[test]
    fn kinds_of_addresses_take_turns() {
        for (given, expected) in [
            (vec![], vec![]),
            (vec!["1.1.1.1:1"], vec!["1.1.1.1:1"]),
            (
                vec!["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"],
                vec!["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"],
            ),
            (
                vec!["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"],
                vec!["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"],
            ),
        ] {
            assert_eq!(alternating(&addresses(&given)), addresses(&expected));
        }
    }

    #[tokio::test]
    async fn an_address_that_swallows_everything_does_not_keep_from_the_next() {
        let (_socket, _waiting, silent) = silent().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let both = [silent, good];
        let connecting = timeout(ATTEMPT_DELAY * 3, connect(&both));
        let stream = connecting.await.expect("in time").unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next_at_once_and_the_last_failure_is_told()
    {
        let (_socket, closed) = refusing();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let both = [closed, good];
        let connecting = timeout(ATTEMPT_DELAY / 2, connect(&both));
        let stream = connecting.await.expect("at once").unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let error = connect(&[closed, closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect(&[]).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_cannot_be_resolved_stands_for_what_it_stood_for_a_moment_ago() {
        let last_good = LastGood::default();
        let fails = async || Err(io::Error::other("SERVFAIL"));
        let (first, second) = (addresses(&["10.0.0.1:1"]), addresses(&["10.0.0.2:1"]));
        assert!(last_good.or(fails()).await.is_err());
        let found = last_good.or(async { Ok(first.clone()) }).await;
        assert_eq!(found.unwrap(), first);
        assert_eq!(last_good.or(fails()).await.unwrap(), first);
        assert_eq!(last_good.or(std::future::pending()).await.unwrap(), first);
        let found = last_good.or(async { Ok(second.clone()) }).await;
        assert_eq!(found.unwrap(), second);
        tokio::time::advance(MAX_AGE).await;
        assert!(last_good.or(fails()).await.is_err());
    }
}
