//! What is shown: rows of text, made of two samples. The screen and the plain text show the same.

use std::fmt;

use super::sample::{Counts, Sample, added};
use crate::output::Table;

/// How a cell should be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    /// Of no interest at the moment.
    Quiet,
}

/// A part of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Everything that is shown.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The gateway's address, the state of the system, and the sums.
    pub(crate) summary: Vec<Cell>,
    pub(crate) routes: Vec<Vec<Cell>>,
    pub(crate) services: Vec<Vec<Cell>>,
}

/// The columns of the routes.
pub(crate) const ROUTE_COLUMNS: [&str; 7] =
    ["ROUTE", "SERVICE", "REQ/S", "5XX", "4XX", "P50", "P99"];

/// The columns of the services and their instances.
pub(crate) const SERVICE_COLUMNS: [&str; 7] = [
    "SERVICE",
    "INSTANCE",
    "STATUS",
    "BREAKER",
    "REQ/S",
    "IN FLIGHT",
    "ANSWER",
];

impl View {
    /// What happened between two moments at a gateway.
    pub(crate) fn of(gateway: &str, before: &Sample, now: &Sample) -> Self {
        let seconds = (now.at - before.at).as_secs_f64().max(0.001);
        let nothing = Counts::default();
        let mut routes: Vec<(f64, &(String, String), Counts)> = now
            .routes
            .iter()
            .map(|(key, counts)| {
                let happened = counts.since(before.routes.get(key).unwrap_or(&nothing));
                (happened.requests / seconds, key, happened)
            })
            .collect();
        // The busiest first; the others by their names, so that rows stand still.
        routes.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
        let requests: f64 = routes.iter().map(|(_, _, counts)| counts.requests).sum();
        let failures: f64 = routes.iter().map(|(_, _, counts)| counts.failures).sum();
        let status = &now.status.status;
        Self {
            summary: vec![
                Cell::plain(gateway),
                Cell::new(status.to_uppercase(), tone_of(status)),
                Cell::plain(format!("{} req/s", rate(requests / seconds))),
                Cell::new(
                    format!("{} 5xx", percent(failures, requests)),
                    if failures > 0.0 {
                        Tone::Bad
                    } else {
                        Tone::Plain
                    },
                ),
                // The question itself is one of them.
                Cell::plain(format!("{} in flight", (now.in_flight - 1.0).max(0.0))),
            ],
            routes: routes
                .iter()
                .map(|(rate, key, counts)| route_row(*rate, key, counts))
                .collect(),
            services: service_rows(before, now, seconds),
        }
    }
}

fn route_row(per_second: f64, (route, service): &(String, String), counts: &Counts) -> Vec<Cell> {
    let tone = match counts.requests > 0.0 {
        true => Tone::Plain,
        false => Tone::Quiet,
    };
    let latency = |share| {
        let latency = counts.quantile(share);
        Cell::new(
            latency.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            tone,
        )
    };
    let share = |count: f64, bad| {
        let tone = if count > 0.0 { bad } else { tone };
        Cell::new(percent(count, counts.requests), tone)
    };
    vec![
        Cell::new(route, tone),
        Cell::new(service, tone),
        Cell::new(rate(per_second), tone),
        share(counts.failures, Tone::Bad),
        share(counts.refusals, Tone::Warning),
        latency(0.5),
        latency(0.99),
    ]
}

fn service_rows(before: &Sample, now: &Sample, seconds: f64) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for service in &now.status.services {
        let breaker = service.breaker.as_deref().unwrap_or("-");
        let mut first = true;
        for instance in &service.instances {
            let key = (service.name.clone(), instance.id.clone());
            let count = |sample: &Sample| sample.instances.get(&key).copied().unwrap_or(0.0);
            let per_second = added(count(now), count(before)) / seconds;
            let status = match instance.ejected {
                true => "ejected",
                false => &instance.status,
            };
            let place = instance
                .url
                .strip_prefix("http://")
                .unwrap_or(&instance.url);
            rows.push(vec![
                Cell::plain(if first { service.name.as_str() } else { "" }),
                Cell::plain(place),
                Cell::new(status.to_uppercase(), tone_of(status)),
                breaker_cell(if first { breaker } else { "" }),
                Cell::plain(rate(per_second)),
                Cell::plain(instance.in_flight.to_string()),
                Cell::plain(format!("{} ms", instance.answer_ms)),
            ]);
            first = false;
        }
        if first {
            let status = service.status.as_str();
            let mut row = vec![Cell::plain(&service.name), Cell::plain("-")];
            row.push(Cell::new(status.to_uppercase(), tone_of(status)));
            row.push(breaker_cell(breaker));
            rows.push(row);
        }
    }
    // Those of routes; those of services stand in the gateway's own words above.
    let own = now
        .breakers
        .iter()
        .filter(|(target, _)| target.contains('/'));
    for (target, level) in own {
        let state = match level {
            level if *level >= 2.0 => "open",
            level if *level >= 1.0 => "half_open",
            _ => "closed",
        };
        rows.push(vec![
            Cell::plain("route"),
            Cell::plain(target),
            Cell::plain("-"),
            breaker_cell(state),
        ]);
    }
    rows
}

fn breaker_cell(state: &str) -> Cell {
    let tone = match state {
        "open" => Tone::Bad,
        "half_open" => Tone::Warning,
        _ => Tone::Plain,
    };
    Cell::new(state.replace('_', "-"), tone)
}

fn tone_of(status: &str) -> Tone {
    match status.to_ascii_lowercase().as_str() {
        "healthy" => Tone::Good,
        "unhealthy" | "down" => Tone::Bad,
        _ => Tone::Warning,
    }
}

fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

fn percent(part: f64, whole: f64) -> String {
    match part > 0.0 && whole > 0.0 {
        true => format!("{:.1}%", part / whole * 100.0),
        false => "-".to_owned(),
    }
}

/// Plain text, for pipes.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary: Vec<&str> = self.summary.iter().map(|cell| cell.text.as_str()).collect();
        writeln!(f, "{}\n", summary.join("  "))?;
        let table = |columns: &[&str], rows: &[Vec<Cell>]| {
            let mut table = Table::new(columns);
            for row in rows {
                table.row(row.iter().map(|cell| cell.text.clone()));
            }
            table
        };
        writeln!(f, "{}\n", table(&ROUTE_COLUMNS, &self.routes))?;
        write!(f, "{}", table(&SERVICE_COLUMNS, &self.services))
    }
}
