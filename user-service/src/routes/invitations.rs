//! `/api/users/invitations` and `/api/auth/invitations/accept`.

use std::collections::BTreeSet;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, delete, get, post, web};
use common::auth::{Permit, Role, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::{StoreId, UserId};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::passwords::{check_new, check_token};
use super::users::UserOut;
use crate::app::invitations::{self, Acceptance, NewInvitation};
use crate::domain::account::{MAX_NAME_CHARACTERS, MAX_STORES};
use crate::domain::email::Email;
use crate::domain::invitation::{Invitation, InvitationId};
use crate::domain::locale::is_locale;
use crate::state::AppState;

/// Whom to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationIn {
    /// Where the mail goes, and what the account will sign in with.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    display_name: String,
    /// Below the caller's own; `device`, `plugin` and `service` are no person's.
    role: Role,
    /// Where the role holds, at most 50, each one of the caller's; at least one unless an owner
    /// invites.
    #[serde(default)]
    #[schema(max_items = 50)]
    stores: Vec<StoreId>,
    /// The language of the mail, a BCP 47 tag; `en` when left out.
    #[serde(default)]
    #[schema(max_length = 35, example = "ko")]
    locale: Option<String>,
}

/// An open invitation.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationOut {
    /// Its id.
    id: InvitationId,
    /// Where the mail went.
    email: String,
    /// What the account will be called.
    display_name: String,
    /// What the account may do.
    role: Role,
    /// Where.
    stores: BTreeSet<StoreId>,
    /// The language of the mail.
    locale: String,
    /// Who gave it.
    invited_by: UserId,
    /// When it was given.
    created_at: Timestamp,
    /// When the last mail was asked for.
    sent_at: Timestamp,
    /// Its link is worthless from here on; it can be sent again.
    expires_at: Timestamp,
}

/// The token of a mailed link and the password of the account to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptIn {
    /// From the link in the mail.
    #[schema(value_type = String, format = Password, max_length = 100)]
    token: SecretString,
    /// 8 to 128 characters, not one of the most common ones.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    password: SecretString,
}

/// Which invitations to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InvitationQuery {
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl From<Invitation> for InvitationOut {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email,
            display_name: invitation.display_name,
            role: invitation.role,
            stores: invitation.stores,
            locale: invitation.locale,
            invited_by: invitation.invited_by,
            created_at: invitation.created_at,
            sent_at: invitation.sent_at,
            expires_at: invitation.expires_at,
        }
    }
}

impl Check for InvitationIn {
    fn check(&self, faults: &mut Faults) {
        let email = Email::parse(&self.email);
        let expected = "an ASCII email address";
        faults.require(email.is_some(), "email", "malformed", expected);
        faults.require_text(&self.display_name, "display_name", MAX_NAME_CHARACTERS);
        let person = !matches!(self.role, Role::Device | Role::Plugin | Role::Service);
        let expected = "a role that a person or a kiosk has";
        faults.require(person, "role", "not_for_accounts", expected);
        let few = self.stores.len() <= MAX_STORES;
        faults.require(few, "stores", "too_many", "at most 50 stores");
        let known = self.locale.as_deref().is_none_or(is_locale);
        faults.require(
            known,
            "locale",
            "malformed",
            "a BCP 47 tag such as ko or en-US",
        );
    }
}

impl Check for AcceptIn {
    fn check(&self, faults: &mut Faults) {
        check_token(&self.token, "token", faults);
        check_new(&self.password, "password", faults);
    }
}

