//! The rules of a correct proxy, one table each, against a service that reads strictly and records
//! what reaches it. `docs/gateway.md` has the rules by number, and those that the server below us
//! cannot keep.

mod answers;
mod headers;
mod requests;
mod targets;

use crate::client::Answer;
use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Seen, Upstream};

/// Follows every refused request on its connection; it must never be answered or forwarded.
const SMUGGLED: &str = "GET /api/orders/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// A gateway before one recording service.
struct Bench {
    upstream: Upstream,
    gateway: Gateway,
    faults: Vec<String>,
}

impl Bench {
    async fn new(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let upstream = Upstream::start(script).await;
        let gateway = Gateway::before(&upstream).await;
        Self::of(upstream, gateway)
    }

    async fn routing(
        routes: &str,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let upstream = Upstream::start(script).await;
        let gateway = Gateway::routing(&upstream, &RoutingFile::new(routes)).await;
        Self::of(upstream, gateway)
    }

    fn of(upstream: Upstream, gateway: Gateway) -> Self {
        Self {
            upstream,
            gateway,
            faults: Vec::new(),
        }
    }

    fn check(&mut self, case: &str, holds: bool, found: impl std::fmt::Debug) {
        if !holds {
            self.faults.push(format!("{case:?}: {found:?}"));
        }
    }

    /// The request gets one of these statuses, the connection ends, and nothing reaches the service.
    async fn refused(&mut self, request: &str, statuses: &[u16]) {
        let before = self.upstream.seen().len();
        let mut client = self.gateway.connect().await;
        client.send(format!("{request}{SMUGGLED}")).await;
        let status = client.answer(false).await.map(|answer| answer.status);
        let holds = status.is_some_and(|status| statuses.contains(&status));
        self.check(request, holds, status);
        let closed = client.is_closed().await;
        self.check(request, closed, "the connection goes on");
        let seen = self.upstream.seen().len() - before;
        self.check(
            request,
            seen == 0,
            format!("{seen} requests reached the service"),
        );
    }

    /// The request gets this status and nothing reaches the service; the connection may go on.
    async fn answered_here(&mut self, request: &str, status: u16) {
        let before = self.upstream.seen().len();
        let answer = self.gateway.ask(request).await;
        self.check(request, answer.status == status, answer.head.start);
        let seen = self.upstream.seen().len() - before;
        self.check(
            request,
            seen == 0,
            format!("{seen} requests reached the service"),
        );
    }

    /// The request reaches the service, once; what the service saw and what the client got.
    async fn forwarded(&mut self, request: &str) -> (Seen, Answer) {
        let before = self.upstream.seen().len();
        let answer = self.gateway.ask(request).await;
        let mut seen = self.upstream.seen().split_off(before);
        self.check(
            request,
            seen.len() == 1,
            format!("{} seen, {}", seen.len(), answer.head.start),
        );
        (seen.pop().unwrap_or_default(), answer)
    }

    #[track_caller]
    fn done(self) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}

fn ok(_seen: &Seen) -> Reply {
    Reply::ok("")
}

/// The last segment of the path that was asked for.
fn name_of(seen: &Seen) -> String {
    let path = seen.head.start.split(' ').nth(1).unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
