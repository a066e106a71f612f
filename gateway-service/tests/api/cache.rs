//! Answers that are kept for others (RFC 9111).

mod kept;
mod renewal;
mod together;

use crate::client::Answer;
use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Seen, Upstream};

/// A route that keeps what the service allows, and one that does not.
pub(crate) const ROUTES: &str = r#"
    routes = [
        {prefix = "/c", service = "order", cache = {}},
        {prefix = "/off", service = "order"},
        {prefix = "/default", service = "order", cache = {default_seconds = 60, vary = ["x-tenant"]}},
        {prefix = "/small", service = "order", cache = {max_body_bytes = 3}},
        {prefix = "/spare", service = "order", cache = {stale_if_error_seconds = 60}},
    ]"#;

pub(crate) async fn start(
    script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Upstream, Gateway) {
    let upstream = Upstream::start(script).await;
    let gateway = Gateway::routing(&upstream, &RoutingFile::new(ROUTES)).await;
    (upstream, gateway)
}

/// 200 with these header lines and a body.
pub(crate) fn ok(headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

pub(crate) fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{headers}\r\n")
}

pub(crate) fn get(path: &str, headers: &str) -> String {
    request("GET", path, headers)
}

/// What the cache says that it did.
pub(crate) fn told(answer: &Answer) -> String {
    answer.head.all("cache-status").join(", ")
}

/// How often the service was asked for a path.
pub(crate) fn asked(upstream: &Upstream, path: &str) -> usize {
    let seen = upstream.seen();
    let paths = seen
        .iter()
        .filter_map(|seen| seen.head.start.split(' ').nth(1));
    paths.filter(|known| *known == path).count()
}
