//! What becomes of a Kong file.

use routing::file::{AuthIn, FileIn};
use routing::kong::import;

use crate::matching::KNOWN;

const KONG: &str = r#"
_format_version: "3.0"
_transform: true
services:
  - name: order
    url: http://orders.local:8080/base
    read_timeout: 5000
    retries: 5
    plugins:
      - name: rate-limiting
        config: {minute: 60, hour: 1000, limit_by: ip, policy: redis}
    routes:
      - name: orders
        paths: ["/orders", "~/v(?<version>\\d+)/orders$"]
        hosts: ["Shop.example:80"]
        methods: [GET, POST]
        strip_path: true
        preserve_host: true
        headers: {x-tenant: [red, blue]}
        plugins:
          - name: cors
            config: {origins: ["https://a.example", "https://.*\\.b\\.example"], credentials: true, max_age: 60, headers: [x-a]}
          - name: request-transformer
            config:
              add: {headers: ["x-new:1"]}
              remove: {headers: ["x-old"], querystring: ["q"]}
              replace: {headers: ["x-set: 2"]}
      - name: grpc
        protocols: [grpc]
        paths: ["/g"]
  - name: pool
    host: pool-upstream
    port: 80
    retries: 32767
    protocol: http
    routes:
      - name: pooled
        paths: ["/pool/"]
        strip_path: false
        plugins:
          - name: key-auth
            config: {key_names: [apikey]}
          - name: request-size-limiting
            config: {allowed_payload_size: 2, size_unit: kilobytes}
          - name: ip-restriction
            config: {allow: [10.0.0.0/8], deny: [10.1.0.1]}
          - name: jwt
            enabled: false
          - name: oauth2
            config: {}
          - name: proxy-cache
            config: {strategy: memory, cache_ttl: 30, storage_ttl: 60, vary_headers: [x-tenant]}
  - name: secure
    url: https://secure.local
    routes: [{name: s, paths: ["/s"]}]
upstreams:
  - name: pool-upstream
    algorithm: round-robin
    targets:
      - {target: "10.0.0.1:8080", weight: 90}
      - {target: "10.0.0.2", weight: 10}
      - {target: "10.0.0.3:8080", weight: 0}
routes:
  - name: late
    service: {name: pool}
    paths: ["/late"]
plugins:
  - name: prometheus
  - name: correlation-id
    config: {header_name: Kong-Request-ID}
  - name: jwt
    route: {name: late}
consumers:
  - username: kim
    keyauth_credentials: [{key: secret}]
    jwt_secrets: [{key: k, secret: s}]
certificates: [{cert: x, key: y}]
"#;

fn converted() -> (FileIn, Vec<String>) {
    let imported = import(KONG, &KNOWN).unwrap();
    assert!(!imported.text.contains("secret"), "{}", imported.text);
    (toml::from_str(&imported.text).unwrap(), imported.notes)
}

