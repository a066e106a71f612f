//! What is wrong with a file, and where.

use routing::Table;

use crate::matching::KNOWN;

/// Every fault of a file, as a person reads it.
fn faults(text: &str) -> Vec<String> {
    let faults = Table::parse(text, &KNOWN).expect_err(text);
    faults.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_fault_names_line_column_and_field() {
    let text = "[[routes]]\nprefix = \"/a\"\nservice = \"user\"\n\n[[routes]]\nprefix = \"/b\"\nservice = \"nobody\"\nallow = [\"10.0.0.0/8\", \"x\"]\n";
    assert_eq!(
        faults(text),
        [
            "line 7, column 11: routes[1].service: there is no service `nobody`",
            "line 8, column 24: routes[1].allow[1]: must be a network such as 10.0.0.0/8, or an address",
        ]
    );
}

#[test]
fn a_field_that_is_missing_is_looked_for_where_it_should_stand() {
    assert_eq!(
        faults("[[routes]]\nprefix = \"/a\"\n"),
        ["line 1, column 1: routes[0].service: a route has either a service or backends"]
    );
}

#[test]
fn text_that_is_no_toml_and_unknown_keys_are_found_by_line() {
    let broken = faults("[[routes]]\nprefix = \n");
    assert!(broken[0].starts_with("line 2, column 10: "), "{broken:?}");
    let unknown = faults("[[routes]]\nprefix = \"/a\"\nservice = \"user\"\nstrip = true\n");
    assert!(
        unknown[0].starts_with("line 4, column 1: routes[0].strip: unknown field `strip`"),
        "{unknown:?}"
    );
    let wrong = faults("[[routes]]\nprefix = \"/a\"\nservice = \"user\"\nmax_body_bytes = \"1\"\n");
    assert!(
        wrong[0].starts_with("line 4, column 18: routes[0].max_body_bytes: invalid type"),
        "{wrong:?}"
    );
}

/// Keys of a route, and what is said about them.
const REFUSED: [(&str, &str); 58] = [
    ("prefix = \"/internal/x\"", "never routed"),
    ("exact = \"/internal\"", "never routed"),
    ("prefix = \"/api/\"", "must not end with a slash"),
    ("prefix = \"/%61pi\"", "canonical form, which is `/api`"),
    ("prefix = \"api\"", "must begin with a slash"),
    ("prefix = \"/a/../b\"", "dot segments"),
    ("prefix = \"/a\", exact = \"/a\"", "one path"),
    ("template = \"/{a}/{a}\"", "a name of its own"),
    ("regex = \"(\"", "regular expression"),
    ("regex = \"(?=x)\"", "regular expression"),
    (
        "prefix = \"/a\", hosts = [\"A.example\"]",
        "host name in lower case",
    ),
    (
        "prefix = \"/a\", hosts = [\"a.example:80\"]",
        "without a port",
    ),
    ("prefix = \"/a\", hosts = [\"*\"]", "host name"),
    (
        "prefix = \"/a\", methods = [\"CONNECT\"]",
        "no method that is offered",
    ),
    (
        "prefix = \"/a\", methods = [\"G T\"]",
        "no method that is offered",
    ),
    (
        "prefix = \"/a\", headers = [{name = \"a b\"}]",
        "header name",
    ),
    (
        "prefix = \"/a\", headers = [{name = \"a\", equals = \"1\", regex = \"1\"}]",
        "either equals or regex",
    ),
    (
        "prefix = \"/a\", query = [{name = \"\"}]",
        "must not be empty",
    ),
    (
        "prefix = \"/a\", strip_path = true, rewrite = \"/x\"",
        "beside rewrite",
    ),
    ("template = \"/a/{x}\", strip_path = true", "only a prefix"),
    ("prefix = \"/a\", rewrite = \"/internal\"", "never routed"),
    ("prefix = \"/a\", rewrite = \"/{x}\"", "no placeholder `x`"),
    (
        "prefix = \"/a\", rewrite = \"x\"",
        "must begin with a slash",
    ),
    (
        "template = \"/a/{x}\", rewrite = \"/../{x}\"",
        "dot segments",
    ),
    ("prefix = \"/a\", host_header = \"u@h\"", "host[:port]"),
    ("prefix = \"/a\", header_timeout_ms = 0", "must not be zero"),
    (
        "prefix = \"/a\", permission = \"orders:read\"",
        "must be required",
    ),
    (
        "prefix = \"/a\", auth = \"required\", permission = \"everything\"",
        "unknown variant",
    ),
    ("prefix = \"/a\", api_keys = true", "optional or required"),
    ("prefix = \"/a\", rate_limits = [\"x\"]", "no limit `x`"),
    ("prefix = \"/a\", cors = \"x\"", "no policy `x`"),
    (
        "prefix = \"/a\", deny = [\"10.0.0.0/33\"]",
        "must be a network",
    ),
    (
        "prefix = \"/a\", request_headers = {set = {\"Content-Length\" = \"1\"}}",
        "the gateway's own",
    ),
    (
        "prefix = \"/a\", request_headers = {remove = [\"Transfer-Encoding\"]}",
        "the gateway's own",
    ),
    (
        "prefix = \"/a\", request_headers = {add = {\"X-Forwarded-For\" = \"1\"}}",
        "the gateway's own",
    ),
    (
        "prefix = \"/a\", response_headers = {set = {\"Access-Control-Allow-Origin\" = \"*\"}}",
        "the gateway's own",
    ),
    (
        "prefix = \"/a\", response_headers = {set = {x = \"a\\nb\"}}",
        "header value",
    ),
    (
        "prefix = \"/a\", cache = {default_seconds = 31536001}",
        "cache.default_seconds: must not be above 31536000",
    ),
    (
        "prefix = \"/a\", cache = {stale_if_error_seconds = 31536001}",
        "cache.stale_if_error_seconds: must not be above",
    ),
    (
        "prefix = \"/a\", cache = {max_body_bytes = 0}",
        "cache.max_body_bytes: must be from 1 to",
    ),
    (
        "prefix = \"/a\", cache = {vary = [\"a\", \"b c\"]}",
        "cache.vary[1]: must be a header name",
    ),
    ("prefix = \"/a\", cache = true", "invalid type"),
    (
        "prefix = \"/a\", mirror = {service = \"nobody\"}",
        "mirror.service: there is no service `nobody`",
    ),
    (
        "prefix = \"/a\", mirror = {service = \"user\", percent = 101}",
        "mirror.percent: must be from 1 to 100",
    ),
    ("prefix = \"/a\", mirror = {percent = 1}", "missing field"),
    (
        "prefix = \"/a\", retries = {attempts = 0}",
        "retries.attempts: must be from 1 to 10",
    ),
    ("prefix = \"/a\", retries = {attempts = 11}", "from 1 to 10"),
    (
        "prefix = \"/a\", retries = {statuses = [503, 404]}",
        "retries.statuses[1]: must be 429 or 5xx",
    ),
    (
        "prefix = \"/a\", retries = {within_ms = 0}",
        "retries.within_ms: must be from 1",
    ),
    (
        "prefix = \"/a\", breaker = {failure_percent = 101}",
        "breaker.failure_percent: must be from 1 to 100",
    ),
    (
        "prefix = \"/a\", breaker = {min_calls = 0}",
        "breaker.min_calls: must be from 1",
    ),
    ("prefix = \"/a\", breaker = {window_ms = 9}", "from 10 to"),
    (
        "prefix = \"/a\", breaker = {open_ms = 3600001}",
        "breaker.open_ms: must be from 1 to 3600000",
    ),
    (
        "prefix = \"/a\", fallback = {}",
        "routes[0].fallback: is either a body",
    ),
    (
        "prefix = \"/a\", fallback = {body = \"x\", service = \"user\"}",
        "is either a body",
    ),
    (
        "prefix = \"/a\", fallback = {service = \"user\", status = 200}",
        "is either a body",
    ),
    (
        "prefix = \"/a\", fallback = {service = \"nobody\"}",
        "fallback.service: there is no service `nobody`",
    ),
    (
        "prefix = \"/a\", fallback = {body = \"x\", status = 304}",
        "fallback.status: must be a final status",
    ),
];

#[test]
fn everything_that_cannot_be_used_is_refused_with_its_reason() {
    for (route, reason) in REFUSED {
        let text = format!("routes = [{{{route}, service = \"user\"}}]");
        let all = faults(&text).join("\n");
        assert!(all.contains(reason), "{route}: {all}");
        assert!(all.starts_with("line 1, column "), "{route}: {all}");
    }
}

#[test]
fn keys_are_counted_only_where_they_are_verified() {
    let limits = "[[rate_limits]]\nname = \"keys\"\nby = \"api_key\"\nrequests = 1\nwindow_seconds = 1\n\
                  [[rate_limits]]\nname = \"all\"\nby = \"address\"\nrequests = 1\nwindow_seconds = 1\n";
    let route = |more: &str| {
        format!(
            "{limits}[[routes]]\nprefix = \"/a\"\nservice = \"user\"\nrate_limits = [\"all\", \"keys\"]\n{more}"
        )
    };
    assert_eq!(
        faults(&route("")),
        [
            "line 14, column 23: routes[0].rate_limits[1]: `keys` counts by API key: api_keys must be true"
        ]
    );
    Table::parse(&route("auth = \"optional\"\napi_keys = true\n"), &KNOWN).unwrap();
}

#[test]
fn the_lists_that_routes_name_are_checked_too() {
    let route = "routes = [{prefix = \"/a\", service = \"user\"}]\n";
    for (text, reason) in [
        ("services = [{name = \"order\"}]", "a service of this name"),
        ("services = [{name = \"A B\"}]", "a-z"),
        (
            "services = [{name = \"a\", url = \"https://a\"}]",
            "http://host",
        ),
        (
            "services = [{name = \"a\", url = \"http://a/b\"}]",
            "without a path",
        ),
        (
            "services = [{name = \"a\", url = \"http://u@a\"}]",
            "http://host",
        ),
        (
            "rate_limits = [{name = \"a\", by = \"address\", requests = 0, window_seconds = 1}]",
            "at least 1",
        ),
        (
            "rate_limits = [{name = \"a\", by = \"address\", requests = 1, window_seconds = 0}]",
            "from 1 to 86400",
        ),
        (
            "rate_limits = [{name = \"a\\\"b\", by = \"address\", requests = 1, window_seconds = 1}]",
            "letters, digits",
        ),
        (
            "cors = [{name = \"a\", allowed_origins = [\"*\"], allow_credentials = true}]",
            "must not be given credentials",
        ),
        ("cors = [{name = \"off\"}]", "other than off"),
        (
            "consumers = [{name = \"a\", key_sha256 = [\"abc\"]}]",
            "64 lower-case",
        ),
        ("routes = []", "duplicate key"),
    ] {
        let all = faults(&format!("{route}{text}")).join("\n");
        assert!(all.contains(reason), "{text}: {all}");
        assert!(all.starts_with("line 2, column "), "{text}: {all}");
    }
    assert_eq!(faults("")[0], "routes: there must be at least one route");
    let twice =
        "routes = [{prefix = \"/a\", service = \"user\"}, {prefix = \"/a\", service = \"iot\"}]";
    assert!(faults(twice)[0].contains("name of another route"));
}
