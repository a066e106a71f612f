//! The picture in a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Paragraph, Row, Table};

use super::view::{Cell, ROUTE_COLUMNS, SERVICE_COLUMNS, Tone, View};

/// What stands under the tables.
const HELP: &str = "q quit   up/down scroll the routes";

/// Columns that hold numbers, from this one on, in each table.
const ROUTE_NUMBERS: usize = 2;
const SERVICE_NUMBERS: usize = 4;

/// Draws a view, or that there is none yet. `first` is the route at the top; `trouble` is why what is
/// shown may be old.
pub(crate) fn draw(
    frame: &mut Frame<'_>,
    view: Option<&View>,
    first: usize,
    trouble: Option<&str>,
) {
    let services = view.map_or(0, |view| view.services.len());
    // The services get what they need, but not more than half of it.
    let most = frame.area().height / 2;
    let wanted = u16::try_from(services + 3).unwrap_or(u16::MAX).min(most);
    let rows = [
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(wanted),
        Constraint::Length(1),
    ];
    let [head, routes, services, foot] = Layout::vertical(rows).areas(frame.area());
    let Some(view) = view else {
        let text = trouble.unwrap_or("asking the gateway");
        frame.render_widget(Paragraph::new(text), head);
        frame.render_widget(Paragraph::new(HELP).style(style(Tone::Quiet)), foot);
        return;
    };
    let mut summary = Vec::new();
    for cell in &view.summary {
        summary.push(Span::styled(cell.text.clone(), style(cell.tone)));
        summary.push(Span::raw("   "));
    }
    frame.render_widget(Line::from(summary), head);
    let first = first.min(view.routes.len().saturating_sub(1));
    let shown = view.routes.get(first..).unwrap_or_default();
    let title = format!(
        " routes {}-{} of {} ",
        first + 1,
        view.routes.len(),
        view.routes.len()
    );
    table(
        frame,
        routes,
        (&title, &ROUTE_COLUMNS, ROUTE_NUMBERS),
        shown,
    );
    let title = " services ";
    table(
        frame,
        services,
        (title, &SERVICE_COLUMNS, SERVICE_NUMBERS),
        &view.services,
    );
    let line = match trouble {
        Some(trouble) => Paragraph::new(trouble.to_owned()).style(style(Tone::Bad)),
        None => Paragraph::new(HELP).style(style(Tone::Quiet)),
    };
    frame.render_widget(line, foot);
}

/// A table in a frame; its columns from `numbers` on stand to the right.
fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    (title, columns, numbers): (&str, &[&'static str], usize),
    rows: &[Vec<Cell>],
) {
    let text = |place: usize, text: String| match place >= numbers {
        true => Text::from(text).right_aligned(),
        false => Text::from(text),
    };
    let header = columns.iter().enumerate();
    let header = Row::new(header.map(|(place, name)| text(place, (*name).to_owned())));
    let header = header.style(Style::new().add_modifier(Modifier::BOLD));
    let widths = columns.iter().enumerate().map(|(place, name)| {
        let cells = rows.iter().filter_map(|row| row.get(place));
        let widest = cells
            .map(|cell| cell.text.chars().count())
            .max()
            .unwrap_or(0);
        let width = widest.max(name.len()).min(60);
        Constraint::Length(u16::try_from(width).unwrap_or(60))
    });
    let body = rows.iter().map(|row| {
        let cells = row.iter().enumerate();
        Row::new(cells.map(|(place, cell)| text(place, cell.text.clone()).style(style(cell.tone))))
    });
    let table = Table::new(body, widths)
        .header(header)
        .column_spacing(2)
        .block(Block::bordered().title(title.to_owned()));
    frame.render_widget(table, area);
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Warning => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Quiet => Style::new().add_modifier(Modifier::DIM),
    }
}
