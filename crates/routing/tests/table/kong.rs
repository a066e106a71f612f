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
    assert_eq!(orders.rate_limits, ["orders-minute", "orders-hour"]);
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
