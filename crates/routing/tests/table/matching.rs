//! Which route a request takes.

use routing::path::CanonicalPath;
use routing::{Request, Table};

pub(crate) const KNOWN: [&str; 6] = ["user", "inventory", "order", "analytics", "iot", "payment"];

pub(crate) fn table(text: &str) -> Table {
    Table::parse(text, &KNOWN).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A request in short: `METHOD host path?query name:value ...`.
fn find(table: &Table, request: &str) -> Option<String> {
    let mut words = request.split(' ');
    let (method, host) = (words.next().unwrap(), words.next().unwrap());
    let target = words.next().unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let headers: Vec<(&str, &str)> = words.map(|word| word.split_once(':').unwrap()).collect();
    let path = CanonicalPath::parse(path).unwrap();
    let found = table.find(&Request {
        host: (host != "-").then_some(host),
        path: &path,
        method,
        query,
        header: &|name| {
            headers
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, it)| *it)
        },
    });
    found.map(|(_, route)| route.name.to_string())
}

#[track_caller]
fn check(table: &Table, cases: &[(&str, Option<&str>)]) {
    for (request, expected) in cases {
        assert_eq!(find(table, request).as_deref(), *expected, "{request}");
    }
}

#[test]
fn the_default_file_routes_each_public_prefix() {
    let table = table(routing::DEFAULT_FILE);
    for (path, service) in [
        ("/api/users/7", Some("user")),
        ("/api/auth/login", Some("user")),
        ("/api/inventory", Some("inventory")),
        ("/api/orders", Some("order")),
        ("/api/orders/", Some("order")),
        ("/api/orders/7/timeline", Some("order")),
        ("/api/ordersheet", None),
        ("/api/stores", Some("order")),
        ("/api/menu/items", Some("order")),
        ("/api/payments/ledger/balances", Some("payment")),
        ("/api/analytics/sales", Some("analytics")),
        ("/api/iot/devices", Some("iot")),
        ("/internal/tokens", None),
        ("/metrics", None),
        ("/", None),
    ] {
        let parsed = CanonicalPath::parse(path).unwrap();
        let leads: Vec<&str> = KNOWN
            .into_iter()
            .filter(|service| table.leads_to(&parsed, service))
            .collect();
        assert_eq!(leads.first().copied(), service, "{path}");
    }
}

#[test]
fn a_prefix_ends_at_a_segment_and_the_longest_wins() {
    let table = table(
        "routes = [{prefix = \"/\", service = \"user\"}, {prefix = \"/a\", service = \"user\"}, {prefix = \"/a/b\", service = \"iot\"}]",
    );
    check(
        &table,
        &[
            ("GET x /", Some("/")),
            ("GET x /z", Some("/")),
            ("GET x /a", Some("/a")),
            ("GET x /a/", Some("/a")),
            ("GET x /ab", Some("/")),
            ("GET x /a/bc", Some("/a")),
            ("GET x /a/b", Some("/a/b")),
            ("GET x /a/b/", Some("/a/b")),
            ("GET x /a/b/c/d", Some("/a/b")),
        ],
    );
}

#[test]
fn an_exact_path_wins_over_a_template_an_expression_and_a_prefix() {
    let table = table(
        r#"
        routes = [
            {name = "prefix", prefix = "/v2/long/path", service = "user"},
            {name = "regex", regex = "/v2/long/[a-z]+", service = "user"},
            {name = "short", template = "/v2/{x}/path", service = "user"},
            {name = "long", template = "/v2/long/{x}", service = "user"},
            {name = "exact", exact = "/v2/long/path", service = "user"},
            {name = "rest", template = "/files/{*path}", service = "user"},
        ]"#,
    );
    check(
        &table,
        &[
            ("GET x /v2/long/path", Some("exact")),
            ("GET x /v2/long/path/", Some("prefix")),
            ("GET x /v2/long/other", Some("long")),
            ("GET x /v2/other/path", Some("short")),
            ("GET x /v2/long/path/more", Some("prefix")),
            ("GET x /v2/other", None),
            ("GET x /files/a/b/c", Some("rest")),
            ("GET x /files/", Some("rest")),
            ("GET x /files", None),
        ],
    );
}

#[test]
fn the_most_specific_host_wins_and_others_are_fallen_back_on() {
    let table = table(
        r#"
        routes = [
            {name = "any", prefix = "/", service = "user"},
            {name = "wild", hosts = ["*.example.com"], prefix = "/", service = "user"},
            {name = "wilder", hosts = ["*.shop.example.com"], prefix = "/", service = "user"},
            {name = "exact", hosts = ["a.example.com"], prefix = "/only", service = "user"},
            {name = "v6", hosts = ["[::1]"], prefix = "/", service = "user"},
        ]"#,
    );
    check(
        &table,
        &[
            ("GET a.example.com /only", Some("exact")),
            ("GET A.EXAMPLE.com:8080 /only/x", Some("exact")),
            ("GET a.example.com /else", Some("wild")),
            ("GET b.example.com /only", Some("wild")),
            ("GET x.shop.example.com /", Some("wilder")),
            ("GET example.com /", Some("any")),
            ("GET evilexample.com /", Some("any")),
            ("GET [::1]:5000 /", Some("v6")),
            ("GET - /", Some("any")),
        ],
    );
}

#[test]
fn a_route_that_asks_for_more_wins_and_then_the_first() {
    let table = table(
        r#"
        routes = [
            {name = "plain", prefix = "/a", service = "user"},
            {name = "later", prefix = "/a", service = "iot"},
            {name = "query", prefix = "/a", query = [{name = "v", equals = "2"}], service = "user"},
            {name = "header", prefix = "/a", headers = [{name = "X-Beta"}], service = "user"},
            {name = "two", prefix = "/a", headers = [{name = "x-beta"}, {name = "x-team", regex = "r.d"}], service = "user"},
            {name = "method", prefix = "/a", methods = ["POST"], service = "user"},
        ]"#,
    );
    check(
        &table,
        &[
            ("GET x /a", Some("plain")),
            ("GET x /a?v=2", Some("query")),
            ("GET x /a?v=20", Some("plain")),
            ("GET x /a?v=2 x-beta:1", Some("header")),
            ("GET x /a x-beta:1 x-team:red", Some("two")),
            ("GET x /a x-beta:1 x-team:redder", Some("header")),
            ("POST x /a x-beta:1 x-team:red", Some("method")),
            ("post x /a", Some("plain")),
        ],
    );
}

#[test]
fn internal_paths_are_in_no_route() {
    let table = table("routes = [{prefix = \"/\", encoded_slashes = true, service = \"user\"}]");
    check(
        &table,
        &[
            ("GET x /internal", None),
            ("GET x /internal/tokens", None),
            ("GET x /%69nternal/tokens", None),
            ("GET x /internal;x/tokens", None),
            ("GET x /internal%2Ftokens", None),
            ("GET x /internals", Some("/")),
        ],
    );
}

#[test]
fn backends_share_requests_by_weight_evenly_over_time() {
    let table = table(
        r#"
        routes = [{prefix = "/a", backends = [{service = "order", weight = 90}, {service = "iot", weight = 10}, {service = "user", weight = 0}]}]"#,
    );
    let route = &table.routes()[0];
    let name = |index: usize| table.services()[index].name.to_string();
    let turns: Vec<String> = (0..1_000).map(|_| name(route.next_backend())).collect();
    for window in turns.windows(100) {
        let canary = window.iter().filter(|name| *name == "iot").count();
        assert!((8..=12).contains(&canary), "{canary} of 100");
    }
    assert!(!turns.contains(&"user".to_owned()));
}
