//! The conditions of a route.

use http::HeaderName;
use regex_lite::{Regex, RegexBuilder};

use crate::covers;
use crate::table::Request;

/// Most memory that a compiled expression takes, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// Which paths a route is for.
#[derive(Debug)]
pub(crate) enum PathMatch {
    /// This path alone.
    Exact(Box<str>),
    /// Segments with placeholders.
    Template(Template),
    /// An expression that the whole path matches.
    Regex(Regex),
    /// This path and what lies below it; empty is everything.
    Prefix(Box<str>),
}

impl PathMatch {
    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Template(template) => template.captures(path).is_some(),
            Self::Regex(regex) => regex.is_match(path),
            Self::Prefix(prefix) => covers(prefix, path),
        }
    }

    /// Sorts the kinds that are tried one by one: templates before expressions, and the one that
    /// says more before the one that says less.
    pub(crate) fn rank(&self) -> (u8, usize) {
        match self {
            Self::Exact(path) => (0, usize::MAX - path.len()),
            Self::Template(template) => (1, usize::MAX - template.literal_bytes()),
            Self::Regex(regex) => (2, usize::MAX - regex.as_str().len()),
            Self::Prefix(prefix) => (3, usize::MAX - prefix.len()),
        }
    }
}

/// An expression that must match as a whole.
pub(crate) fn whole_regex(text: &str) -> Result<Regex, String> {
    let bounded = format!("^(?:{text})$");
    let built = RegexBuilder::new(&bounded)
        .size_limit(MAX_REGEX_BYTES)
        .build();
    // The crate's own text spans several lines and shows the anchors that were added.
    built.map_err(|_invalid| "must be a regular expression of the regex-lite crate".to_owned())
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Any(Box<str>),
}

/// Segments, of which some are placeholders.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    rest: Option<Box<str>>,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let body = text.strip_prefix('/').ok_or("must begin with a slash")?;
        let mut segments = Vec::new();
        let mut rest: Option<Box<str>> = None;
        let mut names: Vec<&str> = Vec::new();
        for segment in body.split('/') {
            if rest.is_some() {
                return Err("nothing can follow {*name}");
            }
            let inner = segment
                .strip_prefix('{')
                .and_then(|it| it.strip_suffix('}'));
            let Some(inner) = inner else {
                if segment.contains(['{', '}']) {
                    return Err("a placeholder is a whole segment");
                }
                segments.push(Segment::Literal(segment.into()));
                continue;
            };
            let name = inner.strip_prefix('*').unwrap_or(inner);
            if !is_name(name) || names.contains(&name) {
                return Err("a placeholder has a name of its own in letters, digits and _");
            }
            names.push(name);
            match inner.starts_with('*') {
                true => rest = Some(name.into()),
                false => segments.push(Segment::Any(name.into())),
            }
        }
        Ok(Self { segments, rest })
    }

    fn literal_bytes(&self) -> usize {
        let literal = |segment: &Segment| match segment {
            Segment::Literal(text) => text.len() + 1,
            Segment::Any(_) => 1,
        };
        self.segments.iter().map(literal).sum()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.segments.iter().filter_map(|segment| match segment {
            Segment::Any(name) => Some(&**name),
            Segment::Literal(_) => None,
        });
        own.chain(self.rest.as_deref())
    }

    /// What stands for each placeholder; `None` when the path is another.
    pub(crate) fn captures<'t>(&'t self, path: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
        let mut remaining = Some(path.strip_prefix('/')?);
        let mut found = Vec::new();
        for segment in &self.segments {
            let text = remaining?;
            let (head, tail) = match text.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (text, None),
            };
            match segment {
                Segment::Literal(literal) if **literal == *head => {}
                Segment::Any(name) if !head.is_empty() => found.push((&**name, head)),
                _ => return None,
            }
            remaining = tail;
        }
        match (&self.rest, remaining) {
            (None, None) => Some(found),
            (Some(name), Some(text)) => {
                found.push((name, text));
                Some(found)
            }
            _ => None,
        }
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(word)
        && text
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

#[derive(Debug)]
pub(crate) enum ValueMatch {
    Present,
    Equals(Box<str>),
    Regex(Regex),
}

impl ValueMatch {
    fn matches(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (_, None) => false,
            (Self::Present, Some(_)) => true,
            (Self::Equals(expected), Some(value)) => **expected == *value,
            (Self::Regex(regex), Some(value)) => regex.is_match(value),
        }
    }
}

/// All conditions of a route but its hosts.
#[derive(Debug)]
pub(crate) struct Matcher {
    pub(crate) path: PathMatch,
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) headers: Vec<(HeaderName, ValueMatch)>,
    pub(crate) query: Vec<(Box<str>, ValueMatch)>,
}

impl Matcher {
    /// Whether the conditions besides host and path hold.
    pub(crate) fn accepts(&self, request: &Request<'_>) -> bool {
        (self.methods.is_empty()
            || self
                .methods
                .iter()
                .any(|method| **method == *request.method))
            && self
                .headers
                .iter()
                .all(|(name, value)| value.matches((request.header)(name.as_str())))
            && self
                .query
                .iter()
                .all(|(name, value)| value.matches(parameter(request.query, name)))
    }

    /// Sorts routes of one path: the one that asks for more comes first (Gateway API,
    /// `HTTPRouteRule.matches`).
    pub(crate) fn rank(&self) -> (bool, usize, usize) {
        (
            self.methods.is_empty(),
            usize::MAX - self.headers.len(),
            usize::MAX - self.query.len(),
        )
    }
}

/// The first value of a query parameter, as it stands there: escapes are not decoded, because a
/// service may decode them in another way.
fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_stands_for_one_segment_and_a_last_one_for_the_rest() {
        for (template, path, expected) in [
            ("/a/{x}", "/a/1", Some("x=1")),
            ("/a/{x}", "/a/", None),
            ("/a/{x}", "/a", None),
            ("/a/{x}", "/a/1/2", None),
            ("/a/{x}/b", "/a/1/b", Some("x=1")),
            ("/a/{x}/b/{y}", "/a/1/b/2", Some("x=1 y=2")),
            ("/a/{*rest}", "/a/1/2", Some("rest=1/2")),
            ("/a/{*rest}", "/a/", Some("rest=")),
            ("/a/{*rest}", "/a", None),
            ("/{x}", "/", None),
            ("/a/b", "/a/b", Some("")),
            ("/a/b", "/a/bc", None),
        ] {
            let parsed = Template::parse(template).unwrap();
            let found = parsed.captures(path).map(|pairs| {
                let texts: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
                texts.join(" ")
            });
            assert_eq!(found.as_deref(), expected, "{template} {path}");
        }
        for bad in ["a", "/{", "/x{y}", "/{1}", "/{a}/{a}", "/{*a}/b", "/{}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_parameter_is_read_as_it_stands() {
        for (query, expected) in [
            ("a=1", Some("1")),
            ("b=2&a=1&a=3", Some("1")),
            ("a", Some("")),
            ("aa=1", None),
            ("%61=1", None),
            ("", None),
        ] {
            assert_eq!(parameter(Some(query), "a"), expected, "{query}");
        }
    }
}
