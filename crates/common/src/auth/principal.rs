//! The claims of a token and the caller they describe.

use serde::{Deserialize, Serialize};

use super::permissions::{Permission, Role};
use super::scopes::can_be_delegated;
use super::verifier::{AUDIENCE, DELEGATED_AUDIENCE};
use crate::error::ApiError;
use crate::ids::StoreId;

/// What a token is for; a token of one kind is never taken for another (RFC 8725, section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// A person's or a terminal's access token.
    Access,
    /// A service's own identity.
    Service,
    /// An access token that a person let another application have: the person's rights, as far as
    /// the token's scopes go. Also that of a program that acts for itself, which has the role of one.
    Delegated,
}

impl TokenType {
    /// The `aud` that goes with it. A program that knows nothing of delegated tokens refuses them.
    #[must_use]
    pub const fn audience(self) -> &'static str {
        match self {
            Self::Access | Self::Service => AUDIENCE,
            Self::Delegated => DELEGATED_AUDIENCE,
        }
    }
}

/// The claims of an access or service token (RFC 7519, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The account's id, or a service's name.
    pub sub: String,
    /// The session, for access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Expires at, Unix seconds.
    pub exp: i64,
    /// Not valid before, Unix seconds.
    pub nbf: i64,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// The token's own id.
    pub jti: String,
    /// What the token is for.
    pub typ: TokenType,
    /// What the account is.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Where the roles hold.
    #[serde(default)]
    pub stores: StoreClaim,
    /// The version of the account that roles and stores are from; 0 when the token does not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ver: i64,
    /// The application that a delegated token was given to: its client id (OpenID Connect Core 1.0,
    /// section 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    /// The scopes of a delegated token, separated by blanks (RFC 8693, section 4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(version: &i64) -> bool {
    *version == 0
}

/// The `stores` claim: `"*"` or a list of ids. Absent means none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoreClaim {
    /// These stores.
    Only(Vec<StoreId>),
    /// The text `"*"`: every store.
    Text(Star),
}

/// The text `"*"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Star {
    /// Every store.
    #[serde(rename = "*")]
    All,
}

impl StoreClaim {
    /// Every store.
    pub const ALL: Self = Self::Text(Star::All);
}

impl Default for StoreClaim {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

/// The stores in which a caller's roles hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreScope {
    /// Every store.
    All,
    /// These stores.
    Only(Vec<StoreId>),
}

impl StoreScope {
    /// Whether `store` is in it.
    #[must_use]
    pub fn contains(&self, store: StoreId) -> bool {
        match self {
            Self::All => true,
            Self::Only(stores) => stores.contains(&store),
        }
    }
}

/// A caller whose token was verified.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The account's id, or a service's name.
    pub subject: String,
    /// The session, for access tokens.
    pub session: Option<String>,
    /// What the token is for.
    pub token_type: TokenType,
    /// What the account is.
    pub roles: Vec<Role>,
    /// Where the roles hold.
    pub stores: StoreScope,
    /// The version of the account that roles and stores are from; 0 when the token does not say.
    pub account_version: i64,
    /// The application that acts for the account, for delegated tokens.
    pub delegation: Option<Delegation>,
}

/// An application that acts for an account, and how far it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The application's client id.
    pub client_id: String,
    /// What the account let it do.
    pub scopes: Vec<String>,
}

impl Delegation {
    /// Whether the account let the application do this.
    #[must_use]
    pub fn permits(&self, permission: Permission) -> bool {
        can_be_delegated(permission) && self.has(permission.as_str())
    }

    /// Whether this scope was granted.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }

    /// The delegation of a delegated token; a token of that kind without its claims allows nothing.
    fn of(claims: &Claims) -> Option<Self> {
        let scopes = claims.scope.as_deref().unwrap_or_default();
        (claims.typ == TokenType::Delegated).then(|| Self {
            client_id: claims.azp.clone().unwrap_or_default(),
            scopes: scopes.split(' ').map(ToOwned::to_owned).collect(),
        })
    }
}

impl From<Claims> for Principal {
    fn from(claims: Claims) -> Self {
        let delegation = Delegation::of(&claims);
        let stores = match claims.stores {
            // The owner's role holds for the whole chain by definition, but an owner may let an
            // application act in some stores only.
            _ if claims.roles.contains(&Role::Owner) && claims.typ == TokenType::Access => {
                StoreScope::All
            }
            StoreClaim::Text(Star::All) => StoreScope::All,
            StoreClaim::Only(stores) => StoreScope::Only(stores),
        };
        Self {
            subject: claims.sub,
            session: claims.sid,
            token_type: claims.typ,
            roles: claims.roles,
            stores,
            account_version: claims.ver,
            delegation,
        }
    }
}

impl Principal {
    /// Whether the caller is a program with credentials of its own, and no person's.
    #[must_use]
    pub fn acts_for_itself(&self) -> bool {
        self.roles.contains(&Role::Service)
    }

    /// Whether one of the roles allows it and, for an application, the account let it do that.
    #[must_use]
    pub fn allows(&self, permission: Permission) -> bool {
        let permitted = match self.token_type {
            TokenType::Access => true,
            TokenType::Service => false,
            TokenType::Delegated => {
                let delegation = self.delegation.as_ref();
                delegation.is_some_and(|delegation| delegation.permits(permission))
            }
        };
        permitted && self.roles.iter().any(|role| role.allows(permission))
    }

    /// Refuses a caller who may not do that; an application is told which scope it would need.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        if self.allows(permission) {
            return Ok(());
        }
        let lacks = |delegation: &Delegation| !delegation.has(permission.as_str());
        let lacks_scope = self.delegation.as_ref().is_some_and(lacks);
        Err(if lacks_scope && can_be_delegated(permission) {
            ApiError::forbidden().with_missing_scope(permission.as_str())
        } else {
            ApiError::forbidden()
        })
    }

    /// Refuses a store outside the caller's own.
    ///
    /// # Errors
    /// 404: whether a foreign store exists is none of the caller's business.
    pub fn require_store(&self, store: StoreId) -> Result<(), ApiError> {
        if self.stores.contains(store) {
            Ok(())
        } else {
            Err(ApiError::not_found("store"))
        }
    }

    /// The stores to list: the one asked for, or all of the caller's. `None` means every store.
    ///
    /// # Errors
    /// 404 when the store asked for is a foreign one.
    pub fn visible_stores(&self, asked: Option<StoreId>) -> Result<Option<Vec<StoreId>>, ApiError> {
        match (asked, &self.stores) {
            (Some(store), _) => self.require_store(store).map(|()| Some(vec![store])),
            (None, StoreScope::All) => Ok(None),
            (None, StoreScope::Only(stores)) => Ok(Some(stores.clone())),
        }
    }

    /// The store to show: the one asked for, the caller's only one, or (`None`) all of the chain.
    ///
    /// # Errors
    /// 404 when the store asked for is a foreign one; 422 `store_id_required` when the caller has
    /// several stores, but not all, or none, and did not say which.
    pub fn one_store_or_all(&self, asked: Option<StoreId>) -> Result<Option<StoreId>, ApiError> {
        match self.visible_stores(asked)?.as_deref() {
            None => Ok(None),
            Some([store]) => Ok(Some(*store)),
            Some(_) => {
                let detail = "This account has several stores or none; name one as store_id.";
                Err(ApiError::unprocessable("store_id_required", detail))
            }
        }
    }
}
