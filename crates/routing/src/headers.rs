//! What a route changes in the headers of a request or an answer (Gateway API,
//! `HTTPHeaderFilter`).

use http::{HeaderName, HeaderValue};

use crate::file::HeaderEditsIn;

/// Headers that a route removes, sets and adds, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Taken away.
    pub remove: Vec<HeaderName>,
    /// Put in the place of what stands there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Put beside what stands there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// `fault` is told of a field and what is expected.
    pub(crate) fn compile(input: &HeaderEditsIn, mut fault: impl FnMut(String, String)) -> Self {
        let mut edits = Self::default();
        for (index, name) in input.remove.iter().enumerate() {
            match header_name(name) {
                Ok(name) => edits.remove.push(name),
                Err(message) => fault(format!("remove[{index}]"), message),
            }
        }
        let groups = [
            ("set", &input.set, &mut edits.set),
            ("add", &input.add, &mut edits.add),
        ];
        for (group, pairs, target) in groups {
            for (name, value) in pairs {
                let field = || format!("{group}.{name}");
                match (header_name(name), HeaderValue::from_str(value)) {
                    (Ok(name), Ok(value)) => target.push((name, value)),
                    (Err(message), _) => fault(field(), message),
                    (_, Err(_)) => fault(field(), "must be a header value".to_owned()),
                }
            }
        }
        edits
    }
}

/// A header that a route may change. Framing, hop-by-hop headers and what the gateway says about the
/// client are not for a route to change: the two sides would read different messages.
pub(crate) fn header_name(text: &str) -> Result<HeaderName, String> {
    const KEPT: [&str; 17] = [
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-request-id",
    ];
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_invalid| format!("`{text}` is no header name"))?;
    let kept = KEPT.contains(&name.as_str())
        || name.as_str().starts_with("x-forwarded-")
        || name.as_str().starts_with("access-control-");
    match kept {
        true => Err(format!("{name} is the gateway's own")),
        false => Ok(name),
    }
}
