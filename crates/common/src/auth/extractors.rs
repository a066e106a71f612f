//! Permissions as types in handler signatures.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use serde::{Deserialize, Serialize};

use super::permissions::Permission;
use super::principal::{Delegation, Principal, TokenType};
use super::verifier::{TokenError, TokenVerifier};
use crate::error::ApiError;

/// Lets an application know who somebody is (OpenID Connect Core 1.0, section 3.1.2.1).
pub const OPENID_SCOPE: &str = "openid";

/// A type that stands for one permission.
pub trait PermissionMarker: 'static {
    /// The permission it stands for.
    const PERMISSION: Permission;
}

/// Who may call an operation, as its document says in `x-permission`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Everybody.
    Public,
    /// Any signed-in account.
    SignedIn,
    /// An application that acts for an account and may know whose it is: the scope `openid`.
    OpenId,
    /// Another service.
    Service,
    /// Another service, or whoever may operate the system.
    Operator,
    /// Whoever holds the permission.
    #[serde(untagged)]
    Permission(Permission),
}

/// An extractor that lets only some callers in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` checks no caller",
    note = "the first argument of a handler checks the caller; else it is `#[access(public)]`"
)]
pub trait Guard: FromRequest {
    /// Whom it lets in.
    const ACCESS: Access;
}

impl<P: PermissionMarker> Guard for Permit<P> {
    const ACCESS: Access = Access::Permission(P::PERMISSION);
}

impl Guard for Principal {
    const ACCESS: Access = Access::SignedIn;
}

impl Guard for OpenIdCaller {
    const ACCESS: Access = Access::OpenId;
}

impl Guard for ServiceIdentity {
    const ACCESS: Access = Access::Service;
}

impl Guard for Operator {
    const ACCESS: Access = Access::Operator;
}

/// A caller who holds the permission `P`. 401 without a valid token, 403 without the permission.
#[derive(Debug)]
pub struct Permit<P> {
    principal: Principal,
    permission: PhantomData<P>,
}

impl<P> Deref for Permit<P> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<P: PermissionMarker> FromRequest for Permit<P> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let verified = verify(request);
        Box::pin(async move {
            let principal = verified.await?;
            principal.require(P::PERMISSION)?;
            Ok(Self {
                principal,
                permission: PhantomData,
            })
        })
    }
}

/// Any person with a valid access token. 403 for a service's token, and for an application that acts
/// for a person: without a permission to name there is no scope that could let it.
impl FromRequest for Principal {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let verified = verify(request);
        Box::pin(async move {
            let principal = verified.await?;
            match principal.token_type {
                TokenType::Access => Ok(principal),
                TokenType::Service | TokenType::Delegated => Err(ApiError::forbidden()),
            }
        })
    }
}

/// An application that acts for a person who lets it know who they are: the scope `openid` (OpenID
/// Connect Core 1.0, section 5.3). 403 for everybody else.
#[derive(Debug)]
pub struct OpenIdCaller {
    /// Whose token it is.
    pub principal: Principal,
    /// What the application may know and do.
    pub delegation: Delegation,
}

impl FromRequest for OpenIdCaller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let verified = verify(request);
        Box::pin(async move {
            let principal = verified.await?;
            match principal.delegation.clone() {
                Some(_) if principal.acts_for_itself() => Err(ApiError::forbidden()),
                Some(delegation) if delegation.has(OPENID_SCOPE) => Ok(Self {
                    principal,
                    delegation,
                }),
                _ => Err(ApiError::forbidden().with_missing_scope(OPENID_SCOPE)),
            }
        })
    }
}

/// Another service, for `/internal/*`. 403 for a person's token.
#[derive(Debug)]
pub struct ServiceIdentity {
    /// The service's name.
    pub name: String,
}

impl FromRequest for ServiceIdentity {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let verified = verify(request);
        Box::pin(async move {
            let principal = verified.await?;
            match principal.token_type {
                TokenType::Service => Ok(Self {
                    name: principal.subject,
                }),
                TokenType::Access | TokenType::Delegated => Err(ApiError::forbidden()),
            }
        })
    }
}

/// Another service, or a person with the permission [`Permission::SystemOperate`]: whoever may look
/// into the system. 401 without a valid token, 403 for anybody else.
#[derive(Debug)]
pub struct Operator;

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let verified = verify(request);
        Box::pin(async move {
            let principal = verified.await?;
            let is_service = principal.token_type == TokenType::Service;
            if is_service || principal.allows(Permission::SystemOperate) {
                Ok(Self)
            } else {
                Err(ApiError::forbidden())
            }
        })
    }
}

fn verify(request: &HttpRequest) -> impl Future<Output = Result<Principal, ApiError>> + use<> {
    let token = bearer_of(request);
    let verifier = request.app_data::<web::Data<TokenVerifier>>().cloned();
    async move {
        let token = token?;
        let verifier = verifier.ok_or(TokenError::KeysUnavailable)?;
        Ok(verifier.verify(&token).await?)
    }
}

/// The one bearer token of a request (RFC 6750, section 2.1). Two `Authorization` headers are
/// refused: which of them counts must not depend on who reads it.
///
/// # Errors
/// When there is none, or more than one, or it cannot be read.
pub fn bearer_of(request: &HttpRequest) -> Result<String, TokenError> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::Invalid("several Authorization headers"));
    }
    let text = value
        .to_str()
        .map_err(|_opaque| TokenError::Invalid("not ASCII"))?;
    let (scheme, token) = text
        .split_once(' ')
        .ok_or(TokenError::Invalid("no scheme"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    Ok(token.trim().to_owned())
}
