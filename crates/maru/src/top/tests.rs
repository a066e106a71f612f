//! What is drawn, cell by cell.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use tokio::time::Instant;

use super::sample::{Sample, Status};
use super::screen::draw;
use super::view::View;
use super::{Wish, wish_of};

const STATUS: &str = r#"{"status": "degraded", "services": [
    {"name": "gateway", "status": "healthy", "instances": [
        {"id": "settings", "url": "http://127.0.0.1:5000", "status": "healthy"}]},
    {"name": "order", "status": "healthy", "breaker": "open", "instances": [
        {"id": "a", "url": "http://10.0.0.1:80", "status": "healthy", "in_flight": 3, "answer_ms": 12},
        {"id": "b", "url": "http://10.0.0.2:80", "status": "healthy", "ejected": true, "answer_ms": 5000}]},
    {"name": "iot", "status": "unknown", "breaker": "closed", "instances": []}]}"#;

fn metrics(more: u32) -> String {
    let (many, few) = (100 * more, 5 * more);
    format!(
        "http_requests_total{{route=\"/api/orders\",service=\"order\",status=\"200\"}} {many}\n\
         http_requests_total{{route=\"/api/orders\",service=\"order\",status=\"503\"}} {few}\n\
         http_requests_total{{route=\"/api/iot\",service=\"iot\",status=\"404\"}} {few}\n\
         http_requests_total{{route=\"/api/menu\",service=\"order\",status=\"200\"}} 7\n\
         http_request_duration_seconds_bucket{{route=\"/api/orders\",service=\"order\",le=\"0.001\"}} {few}\n\
         http_request_duration_seconds_bucket{{route=\"/api/orders\",service=\"order\",le=\"0.01\"}} {many}\n\
         http_request_duration_seconds_bucket{{route=\"/api/orders\",service=\"order\",le=\"+Inf\"}} {many}\n\
         gateway_instance_requests_total{{service=\"order\",instance=\"a\",outcome=\"answered\"}} {many}\n\
         circuit_breaker_state{{target=\"/api/menu/order\"}} 1\n\
         circuit_breaker_state{{target=\"order\"}} 2\n\
         gateway_requests_in_flight 4\n"
    )
}

fn view() -> View {
    let status: Status = serde_json::from_str(STATUS).unwrap();
    let start = Instant::now();
    let before = Sample::read(start, &metrics(1), status.clone());
    let now = Sample::read(start + Duration::from_secs(2), &metrics(3), status);
    View::of("http://gw", &before, &now)
}

#[tokio::test]
async fn the_plain_view_says_all_of_it() {
    let expected = "\
http://gw  DEGRADED  110 req/s  4.5% 5xx  3 in flight

ROUTE        SERVICE  REQ/S  5XX   4XX     P50     P99
/api/orders  order    105    4.8%  -       5.3 ms  9.9 ms
/api/iot     iot      5.0    -     100.0%  -       -
/api/menu    order    0      -     -       -       -

SERVICE  INSTANCE         STATUS   BREAKER    REQ/S  IN FLIGHT  ANSWER
gateway  127.0.0.1:5000   HEALTHY  -          0      0          0 ms
order    10.0.0.1:80      HEALTHY  open       100    3          12 ms
         10.0.0.2:80      EJECTED             0      0          5000 ms
iot      -                UNKNOWN  closed
route    /api/menu/order  -        half-open";
    assert_eq!(view().to_string(), expected);
}

/// The lines of a screen of this size.
fn lines(terminal: &Terminal<TestBackend>) -> Vec<String> {
    let buffer = terminal.backend().buffer();
    let width = usize::from(buffer.area.width);
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    let lines = cells
        .chunks(width)
        .map(|line| line.concat().trim_end().to_owned());
    lines.collect()
}

fn drawn(width: u16, height: u16, first: usize, trouble: Option<&str>) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let view = view();
    terminal
        .draw(|frame| draw(frame, Some(&view), first, trouble))
        .unwrap();
    terminal
}

