//! What an application may ask for: who the person is, to stay signed in, and permissions.

use std::collections::BTreeSet;
use std::fmt;

use common::auth::permission_scopes;

/// Asks who the person is (OpenID Connect Core 1.0, section 3.1.2.1).
pub(crate) const OPENID: &str = "openid";
/// Asks for the name.
pub(crate) const PROFILE: &str = "profile";
/// Asks for the email address.
pub(crate) const EMAIL: &str = "email";
/// Asks to act while the person is away: for a refresh token (OpenID Connect Core 1.0, section 11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

const OF_THE_PERSON: [(&str, &str); 4] = [
    (OPENID, "Know who you are"),
    (PROFILE, "See your name"),
    (EMAIL, "See your email address"),
    (OFFLINE_ACCESS, "Keep access while you are away"),
];

/// Every scope there is, with its meaning for the person who is asked.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let permissions = permission_scopes().iter();
    let permissions = permissions.map(|scope| (scope.permission.as_str(), scope.meaning));
    OF_THE_PERSON.into_iter().chain(permissions)
}

/// A set of scopes. Unknown ones are left out when it is read (OpenID Connect Core 1.0, section
/// 3.1.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(BTreeSet<&'static str>);

impl Scopes {
    /// From a list separated by blanks.
    pub(crate) fn parse(text: &str) -> Self {
        text.split(' ').collect()
    }

    pub(crate) fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_subset_of(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// What is in either of the two.
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// The meanings, in the order in which a person reads them.
    pub(crate) fn meanings(&self) -> Vec<&'static str> {
        all()
            .filter(|(name, _)| self.contains(name))
            .map(|(_, meaning)| meaning)
            .collect()
    }

    /// The names.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().copied().collect()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Scopes {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let known = |name: T| {
            all()
                .map(|(known, _)| known)
                .find(|known| *known == name.as_ref())
        };
        Self(names.into_iter().filter_map(known).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_scopes_are_left_out_and_no_scope_runs_the_system() {
        let scopes = Scopes::parse("orders:read openid openid janitor users:write  system:operate");
        assert_eq!(scopes.to_string(), "openid orders:read");
        assert_eq!(scopes.meanings(), ["Know who you are", "See orders"]);
        assert!(Scopes::parse("openid").is_subset_of(&scopes));
        assert!(Scopes::parse("").is_empty());
    }
}
