//! What a gateway has counted at one moment, and what happened between two of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::scrape::{Point, parse};

/// Route and service.
pub(crate) type RouteKey = (String, String);

/// The state that the gateway shows to everybody. What is missing is shown as unknown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) status: String,
    pub(crate) services: Vec<ServiceState>,
}

/// A service, as the gateway sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceState {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) breaker: Option<String>,
    pub(crate) instances: Vec<InstanceState>,
}

/// One place where a service runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InstanceState {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) status: String,
    pub(crate) ejected: bool,
    pub(crate) in_flight: u64,
    pub(crate) answer_ms: u64,
}

/// Counts of answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) requests: f64,
    /// Answers with 5xx.
    pub(crate) failures: f64,
    /// Answers with 4xx.
    pub(crate) refusals: f64,
    /// By upper bound of the answer time in seconds, each with those below it.
    pub(crate) buckets: Vec<(f64, f64)>,
}

/// All that is known at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) status: Status,
    pub(crate) in_flight: f64,
    pub(crate) routes: BTreeMap<RouteKey, Counts>,
    /// Requests by service and instance.
    pub(crate) instances: BTreeMap<(String, String), f64>,
    /// Breakers of routes that have changed at least once, by `route/service`: 0 closed, 1 half
    /// open, 2 open.
    pub(crate) breakers: BTreeMap<String, f64>,
}

impl Sample {
    /// Reads what the gateway answered.
    pub(crate) fn read(at: Instant, metrics: &str, status: Status) -> Self {
        let mut sample = Self {
            at,
            status,
            in_flight: 0.0,
            routes: BTreeMap::new(),
            instances: BTreeMap::new(),
            breakers: BTreeMap::new(),
        };
        for point in parse(metrics) {
            sample.take(&point);
        }
        for counts in sample.routes.values_mut() {
            counts
                .buckets
                .sort_by(|one, other| one.0.total_cmp(&other.0));
        }
        sample
    }

    fn take(&mut self, point: &Point) {
        let text = |name: &str| point.label(name).to_owned();
        match point.name.as_str() {
            "gateway_requests_in_flight" => self.in_flight = point.value,
            "http_requests_total" => {
                let counts = self.route(point);
                counts.requests += point.value;
                match point.label("status").bytes().next() {
                    Some(b'5') => counts.failures += point.value,
                    Some(b'4') => counts.refusals += point.value,
                    _ => {}
                }
            }
            "http_request_duration_seconds_bucket" => {
                let bound = point.label("le").parse().unwrap_or(f64::INFINITY);
                let buckets = &mut self.route(point).buckets;
                match buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += point.value,
                    None => buckets.push((bound, point.value)),
                }
            }
            "gateway_instance_requests_total" => {
                let key = (text("service"), text("instance"));
                *self.instances.entry(key).or_default() += point.value;
            }
            "circuit_breaker_state" => {
                self.breakers.insert(text("target"), point.value);
            }
            _ => {}
        }
    }

    fn route(&mut self, point: &Point) -> &mut Counts {
        let key = (
            point.label("route").to_owned(),
            point.label("service").to_owned(),
        );
        self.routes.entry(key).or_default()
    }
}

impl Counts {
    /// What was added since `before`. A count that has become smaller began anew.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let bucket = |(bound, count): &(f64, f64)| {
            let known = before.buckets.iter().find(|(known, _)| known == bound);
            (
                *bound,
                added(*count, known.map_or(0.0, |(_, count)| *count)),
            )
        };
        Self {
            requests: added(self.requests, before.requests),
            failures: added(self.failures, before.failures),
            refusals: added(self.refusals, before.refusals),
            buckets: self.buckets.iter().map(bucket).collect(),
        }
    }

    /// The answer time below which this share of the answers is, as its buckets tell: evenly spread
    /// within one. `None` without answers.
    pub(crate) fn quantile(&self, share: f64) -> Option<Latency> {
        let total = self.buckets.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let rank = share * total;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank && *count > below {
                return Some(match (bound.is_finite(), lower > 0.0) {
                    (false, _) => Latency::Above(Duration::from_secs_f64(lower)),
                    (true, false) => Latency::Below(Duration::from_secs_f64(*bound)),
                    (true, true) => {
                        let part = (rank - below) / (count - below);
                        Latency::About(Duration::from_secs_f64(lower + part * (bound - lower)))
                    }
                });
            }
            (lower, below) = (*bound, *count);
        }
        None
    }
}

