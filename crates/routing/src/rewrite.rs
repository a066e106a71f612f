//! The path that the service sees.

use std::borrow::Cow;

use crate::is_internal;
use crate::matching::{PathMatch, is_name};
use crate::path::CanonicalPath;

/// A path that leads where no route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// Services keep it to themselves.
    #[error("the path is not reachable from outside")]
    Internal,
    /// What was put together has no canonical form.
    #[error("the path {0}")]
    Path(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Box<str>),
    Placeholder(Box<str>),
}

/// How a path is changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// Not at all.
    Keep,
    /// The prefix is left out.
    Strip,
    /// This stands in the place of the prefix; without a slash at its end.
    Prefix(Box<str>),
    /// This stands in the place of the whole path.
    Whole(Vec<Part>),
}

impl Rewrite {
    pub(crate) fn apply<'p>(
        &self,
        matched: &PathMatch,
        path: &'p str,
    ) -> Result<Cow<'p, str>, RewriteError> {
        let target = match self {
            Self::Keep => return Ok(Cow::Borrowed(path)),
            Self::Strip => match rest(matched, path) {
                "" => Cow::Borrowed("/"),
                rest => Cow::Borrowed(rest),
            },
            Self::Prefix(with) => match (&**with, rest(matched, path)) {
                ("", "") => Cow::Borrowed("/"),
                (with, rest) => Cow::Owned(format!("{with}{rest}")),
            },
            Self::Whole(parts) => {
                let whole = whole(parts, matched, path);
                // What an expression captures may join to what a canonical path cannot have.
                CanonicalPath::parse(&whole).map_err(|fault| RewriteError::Path(fault.0))?;
                Cow::Owned(whole)
            }
        };
        match is_internal(&target) {
            true => Err(RewriteError::Internal),
            false => Ok(target),
        }
    }

    pub(crate) fn stripped<'m>(&self, matched: &'m PathMatch) -> Option<&'m str> {
        match (self, matched) {
            (Self::Strip | Self::Prefix(_), PathMatch::Prefix(prefix)) if !prefix.is_empty() => {
                Some(prefix)
            }
            _ => None,
        }
    }
}

/// What follows the prefix; of an exact path nothing does.
fn rest<'p>(matched: &PathMatch, path: &'p str) -> &'p str {
    match matched {
        PathMatch::Prefix(prefix) => path.get(prefix.len()..).unwrap_or_default(),
        _ => "",
    }
}

fn whole(parts: &[Part], matched: &PathMatch, path: &str) -> String {
    let template = match matched {
        PathMatch::Template(template) => template.captures(path),
        _ => None,
    };
    let regex = match matched {
        PathMatch::Regex(regex) => regex.captures(path),
        _ => None,
    };
    let value = |name: &str| {
        let of_template = template.as_ref().and_then(|pairs| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        });
        let of_regex = || regex.as_ref()?.name(name).map(|found| found.as_str());
        of_template.or_else(of_regex).unwrap_or_default()
    };
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => &**text,
        Part::Placeholder(name) => value(name),
    });
    texts.collect()
}

/// The parts of a text in which `{name}` is a placeholder.
pub(crate) fn parts(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("has a { without its }")?;
        if !is_name(name) {
            return Err("a placeholder has a name in letters, digits and _");
        }
        if !before.is_empty() {
            parts.push(Part::Text(before.into()));
        }
        parts.push(Part::Placeholder(name.into()));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    Ok(parts)
}
