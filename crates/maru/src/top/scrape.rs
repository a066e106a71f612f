//! The text in which the gateway gives its metrics (Prometheus text format 0.0.4), as far as it is
//! used here: names, labels, values.

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) name: String,
    labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Point {
    /// The value of a label; empty when there is none.
    pub(crate) fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Every line that can be read.
pub(crate) fn parse(text: &str) -> Vec<Point> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Point> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Point {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The labels, and what follows them.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next()? {
                (place, '"') => break place + 1,
                (_, '\\') => match letters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = after.get(end..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_labels() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"q\\\"\\\\\\n}\"} 3\n\nb 1.5e3\nc{le=\"+Inf\"} 7\nbroken{x=\"1\nbroken\n";
        let points = parse(text);
        let read: Vec<_> = points
            .iter()
            .map(|point| (point.name.as_str(), point.label("y"), point.value))
            .collect();
        assert_eq!(
            read,
            [("a", "q\"\\\n}", 3.0), ("b", "", 1_500.0), ("c", "", 7.0)]
        );
        assert_eq!((points[0].label("x"), points[2].label("le")), ("1", "+Inf"));
    }
}
