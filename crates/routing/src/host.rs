//! The hosts of a route: a name, or `*.` and a name for everything below it (Gateway API,
//! `Hostname`).

/// A host that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// This name.
    Exact(Box<str>),
    /// Every name that ends with this text, which begins with a dot.
    Below(Box<str>),
}

impl HostPattern {
    /// # Errors
    /// With what is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let is_address = name.starts_with('[') && name.ends_with(']') && !below;
        if !(is_address || (name.len() <= 253 && name.split('.').all(label))) {
            return Err("must be a host name in lower case, or *. and one, without a port");
        }
        Ok(match below {
            true => Self::Below(format!(".{name}").into()),
            false => Self::Exact(name.into()),
        })
    }
}

/// The name in `host` or `host:port`.
pub(crate) fn name_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => authority,
    }
}