pub(crate) fn added(now: f64, before: f64) -> f64 {
    if now >= before { now - before } else { now }
}

/// An answer time, as exactly as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Latency {
    Below(Duration),
    About(Duration),
    Above(Duration),
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |time: Duration| {
            let millis = time.as_secs_f64() * 1_000.0;
            if millis < 10.0 {
                let text = format!("{millis:.1}");
                format!("{} ms", text.strip_suffix(".0").unwrap_or(&text))
            } else if millis < 1_000.0 {
                format!("{millis:.0} ms")
            } else {
                format!("{:.1} s", time.as_secs_f64())
            }
        };
        let text = match self {
            Self::Below(time) => format!("<{}", text(*time)),
            Self::About(time) => text(*time),
            Self::Above(time) => format!(">{}", text(*time)),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(buckets: &[(f64, f64)]) -> Counts {
        Counts {
            buckets: buckets.to_vec(),
            ..Counts::default()
        }
    }

    #[test]
    fn a_quantile_is_where_its_bucket_says() {
        let all = counts(&[
            (0.001, 50.0),
            (0.01, 90.0),
            (0.1, 99.0),
            (f64::INFINITY, 100.0),
        ]);
        for (share, expected) in [
            (0.5, "<1 ms"),
            (0.7, "5.5 ms"),
            (0.9, "10 ms"),
            (0.99, "100 ms"),
            (1.0, ">100 ms"),
        ] {
            let latency = all.quantile(share).unwrap().to_string();
            assert_eq!(latency, expected, "{share}");
        }
        assert_eq!(counts(&[(0.001, 0.0)]).quantile(0.5), None);
        assert_eq!(counts(&[]).quantile(0.5), None);
    }

    #[test]
    fn what_happened_is_the_difference_and_a_restart_begins_anew() {
        let before = Counts {
            requests: 10.0,
            failures: 4.0,
            refusals: 1.0,
            buckets: vec![(0.1, 5.0), (f64::INFINITY, 10.0)],
        };
        let after = Counts {
            requests: 30.0,
            failures: 3.0,
            refusals: 1.0,
            buckets: vec![(0.1, 20.0), (f64::INFINITY, 30.0)],
        };
        let happened = after.since(&before);
        assert_eq!(
            (happened.requests, happened.failures, happened.refusals),
            (20.0, 3.0, 0.0)
        );
        assert_eq!(happened.buckets, [(0.1, 15.0), (f64::INFINITY, 20.0)]);
    }

    #[test]
    fn methods_and_statuses_of_a_route_are_added_up() {
        let text = "http_requests_total{method=\"GET\",route=\"/a\",service=\"s\",status=\"200\"} 5\n\
            http_requests_total{method=\"PUT\",route=\"/a\",service=\"s\",status=\"503\"} 2\n\
            http_requests_total{method=\"PUT\",route=\"/a\",service=\"s\",status=\"404\"} 1\n\
            http_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",service=\"s\",le=\"+Inf\"} 5\n\
            http_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",service=\"s\",le=\"0.1\"} 4\n\
            http_request_duration_seconds_bucket{method=\"PUT\",route=\"/a\",service=\"s\",le=\"0.1\"} 3\n\
            gateway_requests_in_flight 2\n";
        let sample = Sample::read(Instant::now(), text, Status::default());
        let counts = &sample.routes[&("/a".to_owned(), "s".to_owned())];
        assert_eq!(
            (counts.requests, counts.failures, counts.refusals),
            (8.0, 2.0, 1.0)
        );
        assert_eq!(counts.buckets, [(0.1, 7.0), (f64::INFINITY, 5.0)]);
        assert_eq!(sample.in_flight, 2.0);
    }
}
