//! Who must be let in, by the table of permissions.

use std::fmt;

use common::auth::{Access, OPENID_SCOPE, Permission, Role, permission_scopes};

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Nobody,
    Service,
    /// An application that acts for an owner, with every scope or with none.
    Application(Scopes),
    /// A program that acts for itself in one store, with every scope.
    Program,
    Person(Role),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scopes {
    Every,
    None,
}

impl Scopes {
    /// As a token carries them (RFC 6749, section 3.3).
    pub(super) fn text(self) -> String {
        let all = permission_scopes().iter();
        let texts: Vec<&str> = match self {
            Self::Every => all.map(|scope| scope.permission.as_str()).collect(),
            Self::None => vec![OPENID_SCOPE],
        };
        texts.join(" ")
    }

    fn hold(self, permission: Permission) -> bool {
        let mut all = permission_scopes().iter();
        self == Self::Every && all.any(|scope| scope.permission == permission)
    }
}

impl Caller {
    /// The least powerful first: who is let in may change what they ask for.
    pub(super) fn all() -> Vec<Self> {
        let roles = Role::ALL.iter().rev();
        let people = roles
            .filter(|role| role.is_for_accounts())
            .map(|role| Self::Person(*role));
        let others = [
            Self::Nobody,
            Self::Service,
            Self::Application(Scopes::None),
            Self::Application(Scopes::Every),
            Self::Program,
        ];
        others.into_iter().chain(people).collect()
    }

    fn may(self, access: Access) -> bool {
        match (self, access) {
            (_, Access::Public)
            | (Self::Person(_), Access::SignedIn)
            // The one without a scope of ours.
            | (Self::Application(Scopes::None), Access::OpenId)
            | (Self::Service, Access::Service | Access::Operator) => true,
            (Self::Person(role), Access::Operator) => role.allows(Permission::SystemOperate),
            (Self::Person(role), Access::Permission(permission)) => role.allows(permission),
            (Self::Application(scopes), Access::Permission(permission)) => scopes.hold(permission),
            (Self::Program, Access::Permission(permission)) => Role::Service.allows(permission),
            _ => false,
        }
    }

    /// Whether the caller's rights end at a store.
    pub(super) fn is_confined(self) -> bool {
        match self {
            Self::Person(role) => role != Role::Owner,
            Self::Program => true,
            Self::Nobody | Self::Service | Self::Application(_) => false,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::Service => f.write_str("a service"),
            Self::Application(Scopes::Every) => f.write_str("an application"),
            Self::Application(Scopes::None) => f.write_str("an application without scopes"),
            Self::Program => f.write_str("a program"),
            Self::Person(role) => write!(f, "{role:?}"),
        }
    }
}

/// Where the store of a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreSource {
    Path(String),
    Query(String),
    Body(String),
    Object,
    Caller,
    Chain,
    Public,
}

impl StoreSource {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "object" => Self::Object,
            "caller" => Self::Caller,
            "chain" => Self::Chain,
            "public" => Self::Public,
            _ => match text.split_once('.')? {
                ("path", name) => Self::Path(name.to_owned()),
                ("query", name) => Self::Query(name.to_owned()),
                ("body", name) => Self::Body(name.to_owned()),
                _ => return None,
            },
        })
    }

    /// Whether a request can be about a foreign store.
    pub(super) const fn can_be_foreign(&self) -> bool {
        !matches!(self, Self::Caller | Self::Chain | Self::Public)
    }
}

/// What the answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The handler was reached.
    LetIn,
    /// 401: nobody proved who asks.
    Unproven,
    /// 403.
    Forbidden,
    /// 403 or 404: whether a foreign store has such an object is none of the caller's business.
    NotTheirs,
}

impl Verdict {
    pub(super) fn of(access: Access, caller: Caller, is_foreign: bool) -> Self {
        if access == Access::Public {
            Self::LetIn
        } else if caller == Caller::Nobody {
            Self::Unproven
        } else if !caller.may(access) {
            Self::Forbidden
        } else if is_foreign && caller.is_confined() {
            Self::NotTheirs
        } else {
            Self::LetIn
        }
    }

    /// Whether an answer is the one that must be. `is_problem` says whether it is a problem document.
    pub(super) fn is(self, status: u16, code: &str, is_problem: bool) -> bool {
        match self {
            // Only the handlers of a protocol or a page refuse in a form of their own; everything
            // before a handler answers with a problem document.
            Self::LetIn if status == 400 && !is_problem => true,
            // A login may be refused; asking for a token before it may not.
            Self::LetIn if status == 401 => !code.starts_with("token_") && code != "session_ended",
            // What is malformed, unmapped or broken reached no handler that could have refused it.
            Self::LetIn => !matches!(status, 400 | 403 | 404 | 405 | 413 | 415) && status < 500,
            Self::Unproven => status == 401,
            Self::Forbidden => status == 403,
            Self::NotTheirs => matches!(status, 403 | 404),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LetIn => "to be let in",
            Self::Unproven => "401",
            Self::Forbidden => "403",
            Self::NotTheirs => "403 or 404",
        })
    }
}
