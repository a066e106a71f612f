//! Plugins: the ones that say what a route of ours can say.

use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::Notes;
use super::form::KongFile;
use super::limits::Limits;
use super::scope::Scoped;
use super::services::plain;
use crate::access::network;
use crate::cors::CorsPolicy;
use crate::file::{AuthIn, CacheIn, ConsumerIn, CorsIn, FileIn, HeaderEditsIn, RouteIn};
use crate::headers::header_name;

/// Puts into a route what its plugins say.
pub(super) fn apply<'k>(
    plugins: &[Scoped<'k>],
    route: &mut RouteIn,
    place: &str,
    limits: &mut Limits<'k>,
    file: &mut FileIn,
    notes: &mut Notes,
) {
    let with_keys = plugins.iter().any(|it| it.plugin.name == "key-auth");
    for scoped in plugins {
        let plugin = scoped.plugin;
        let place = format!("{place}, plugin {}", plugin.name);
        let config = &plugin.config;
        match plugin.name.as_str() {
            "rate-limiting" => route
                .rate_limits
                .extend(limits.of_plugin(scoped, with_keys, &place, notes)),
            "jwt" => jwt(config, route, &place, notes),
            "key-auth" => key_auth(config, route, &place, notes),
            "cors" => cors(config, route, &place, file, notes),
            "request-size-limiting" => size_limiting(config, route, &place, notes),
            "ip-restriction" => ip_restriction(config, route, &place, notes),
            "correlation-id" => correlation_id(config, &place, notes),
            "proxy-cache" => proxy_cache(config, route, &place, notes),
            // Every route is measured.
            "prometheus" => {}
            "request-transformer" => request_transformer(config, route, &place, notes),
            _ => notes.add(&place, "was not converted: there is no such plugin here"),
        }
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => {
            let texts = items.iter().filter_map(Value::as_str);
            texts.map(ToOwned::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn proxy_cache(config: &Value, route: &mut RouteIn, place: &str, notes: &mut Notes) {
    let heeds = config.get("cache_control").and_then(Value::as_bool);
    if heeds != Some(true) {
        let note = "heeds `Cache-Control` here: answers that forbid it are not kept";
        notes.add(place, note);
    }
    let read = [
        "cache_control",
        "cache_ttl",
        "memory",
        "strategy",
        "vary_headers",
    ];
    for name in config.as_object().into_iter().flat_map(|it| it.keys()) {
        if !read.contains(&name.as_str()) {
            notes.add(place, &format!("`{name}` was not converted"));
        }
    }
    route.cache = Some(CacheIn {
        default_seconds: config
            .get("cache_ttl")
            .and_then(Value::as_u64)
            .unwrap_or(300),
        vary: config.get("vary_headers").map(texts).unwrap_or_default(),
        ..CacheIn::default()
    });
}

fn jwt(config: &Value, route: &mut RouteIn, place: &str, notes: &mut Notes) {
    route.auth = mode(config);
    notes.add(
        place,
        "tokens are verified with user-service's keys here, not with consumers' secrets",
    );
}

/// A fallback consumer means that nobody has to be known.
fn mode(config: &Value) -> AuthIn {
    match config
        .get("anonymous")
        .is_some_and(|anonymous| !anonymous.is_null())
    {
        true => AuthIn::Optional,
        false => AuthIn::Required,
    }
}

fn key_auth(config: &Value, route: &mut RouteIn, place: &str, notes: &mut Notes) {
    route.auth = mode(config);
    route.api_keys = true;
    let names = config.get("key_names").map(texts).unwrap_or_default();
    if !names
        .iter()
        .any(|name| name.eq_ignore_ascii_case("x-api-key"))
    {
        notes.add(place, "the key is expected in X-Api-Key here");
    }
    if config.get("key_in_query").and_then(Value::as_bool) != Some(false) {
        notes.add(
            place,
            "a key in the query is not taken here: it would stand in logs",
        );
    }
}

fn cors(config: &Value, route: &mut RouteIn, place: &str, file: &mut FileIn, notes: &mut Notes) {
    let list = |name: &str| config.get(name).map(texts).unwrap_or_default();
    let mut origins = list("origins");
    if origins.is_empty() {
        origins.push("*".to_owned());
    }
    let mut methods = list("methods");
    if methods.is_empty() {
        methods = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"]
            .map(ToOwned::to_owned)
            .to_vec();
    }
    let mut input = CorsIn {
        name: plain(route.name.as_deref().unwrap_or("cors")),
        allowed_origins: Vec::new(),
        allowed_methods: methods,
        allowed_headers: list("headers"),
        exposed_headers: list("exposed_headers"),
        allow_credentials: config.get("credentials").and_then(Value::as_bool) == Some(true),
        max_age_seconds: config.get("max_age").and_then(Value::as_u64).unwrap_or(0),
    };
    if input.allowed_headers.is_empty() {
        notes.add(
            place,
            "without `headers` Kong allows what is asked for; here none is allowed",
        );
    }
    for origin in origins {
        let alone = CorsIn {
            allowed_origins: vec![origin.clone()],
            ..CorsIn::default()
        };
        match CorsPolicy::compile(&alone) {
            Ok(_) => input.allowed_origins.push(origin),
            Err(_) => notes.add(
                place,
                &format!("the origin `{origin}` was not converted: expressions are not known here"),
            ),
        }
    }
    if input.allow_credentials && input.allowed_origins.iter().any(|origin| origin == "*") {
        notes.add(
            place,
            "`credentials` was not converted: they are never given to every origin",
        );
        input.allow_credentials = false;
    }
    if input.name == "off" {
        input.name = "cors-off".to_owned();
    }
    route.cors = Some(input.name.clone());
    file.cors.push(input);
}

fn size_limiting(config: &Value, route: &mut RouteIn, place: &str, notes: &mut Notes) {
    let size = config
        .get("allowed_payload_size")
        .and_then(Value::as_u64)
        .unwrap_or(128);
    let unit = match config
        .get("size_unit")
        .and_then(Value::as_str)
        .unwrap_or("megabytes")
    {
        "bytes" => 1,
        "kilobytes" => 1 << 10,
        "megabytes" => 1 << 20,
        other => {
            notes.add(place, &format!("`size_unit` {other} is not known"));
            return;
        }
    };
    route.max_body_bytes = Some(size.saturating_mul(unit));
}

fn ip_restriction(config: &Value, route: &mut RouteIn, place: &str, notes: &mut Notes) {
    let lists = [("allow", &mut route.allow), ("deny", &mut route.deny)];
    for (name, list) in lists {
        for text in config.get(name).map(texts).unwrap_or_default() {
            match network(&text) {
                Ok(_) => list.push(text),
                Err(_) => notes.add(
                    place,
                    &format!("`{text}` was not converted: it is no network"),
                ),
            }
        }
    }
}

fn correlation_id(config: &Value, place: &str, notes: &mut Notes) {
    let name = config
        .get("header_name")
        .and_then(Value::as_str)
        .unwrap_or("Kong-Request-ID");
    if !name.eq_ignore_ascii_case("x-request-id") {
        notes.add(
            place,
            &format!("the id stands in X-Request-Id here, not in {name}"),
        );
    }
}

fn request_transformer(config: &Value, route: &mut RouteIn, place: &str, notes: &mut Notes) {
    let mut edits = route.request_headers.take().unwrap_or_default();
    for (action, parts) in config.as_object().into_iter().flatten() {
        for (part, value) in parts.as_object().into_iter().flatten() {
            let entries = texts(value);
            match (action.as_str(), part.as_str()) {
                _ if entries.is_empty() => {}
                ("replace", "uri") => replace_uri(&entries, route, place, notes),
                (_, "headers") => {
                    for entry in entries {
                        edit_header(action, &entry, &mut edits, place, notes);
                    }
                }
                _ => notes.add(place, &format!("`{action}.{part}` was not converted")),
            }
        }
    }
    if config
        .get("http_method")
        .is_some_and(|method| !method.is_null())
    {
        notes.add(place, "`http_method` was not converted");
    }
    let changes = !(edits.set.is_empty() && edits.add.is_empty() && edits.remove.is_empty());
    route.request_headers = changes.then_some(edits);
}

fn replace_uri(entries: &[String], route: &mut RouteIn, place: &str, notes: &mut Notes) {
    let target = entries.first().map(String::as_str).unwrap_or_default();
    let is_plain =
        crate::path::CanonicalPath::parse(target).is_ok_and(|path| path.as_str() == target);
    let fixed = route.prefix.is_some();
    if !is_plain || target.contains(['$', '{']) || !fixed || crate::is_internal(target) {
        notes.add(place, &format!("`replace.uri` {target} was not converted"));
        return;
    }
    notes.add(
        place,
        "`replace.uri` takes the place of the route's prefix here; what follows is kept",
    );
    route.strip_path = false;
    route.rewrite = Some(target.to_owned());
}

fn edit_header(
    action: &str,
    entry: &str,
    edits: &mut HeaderEditsIn,
    place: &str,
    notes: &mut Notes,
) {
    let (name, value) = entry.split_once(':').unwrap_or((entry, ""));
    let (name, value) = (name.trim().to_lowercase(), value.trim().to_owned());
    let usable = header_name(&name).is_ok()
        && http::HeaderValue::from_str(&value).is_ok()
        && !value.contains("$(");
    match action {
        _ if !usable => notes.add(
            place,
            &format!("`{action}.headers` {entry} was not converted"),
        ),
        "remove" => edits.remove.push(name),
        "replace" => {
            notes.add(
                place,
                &format!("`{name}` is set here even where it was not there"),
            );
            edits.set.insert(name, value);
        }
        "add" => {
            notes.add(
                place,
                &format!("`{name}` is added here even where it was there already"),
            );
            edits.add.insert(name, value);
        }
        "append" => {
            edits.add.insert(name, value);
        }
        _ => notes.add(
            place,
            &format!("`{action}.headers` {entry} was not converted"),
        ),
    }
}

/// Consumers with keys. Only digests of the keys stand in a routing file.
pub(super) fn consumers(kong: &KongFile, file: &mut FileIn, notes: &mut Notes) {
    for (index, consumer) in kong.consumers.iter().enumerate() {
        let name = consumer.username.as_ref().or(consumer.custom_id.as_ref());
        let name = name
            .cloned()
            .unwrap_or_else(|| format!("consumer-{}", index + 1));
        notes.unknown(&format!("consumer {name}"), &consumer.other);
        let keys = consumer.keyauth_credentials.iter();
        let keys: Vec<String> = keys
            .filter(|credential| !credential.key.is_empty())
            .map(|credential| sha256_of(&credential.key))
            .collect();
        if !keys.is_empty() {
            file.consumers.push(ConsumerIn {
                name,
                key_sha256: keys,
            });
        }
    }
}

fn sha256_of(key: &str) -> String {
    let digest = digest(&SHA256, key.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
