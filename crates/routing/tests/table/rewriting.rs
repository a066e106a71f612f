//! The path that the service sees.

use routing::RewriteError;
use routing::path::CanonicalPath;

use crate::matching::table;

#[test]
fn the_service_sees_the_rewritten_path() {
    for (route, path, expected) in [
        ("prefix = \"/a\"", "/a/b", "/a/b"),
        ("prefix = \"/a\", strip_path = true", "/a", "/"),
        ("prefix = \"/a\", strip_path = true", "/a/", "/"),
        ("prefix = \"/a\", strip_path = true", "/a/b%2Cc/", "/b%2Cc/"),
        ("exact = \"/a\", strip_path = true", "/a", "/"),
        ("prefix = \"/a\", rewrite = \"/x/y\"", "/a/b", "/x/y/b"),
        ("prefix = \"/a\", rewrite = \"/x/\"", "/a", "/x"),
        ("prefix = \"/a\", rewrite = \"/\"", "/a", "/"),
        ("prefix = \"/a\", rewrite = \"/\"", "/a/b", "/b"),
        ("prefix = \"/\", rewrite = \"/x\"", "/b", "/x/b"),
        ("exact = \"/a\", rewrite = \"/x\"", "/a", "/x"),
        (
            "template = \"/shops/{shop}/orders/{*rest}\", rewrite = \"/o/{rest}/of/{shop}\"",
            "/shops/7/orders/1/2",
            "/o/1/2/of/7",
        ),
        (
            "regex = \"/v(?<version>[0-9]+)/(?<rest>.*)\", rewrite = \"/{rest}/{version}\"",
            "/v2/a/b",
            "/a/b/2",
        ),
    ] {
        let table = table(&format!("routes = [{{{route}, service = \"user\"}}]"));
        let path = CanonicalPath::parse(path).unwrap();
        let target = table.routes()[0].rewritten(&path).unwrap();
        assert_eq!(target, expected, "{route}");
    }
}

#[test]
fn no_rewrite_leads_to_what_services_keep_to_themselves() {
    for (route, path) in [
        ("prefix = \"/a\", strip_path = true", "/a/internal"),
        ("prefix = \"/a\", strip_path = true", "/a/internal/tokens"),
        ("prefix = \"/a\", strip_path = true", "/a/internal;x/tokens"),
        ("prefix = \"/a\", rewrite = \"/\"", "/a/internal/tokens"),
        (
            "template = \"/a/{x}/{*y}\", rewrite = \"/{x}/{y}\"",
            "/a/internal/tokens",
        ),
    ] {
        let table = table(&format!("routes = [{{{route}, service = \"user\"}}]"));
        let path = CanonicalPath::parse(path).unwrap();
        let target = table.routes()[0].rewritten(&path);
        assert_eq!(target, Err(RewriteError::Internal), "{route}");
    }
}

#[test]
fn what_an_expression_captures_never_makes_a_dot_segment() {
    let table = table(
        "routes = [{regex = \"/a(?<x>.*)z\", rewrite = \"/api/{x}/tokens\", service = \"user\"}]",
    );
    let path = CanonicalPath::parse("/a..z").unwrap();
    let target = table.routes()[0].rewritten(&path);
    assert!(matches!(target, Err(RewriteError::Path(_))), "{target:?}");
}

#[test]
fn the_stripped_prefix_is_known() {
    let table = table(
        "routes = [{prefix = \"/a/b\", strip_path = true, service = \"user\"}, {prefix = \"/c\", service = \"user\"}]",
    );
    let prefixes: Vec<_> = table
        .routes()
        .iter()
        .map(|it| it.stripped_prefix())
        .collect();
    assert_eq!(prefixes, [Some("/a/b"), None]);
}