#[tokio::test]
async fn the_screen_shows_routes_and_services_in_frames() {
    let terminal = drawn(80, 18, 0, None);
    insta::assert_snapshot!(lines(&terminal).join("\n"), @r"
    http://gw   DEGRADED   110 req/s   4.5% 5xx   3 in flight
    ┌ routes 1-3 of 3 ─────────────────────────────────────────────────────────────┐
    │ROUTE        SERVICE  REQ/S   5XX     4XX     P50     P99                     │
    │/api/orders  order      105  4.8%       -  5.3 ms  9.9 ms                     │
    │/api/iot     iot        5.0     -  100.0%       -       -                     │
    │/api/menu    order        0     -       -       -       -                     │
    │                                                                              │
    │                                                                              │
    └──────────────────────────────────────────────────────────────────────────────┘
    ┌ services ────────────────────────────────────────────────────────────────────┐
    │SERVICE  INSTANCE         STATUS   BREAKER    REQ/S  IN FLIGHT   ANSWER       │
    │gateway  127.0.0.1:5000   HEALTHY  -              0          0     0 ms       │
    │order    10.0.0.1:80      HEALTHY  open         100          3    12 ms       │
    │         10.0.0.2:80      EJECTED                 0          0  5000 ms       │
    │iot      -                UNKNOWN  closed                                     │
    │route    /api/menu/order  -        half-open                                  │
    └──────────────────────────────────────────────────────────────────────────────┘
    q quit   up/down scroll the routes
    ");
    let buffer = terminal.backend().buffer();
    let color_of = |text: &str| {
        let lines = lines(&terminal);
        let (row, line) = lines
            .iter()
            .enumerate()
            .find(|(_, line)| line.contains(text))
            .unwrap();
        let column = line
            .chars()
            .collect::<String>()
            .find(text)
            .map(|at| line[..at].chars().count());
        let place = (
            u16::try_from(column.unwrap()).unwrap(),
            u16::try_from(row).unwrap(),
        );
        buffer[place].fg
    };
    assert_eq!(color_of("DEGRADED"), Color::Yellow);
    assert_eq!(color_of("4.8%"), Color::Red);
    assert_eq!(color_of("100.0%"), Color::Yellow);
    assert_eq!(color_of("open "), Color::Red);
    assert_eq!(color_of("HEALTHY"), Color::Green);
}

#[tokio::test]
async fn a_small_terminal_and_a_gateway_that_is_away_break_nothing() {
    for (width, height) in [(0, 0), (1, 1), (20, 4), (300, 100)] {
        drawn(width, height, 0, None);
    }
    let text = lines(&drawn(80, 18, 1, Some("the gateway does not answer"))).join("\n");
    assert!(text.contains("routes 2-3 of 3"), "{text}");
    assert!(!text.contains("/api/orders "), "{text}");
    assert!(text.ends_with("the gateway does not answer"), "{text}");
    drawn(80, 18, 99, None);
    let mut terminal = Terminal::new(TestBackend::new(40, 5)).unwrap();
    terminal.draw(|frame| draw(frame, None, 0, None)).unwrap();
    assert!(lines(&terminal)[0].contains("asking the gateway"));
}

#[test]
fn keys_say_what_is_wanted() {
    let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
    for (event, expected) in [
        (
            key(KeyCode::Char('q'), KeyModifiers::NONE),
            Some(Wish::Quit),
        ),
        (key(KeyCode::Esc, KeyModifiers::NONE), Some(Wish::Quit)),
        (
            key(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Wish::Quit),
        ),
        (key(KeyCode::Char('c'), KeyModifiers::NONE), None),
        (key(KeyCode::Down, KeyModifiers::NONE), Some(Wish::Down)),
        (Event::Resize(1, 1), Some(Wish::Redraw)),
    ] {
        assert_eq!(wish_of(&event), expected, "{event:?}");
    }
}