#[test]
fn routes_services_and_plugins_become_ours() {
    let (file, _) = converted();
    let names: Vec<_> = file
        .routes
        .iter()
        .map(|it| it.name.clone().unwrap())
        .collect();
    assert_eq!(names, ["orders", "orders-2", "pooled", "late"]);
    let urls: Vec<_> = file
        .services
        .iter()
        .map(|it| (it.name.as_str(), it.url.as_deref().unwrap()))
        .collect();
    assert_eq!(
        urls,
        [
            ("kong-order", "http://orders.local:8080"),
            ("pool-1", "http://10.0.0.1:8080"),
            ("pool-2", "http://10.0.0.2:8000"),
        ]
    );
    let orders = &file.routes[0];
    assert_eq!(orders.prefix.as_deref(), Some("/orders"));
    assert_eq!(orders.rewrite.as_deref(), Some("/base"));
    assert_eq!(orders.hosts, ["shop.example"]);
    assert_eq!(orders.methods, ["GET", "POST"]);
    assert_eq!(orders.host_header.as_deref(), Some("client"));
    assert_eq!(orders.header_timeout_ms, Some(5_000));
    // Kong counts the tries after the first.
    let attempts = orders.retries.as_ref().unwrap().attempts;
    assert_eq!(attempts, Some(6));
    assert_eq!(orders.headers[0].regex.as_deref(), Some("(?i)red|blue"));
    assert_eq!(
        orders.rate_limits,
        ["service-order-minute", "service-order-hour"]
    );
    let edits = orders.request_headers.as_ref().unwrap();
    assert_eq!(
        (&edits.add["x-new"], &edits.set["x-set"]),
        (&"1".to_owned(), &"2".to_owned())
    );
    assert_eq!(edits.remove, ["x-old"]);
    assert_eq!(file.cors[0].allowed_origins, ["https://a.example"]);
    assert!(file.cors[0].allow_credentials);
    assert_eq!(
        file.routes[1].regex.as_deref(),
        Some(r"/v(?<version>\d+)/orders")
    );
    let pooled = &file.routes[2];
    assert_eq!(pooled.prefix.as_deref(), Some("/pool"));
    assert_eq!((pooled.backends.len(), pooled.backends[0].weight), (2, 90));
    assert_eq!((pooled.auth, pooled.api_keys), (AuthIn::Required, true));
    assert_eq!(pooled.max_body_bytes, Some(2_048));
    let cache = pooled.cache.as_ref().unwrap();
    assert_eq!(
        (cache.default_seconds, cache.vary.as_slice()),
        (30, &["x-tenant".to_owned()][..])
    );
    assert_eq!(
        (&pooled.allow, &pooled.deny),
        (&vec!["10.0.0.0/8".to_owned()], &vec!["10.1.0.1".to_owned()])
    );
    assert_eq!(file.routes[3].auth, AuthIn::Required);
    assert_eq!(file.consumers[0].name, "kim");
    assert_eq!(
        file.consumers[0].key_sha256,
        ["2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]
    );
}

#[test]
fn whatever_could_not_be_converted_is_named() {
    let (_, notes) = converted();
    for expected in [
        "the file: `certificates` was not converted",
        "upstream pool-upstream: `algorithm` was not converted",
        "service pool: `retries` 32767 became 9, the most here",
        "route pooled, plugin proxy-cache: `storage_ttl` was not converted",
        "route pooled, plugin proxy-cache: heeds `Cache-Control` here",
        "service pool: its targets became services here: the share of one that does not work",
        "route pooled, plugin jwt: was not converted: it is not enabled",
        "service order: is called `kong-order` here",
        "service secure: it and its routes were not converted: services are reached over http, not https",
        "route grpc: was not converted: it is neither for http nor for https",
        "route orders: `/orders` ends at a segment here",
        "route pooled: `/pool/` is `/pool` here",
        "route orders, plugin cors: the origin `https://.*\\.b\\.example` was not converted",
        "route orders, plugin request-transformer: `remove.querystring` was not converted",
        "route orders, plugin rate-limiting: counts are shared through Redis",
        "route pooled, plugin oauth2: was not converted",
        "route pooled, plugin key-auth: the key is expected in X-Api-Key",
        "route late, plugin jwt: tokens are verified with user-service's keys",
        "route late, plugin correlation-id: the id stands in X-Request-Id",
        "consumer kim: `jwt_secrets` was not converted",
    ] {
        assert!(
            notes.iter().any(|note| note.contains(expected)),
            "{expected}\n{notes:#?}"
        );
    }
    assert!(
        !notes.iter().any(|note| note.contains("prometheus")),
        "{notes:#?}"
    );
}

#[test]
fn json_is_read_too_and_other_things_are_refused() {
    let json = r#"{"_format_version": "3.0", "services": [{"name": "a", "host": "a.local", "routes": [{"paths": ["/a"]}]}]}"#;
    let imported = import(json, &KNOWN).unwrap();
    assert!(
        imported.text.contains("url = \"http://a.local\""),
        "{}",
        imported.text
    );
    assert!(import("_format_version: \"2.1\"\n", &KNOWN).is_err());
    assert!(import("services: 7\n", &KNOWN).is_err());
    assert!(import("", &KNOWN).is_err());
    assert!(import("_format_version: 3.0\nservices: []\n", &KNOWN).is_err());
}

#[test]
fn an_expression_that_is_not_known_here_is_named() {
    let kong = "_format_version: '3.0'\nservices:\n- name: a\n  url: http://a\n  routes:\n  - name: r\n    paths: ['~/x(?=y)', '~/ok']\n";
    let imported = import(kong, &KNOWN).unwrap();
    assert!(
        imported
            .notes
            .iter()
            .any(|note| note.contains("`~/x(?=y)` was not converted"))
    );
    assert!(
        imported.text.contains("regex = \"/ok.*\""),
        "{}",
        imported.text
    );
}

const LAYERS: &str = r#"
_format_version: "3.0"
services:
  - name: a
    url: http://a
    plugins:
      - {name: jwt}
      - {name: rate-limiting, config: {minute: 60, limit_by: ip}}
    routes:
      - name: off
        paths: [/off]
        plugins: [{name: jwt, enabled: false}]
      - name: two
        paths: [/one, /two]
      - name: own
        paths: [/own]
        plugins: [{name: rate-limiting, config: {minute: 5, limit_by: ip}}]
      - {name: nowhere, hosts: ["example.*"], paths: [/nowhere]}
      - {name: half, hosts: ["example.*", "b.example"], paths: [/half]}
  - name: b
    url: http://b
    routes: [{name: bare, paths: [/bare]}]
plugins:
  - {name: ip-restriction, consumer: kim, config: {allow: [10.0.0.1]}}
  - {name: ip-restriction, config: {allow: [10.0.0.0/8]}}
  - {name: rate-limiting, consumer_group: {name: gold}, config: {minute: 900}}
  - {name: rate-limiting, config: {minute: 7, limit_by: service}}
  - {name: key-auth, route: {name: gone}}
"#;

#[test]
fn a_plugin_that_is_left_out_takes_no_other_ones_place() {
    let imported = import(LAYERS, &KNOWN).unwrap();
    let file: FileIn = toml::from_str(&imported.text).unwrap();
    for route in &file.routes {
        let name = route.name.as_deref().unwrap();
        let expected = match name {
            "bare" => AuthIn::None,
            _ => AuthIn::Required,
        };
        assert_eq!(route.auth, expected, "{name}");
        assert_eq!(route.allow, ["10.0.0.0/8"], "{name}");
    }
    for expected in [
        "route off, plugin jwt: was not converted: it is not enabled",
        "all routes, plugin ip-restriction: was not converted: it is for some consumers alone",
        "all routes, plugin rate-limiting: was not converted: it is for some consumers alone",
        "plugin key-auth: was not converted: there is no route `gone`",
    ] {
        let notes = &imported.notes;
        assert!(
            notes.iter().any(|note| note == expected),
            "{expected}\n{notes:#?}"
        );
    }
}

#[test]
fn what_a_limit_was_put_on_shares_it() {
    let imported = import(LAYERS, &KNOWN).unwrap();
    let file: FileIn = toml::from_str(&imported.text).unwrap();
    let named: Vec<_> = file
        .routes
        .iter()
        .map(|it| (it.name.as_deref().unwrap(), it.rate_limits.concat()))
        .collect();
    let expected = [
        ("off", "service-a-minute"),
        ("two", "service-a-minute"),
        ("two-2", "service-a-minute"),
        ("own", "own-minute"),
        ("half", "service-a-minute"),
        ("bare", "all-minute"),
    ];
    assert_eq!(
        named,
        expected.map(|(route, limit)| (route, limit.to_owned()))
    );
    let limits: Vec<_> = file
        .rate_limits
        .iter()
        .map(|it| (it.name.as_str(), it.requests))
        .collect();
    assert_eq!(
        limits,
        [
            ("service-a-minute", 60),
            ("own-minute", 5),
            ("all-minute", 7)
        ]
    );
}

#[test]
fn limits_of_other_keys_and_equal_names_are_kept_apart() {
    let kong = r#"
_format_version: "3.0"
services:
  - name: a
    url: http://a
    plugins: [{name: rate-limiting, config: {minute: 60}}]
    routes:
      - {name: keyed, paths: [/k], plugins: [{name: key-auth}]}
      - {name: open, paths: [/o]}
  - name: b
    url: http://b
    plugins: [{name: rate-limiting, config: {minute: 9, limit_by: service}}]
    routes:
      - {name: one, paths: [/1, /2]}
      - {name: service-a, paths: [/s], plugins: [{name: rate-limiting, config: {minute: 1}}]}
"#;
    let imported = import(kong, &KNOWN).unwrap();
    let file: FileIn = toml::from_str(&imported.text).unwrap();
    let limits: Vec<_> = file
        .rate_limits
        .iter()
        .map(|it| (it.name.as_str(), it.requests))
        .collect();
    assert_eq!(
        limits,
        [
            ("service-a-minute", 60),
            ("service-a-minute-2", 60),
            ("service-b-minute", 9),
            ("service-a-minute-3", 1)
        ]
    );
    let note = "route one, plugin rate-limiting: each of its routes is counted by itself here";
    assert!(
        imported.notes.iter().any(|it| it.starts_with(note)),
        "{:#?}",
        imported.notes
    );
}

#[test]
fn a_route_without_a_host_that_is_known_serves_no_others() {
    let imported = import(LAYERS, &KNOWN).unwrap();
    let file: FileIn = toml::from_str(&imported.text).unwrap();
    let hosts = |name: &str| {
        let mut routes = file.routes.iter();
        let route = routes.find(|it| it.name.as_deref() == Some(name));
        route.map(|it| it.hosts.clone())
    };
    assert_eq!(hosts("nowhere"), None);
    assert_eq!(hosts("half"), Some(vec!["b.example".to_owned()]));
    let expected = "route nowhere: was not converted: none of its hosts is known here";
    assert!(imported.notes.iter().any(|note| note == expected));
}
