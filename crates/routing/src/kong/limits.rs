//! Limits. What a plugin was put on is counted together in Kong, whatever it consists of: all of it
//! shares one limit here.

use serde_json::Value;

use super::Notes;
use super::form::KongPlugin;
use super::scope::Scoped;
use crate::file::{RateKeyIn, RateLimitIn};

/// Longest name of a limit, without what makes it another one.
const MAX_NAME_CHARS: usize = 50;

/// Windows of Kong's that there are here, in seconds.
const WINDOWS: [(&str, u64); 4] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
];

/// The limits so far, each with the plugin that it was made from.
#[derive(Default)]
pub(super) struct Limits<'k>(Vec<(&'k KongPlugin, RateLimitIn)>);

impl<'k> Limits<'k> {
    pub(super) fn into_inner(self) -> Vec<RateLimitIn> {
        self.0.into_iter().map(|(_plugin, limit)| limit).collect()
    }

    /// The names of a plugin's limits, which are made when it is seen for the first time. `with_keys`
    /// says whether callers of the route come with keys.
    pub(super) fn of_plugin(
        &mut self,
        scoped: &Scoped<'k>,
        with_keys: bool,
        place: &str,
        notes: &mut Notes,
    ) -> Vec<String> {
        let config = &scoped.plugin.config;
        let by = key(config, with_keys, place, notes);
        say_what_differs(config, place, notes);
        let mut names = Vec::new();
        for (unit, window_seconds) in WINDOWS {
            let Some(requests) = config.get(unit).and_then(Value::as_u64) else {
                continue;
            };
            let known = self.0.iter().find(|(plugin, limit)| {
                std::ptr::eq(*plugin, scoped.plugin)
                    && limit.by == by
                    && limit.window_seconds == window_seconds
            });
            if let Some((_plugin, limit)) = known {
                names.push(limit.name.clone());
                if by == RateKeyIn::Route {
                    notes.add(
                        place,
                        "each of its routes is counted by itself here, with the whole limit",
                    );
                }
                continue;
            }
            let name = self.free_name(&scoped.scope, unit);
            names.push(name.clone());
            let limit = RateLimitIn {
                name,
                by,
                requests: u32::try_from(requests).unwrap_or(u32::MAX).max(1),
                window_seconds,
                burst: None,
            };
            self.0.push((scoped.plugin, limit));
        }
        names
    }

    fn free_name(&self, scope: &str, unit: &str) -> String {
        let scope: String = scope.chars().take(MAX_NAME_CHARS).collect();
        let first = format!("{scope}-{unit}");
        let others = (2..).map(|count| format!("{first}-{count}"));
        let mut names = std::iter::once(first.clone()).chain(others);
        let is_free = |name: &String| self.0.iter().all(|(_plugin, limit)| limit.name != *name);
        names.find(is_free).unwrap_or(first)
    }
}

fn key(config: &Value, with_keys: bool, place: &str, notes: &mut Notes) -> RateKeyIn {
    let by = config.get("limit_by").and_then(Value::as_str);
    match by.unwrap_or("consumer") {
        "ip" => RateKeyIn::Address,
        "consumer" | "credential" if with_keys => RateKeyIn::ApiKey,
        "consumer" | "credential" => RateKeyIn::Subject,
        "service" => RateKeyIn::Route,
        other => {
            notes.add(
                place,
                &format!("`limit_by` {other} was not converted; the address counts"),
            );
            RateKeyIn::Address
        }
    }
}

fn say_what_differs(config: &Value, place: &str, notes: &mut Notes) {
    for unit in ["month", "year"] {
        if config.get(unit).is_some_and(|limit| !limit.is_null()) {
            notes.add(
                place,
                &format!("the limit per {unit} was not converted: a day is the longest window"),
            );
        }
    }
    let policy = config.get("policy").and_then(Value::as_str);
    if policy.is_some_and(|policy| policy != "local") {
        notes.add(
            place,
            "counts are shared through Redis when REDIS_URL is set, whatever `policy` says",
        );
    }
}