impl Check for InvitationQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Invites somebody to an account below the caller's own.
///
/// For owners and managers, the latter to their own stores alone. The mail has a link that is good
/// once. Repeating it makes no second invitation: 409 `already_invited`. Emits `mail.requested.v1`.
#[access(body.stores)]
#[utoipa::path(
    tag = "users",
    request_body = InvitationIn,
    responses(
        (status = 201, description = "Invited; a mail is on its way.", body = InvitationOut),
        (status = 403, description = "Not the caller's to give.", body = Problem),
        (status = 409, description = "An account or an open invitation has this email.", body = Problem),
        (status = 422, description = "Some fields are not acceptable.", body = Problem),
    ),
)]
#[post("/api/users/invitations")]
pub(crate) async fn invite(
    auth: Permit<permits::UsersInvite>,
    state: web::Data<AppState>,
    body: Valid<InvitationIn>,
) -> Result<HttpResponse, ApiError> {
    let body = body.0;
    // Checked already; a wire type alone does not prove it.
    let email = Email::parse(&body.email).ok_or_else(|| ApiError::invalid(Vec::new()))?;
    let new = NewInvitation {
        email,
        display_name: body.display_name,
        role: body.role,
        stores: body.stores.into_iter().collect(),
        locale: body.locale,
    };
    let invitation = invitations::invite(&state, &auth, new).await?;
    Ok(HttpResponse::Created()
        .insert_header((
            LOCATION,
            format!("/api/users/invitations/{}", invitation.id),
        ))
        .json(InvitationOut::from(invitation)))
}

/// Lists open invitations in the order of their making.
///
/// Those that the caller could give: for owners all, for managers those below them in their own
/// stores.
#[access(caller)]
#[utoipa::path(
    tag = "users",
    params(InvitationQuery),
    responses((status = 200, description = "One page.", body = Page<InvitationOut>)),
)]
#[get("/api/users/invitations")]
pub(crate) async fn list(
    auth: Permit<permits::UsersInvite>,
    state: web::Data<AppState>,
    query: ValidQuery<InvitationQuery>,
) -> Result<web::Json<Page<InvitationOut>>, ApiError> {
    let after: Option<InvitationId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    let rows = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let rows = invitations::list(&state, &auth, after, rows).await?;
    Ok(web::Json(Page::cut(
        rows,
        limit,
        |row| row.id,
        InvitationOut::from,
    )))
}

/// Mails an invitation again, with a new link and a new life.
///
/// For whoever could give it. The link sent before is worthless then. Emits
/// `mail.requested.v1`.
#[access(object)]
#[utoipa::path(
    tag = "users",
    params(("id" = InvitationId, Path, description = "The invitation.")),
    responses(
        (status = 200, description = "A mail is on its way.", body = InvitationOut),
        (status = 404, description = "No such invitation, or none of the caller's.", body = Problem),
    ),
)]
#[post("/api/users/invitations/{id}/resend")]
pub(crate) async fn resend(
    auth: Permit<permits::UsersInvite>,
    state: web::Data<AppState>,
    id: PathId<InvitationId>,
) -> Result<web::Json<InvitationOut>, ApiError> {
    let renewed = invitations::resend(&state, &auth, id.0).await?;
    Ok(web::Json(renewed.into()))
}

/// Takes an invitation back: its link is worthless from here on.
///
/// For whoever could give it. Emits no event.
#[access(object)]
#[utoipa::path(
    tag = "users",
    params(("id" = InvitationId, Path, description = "The invitation.")),
    responses(
        (status = 204, description = "Taken back."),
        (status = 404, description = "No such invitation, or none of the caller's.", body = Problem),
    ),
)]
#[delete("/api/users/invitations/{id}")]
pub(crate) async fn take_back(
    auth: Permit<permits::UsersInvite>,
    state: web::Data<AppState>,
    id: PathId<InvitationId>,
) -> Result<HttpResponse, ApiError> {
    invitations::take_back(&state, &auth, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes the account that somebody was invited to.
///
/// Open to whoever holds the token of the mailed link, once. The account's address is proved by it;
/// nobody is signed in. Emits no event.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body = AcceptIn,
    responses(
        (status = 201, description = "The account.", body = UserOut),
        (status = 409, description = "Another account has this email by now.", body = Problem),
        (status = 422, description = "The link is not good any more, or the password is not \
                                      acceptable.", body = Problem),
        (status = 503, description = "Too many passwords at once; wait.", body = Problem),
    )
)]
#[post("/api/auth/invitations/accept")]
pub(crate) async fn accept(
    state: web::Data<AppState>,
    body: Valid<AcceptIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(AcceptIn { token, password }) = body;
    let account = invitations::accept(&state, Acceptance { token, password }).await?;
    Ok(HttpResponse::Created().json(UserOut::from(account)))
}
