//! How the fields of a log line are written for people.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// Writes fields as tracing-subscriber does, without colours. Most fields of the lines that are written
/// for each request are whole numbers and plain texts. Those go the direct way here: with the
/// library's own, a line took an eighth of all that the gateway does for a request.
pub(super) struct PlainFields;

/// Writes the fields of one event or span.
pub(super) struct FieldWriter<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl<'w> MakeVisitor<Writer<'w>> for PlainFields {
    type Visitor = FieldWriter<'w>;

    fn make_visitor(&self, writer: Writer<'w>) -> FieldWriter<'w> {
        FieldWriter {
            writer,
            is_first: true,
            result: Ok(()),
        }
    }
}

impl FieldWriter<'_> {
    /// Writes a field after those before it, unless it is one of the log crate's own, which stand
    /// elsewhere in the line.
    fn write(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_err() || field.name().starts_with("log.") {
            return;
        }
        if !std::mem::take(&mut self.is_first) {
            self.result = self.writer.write_char(' ');
        }
        self.result = self.result.and_then(|()| write(&mut self.writer));
    }

    /// Has the library write what is not plain.
    fn leave(&mut self, field: &Field, visit: impl FnOnce(&mut DefaultVisitor<'_>)) {
        self.write(field, |writer| {
            let mut visitor = DefaultVisitor::new(writer.by_ref(), true);
            visit(&mut visitor);
            visitor.finish()
        });
    }
}

impl Visit for FieldWriter<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.leave(field, |library| library.record_debug(field, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.leave(field, |library| library.record_error(field, value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE || !is_plain(value) {
            return self.leave(field, |library| library.record_str(field, value));
        }
        self.write(field, |writer| {
            writer.write_str(field.name())?;
            writer.write_str("=\"")?;
            writer.write_str(value)?;
            writer.write_char('"')
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |writer| {
            writer.write_str(field.name())?;
            write!(writer, "={value}")
        });
    }
}

impl VisitOutput<fmt::Result> for FieldWriter<'_> {
    fn finish(self) -> fmt::Result {
        self.result
    }
}

impl VisitFmt for FieldWriter<'_> {
    fn writer(&mut self) -> &mut dyn fmt::Write {
        &mut self.writer
    }
}

/// The field that has no name in the line.
const MESSAGE: &str = "message";

/// Whether it stands between quotation marks as it is.
fn is_plain(text: &str) -> bool {
    let stands = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    text.bytes().all(stands)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() {
        let plain = io::Error::other("no\nsuch thing");
        let nested = crate::error::ApiError::internal(io::Error::other("the cause"));
        let number = Some(7_u64);
        tracing::info!(
            text = "GET",
            empty = "",
            quoted = "a \"b\" \\ c",
            control = "a\u{1b}[31mb\nc",
            other = "\u{e9}\u{2028}",
            owned = String::from("x"),
            "a message"
        );
        tracing::info!(
            number,
            none = None::<u64>,
            signed = -3,
            small = 200_u16,
            most = u64::MAX,
            yes = true,
            half = 0.5,
            debug = ?[1, 2],
            display = %plain,
            error = &plain as &dyn std::error::Error,
            nested = &nested as &dyn std::error::Error,
            "a {} message\u{1b}[0m",
            "formatted"
        );
        tracing::info!(only = "a field");
        tracing::info!("log.target" = "hidden", "log.line" = 7_u64, shown = 1_u64);
        tracing::info_span!("span", id = 7_u64, name = "x").in_scope(|| tracing::info!("inside"));
    }

    #[test]
    fn lines_are_those_of_the_library() {
        let (ours, theirs) = (Written::default(), Written::default());
        let layer = |written: &Written| {
            let written = written.clone();
            let layer = fmt().with_ansi(false).without_time().compact();
            layer.with_writer(move || written.clone())
        };
        with_default(layer(&ours).fmt_fields(PlainFields).finish(), lines);
        with_default(layer(&theirs).finish(), lines);
        let text = |written: &Written| String::from_utf8(written.0.lock().unwrap().clone());
        let (ours, theirs) = (text(&ours).unwrap(), text(&theirs).unwrap());
        assert_eq!(ours, theirs);
        assert_eq!(ours.matches("INFO").count(), 5, "{ours}");
    }
}
