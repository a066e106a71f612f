//! Who may call what, for the caller's own store and a foreign one.

use common::auth::{Permission, Role, derive_service_secret, permission_scopes};
use common::clock::Clock;
use common::ids::StoreId;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;
use testkit::events::park_an_event;
use testkit::matrix::{Callers, Matrix};

use crate::api_keys::{exchange, halves};
use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, ROOT_SECRET, TestApp, text};
use crate::oidc::Application;

/// Signs a new account in for every request: here a token is worth what its account and session are.
struct People<'a> {
    app: &'a TestApp,
    service: String,
    /// Of a key of the owner's with every scope there is.
    application: String,
    /// Of an application that may only know who somebody is.
    without_scopes: String,
    /// Of a program that acts for itself with every scope there is.
    program: String,
}

impl<'a> People<'a> {
    async fn of(app: &'a TestApp) -> Self {
        let secret = derive_service_secret(&ROOT_SECRET.into(), "order");
        let body = json!({"client_id": "order", "client_secret": secret.expose_secret()});
        let answer = app.client.post("/internal/tokens", &body).await.expect(200);
        let service = text(&answer, "access_token").to_owned();
        let every = permission_scopes().iter().map(|scope| scope.permission);
        Self {
            app,
            service,
            application: key_token(app, every.collect()).await,
            without_scopes: identity_token(app).await,
            program: program_token(app).await,
        }
    }

    async fn account(&self, role: &Role, store: StoreId) -> serde_json::Value {
        let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
        let role = serde_json::to_value(role).unwrap();
        let (role, store) = (role.as_str().unwrap(), store.to_string());
        self.app.make_user(&email, &[role], &[&store]).await
    }
}

impl Callers for People<'_> {
    async fn person(&self, role: Role, store: StoreId) -> String {
        let (email, password) = match role {
            Role::Owner => (OWNER.to_owned(), OWNER_PASSWORD),
            _ => {
                let account = self.account(&role, store).await;
                (text(&account, "email").to_owned(), PASSWORD)
            }
        };
        let tokens = self.app.log_in(&email, password).await.expect(200);
        text(&tokens, "access_token").to_owned()
    }

    fn service(&self) -> String {
        self.service.clone()
    }

    fn application(&self, scopes: &str) -> Option<String> {
        let any_permission = scopes.contains(':');
        Some(match any_permission {
            true => self.application.clone(),
            false => self.without_scopes.clone(),
        })
    }

    fn program(&self, _scopes: &str, _store: StoreId) -> Option<String> {
        Some(self.program.clone())
    }
}

/// What a program gets that was registered for everything, in a store of its own.
async fn program_token(app: &TestApp) -> String {
    let every = permission_scopes().iter().map(|scope| scope.permission);
    let body = json!({
        "name": "matrix", "confidential": true, "scopes": Vec::from_iter(every),
        "service": {"stores": [StoreId::new(&app.clock)]},
    });
    let owner = app.owner().await;
    let made = owner.post(APPLICATIONS, &body).await.expect(201);
    let request = app.client.request(Method::POST, "/oauth/token");
    let request = request
        .basic_auth(text(&made, "id"), made["client_secret"].as_str())
        .form(&[("grant_type", "client_credentials")]);
    let answer = app.client.send(request).await.expect(200);
    text(&answer, "access_token").to_owned()
}

/// What an application gets that may know who somebody is and nothing else: an owner, but not the one
/// whose sessions are ended here.
async fn identity_token(app: &TestApp) -> String {
    let account = app.make_user("second@maru.local", &["owner"], &[]).await;
    let application = Application::register(app).await;
    let tokens = application.tokens_of(text(&account, "email"), PASSWORD, "openid");
    text(&tokens.await, "access_token").to_owned()
}

/// What a program gets for a key of the owner's.
async fn key_token(app: &TestApp, scopes: Vec<Permission>) -> String {
    let key = json!({"password": OWNER_PASSWORD, "name": "matrix", "scopes": scopes});
    let owner = app.owner().await;
    let key = owner.post("/api/users/api-keys", &key).await.expect(201);
    let answer = exchange(app, &halves(&key)).await.expect(200);
    text(&answer, "access_token").to_owned()
}

const INVITATIONS: &str = "/api/users/invitations";
const DEVICES: &str = "/api/users/devices";
const APPLICATIONS: &str = "/api/users/oidc/clients";

/// An open invitation to a store.
async fn invitation(app: &TestApp, store: StoreId) -> String {
    let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
    let body = json!({
        "email": email, "display_name": "Kim", "role": "kiosk", "stores": [store],
    });
    let owner = app.owner().await;
    let made = owner.post(INVITATIONS, &body).await.expect(201);
    text(&made, "id").to_owned()
}

/// A registered terminal of a store.
async fn terminal(app: &TestApp, store: StoreId) -> String {
    let body = json!({"store_id": store, "name": "Till 2"});
    let owner = app.owner().await;
    let made = owner.post(DEVICES, &body).await.expect(201);
    text(&made, "id").to_owned()
}

/// A registered application.
async fn application(app: &TestApp) -> String {
    let body = json!({
        "name": "Planner", "confidential": true, "scopes": ["openid"],
        "redirect_uris": ["https://app.example/callback"],
    });
    let owner = app.owner().await;
    let made = owner.post(APPLICATIONS, &body).await.expect(201);
    text(&made, "id").to_owned()
}

/// Who may call what; written by hand, as a second opinion.
const REVIEWED: &str = "POST /api/auth/login: public, public
         POST /api/auth/refresh: public, public
         POST /api/auth/logout: public, public
         GET /api/auth/me: signed_in, caller
         PATCH /api/auth/me: signed_in, caller
         GET /api/auth/me/export: signed_in, caller
         POST /api/auth/login/mfa: public, public
         POST /api/auth/password/forgot: public, public
         POST /api/auth/password/reset: public, public
         POST /api/auth/password/change: signed_in, caller
         POST /api/auth/email: signed_in, caller
         POST /api/auth/email/verification: signed_in, caller
         POST /api/auth/email/verify: public, public
         GET /api/auth/mfa: signed_in, caller
         POST /api/auth/mfa/totp: signed_in, caller
         POST /api/auth/mfa/totp/confirm: signed_in, caller
         POST /api/auth/mfa/totp/disable: signed_in, caller
         POST /api/auth/mfa/recovery-codes: signed_in, caller
         PUT /api/auth/pin: signed_in, caller
         DELETE /api/auth/pin: signed_in, caller
         POST /api/auth/pin: public, public
         GET /api/auth/pin/people: public, public
         POST /api/auth/invitations/accept: public, public
         POST /api/users/invitations: users:invite, body.stores
         GET /api/users/invitations: users:invite, caller
         POST /api/users/invitations/{id}/resend: users:invite, object
         DELETE /api/users/invitations/{id}: users:invite, object
         POST /api/users/devices: terminals:write, body.store_id
         GET /api/users/devices: terminals:write, caller
         DELETE /api/users/devices/{id}: terminals:write, object
         GET /api/users/dev/outbox: users:write, chain
         GET /api/users/{id}/export: users:write, chain
         POST /api/users/{id}/erase: users:write, chain
         POST /api/users/{id}/mfa/reset: users:write, chain
         POST /api/auth/token: public, public
         POST /api/users/api-keys: api_keys:write, caller
         GET /api/users/api-keys: api_keys:write, caller
         DELETE /api/users/api-keys/{id}: api_keys:write, caller
         POST /api/users/keys/rotate: keys:rotate, chain
         GET /api/users/audit: audit:read, chain
         GET /api/users/audit/export: audit:read, chain
         POST /api/users: users:write, body.stores
         GET /api/users: users:read, query.store_id
         GET /api/users/{id}: users:read, object
         PATCH /api/users/{id}: users:write, object
         POST /api/auth/passkeys/register/start: signed_in, caller
         POST /api/auth/passkeys/register/finish: signed_in, caller
         GET /api/auth/passkeys: signed_in, caller
         PATCH /api/auth/passkeys/{id}: signed_in, caller
         POST /api/auth/passkeys/{id}/remove: signed_in, caller
         POST /api/auth/passkeys/login/start: public, public
         POST /api/auth/passkeys/login/finish: public, public
         POST /api/users/oidc/clients: applications:manage, chain
         GET /api/users/oidc/clients: applications:manage, chain
         GET /api/users/oidc/clients/{id}: applications:manage, chain
         PATCH /api/users/oidc/clients/{id}: applications:manage, chain
         POST /api/users/oidc/clients/{id}/secret: applications:manage, chain
         DELETE /api/users/oidc/clients/{id}: applications:manage, chain
         GET /api/auth/consents: signed_in, caller
         DELETE /api/auth/consents/{id}: signed_in, caller
         GET /oauth/authorize: public, public
         POST /oauth/authorize: public, public
         GET /oauth/continue: public, public
         POST /oauth/login: public, public
         POST /oauth/consent: public, public
         GET /oauth/end_session: public, public
         POST /oauth/end_session: public, public
         POST /oauth/end_session/confirm: public, public
         POST /oauth/token: public, public
         POST /oauth/revoke: public, public
         GET /oauth/userinfo: open_id, caller
         POST /oauth/userinfo: open_id, caller
         GET /.well-known/openid-configuration: public, public
         GET /.well-known/oauth-authorization-server: public, public
         GET /.well-known/jwks.json: public, public
         GET /api/auth/sessions: signed_in, caller
         DELETE /api/auth/sessions: signed_in, caller
         DELETE /api/auth/sessions/{id}: signed_in, caller
         GET /api/users/{id}/sessions: sessions:revoke, object
         DELETE /api/users/{id}/sessions: sessions:revoke, object
         GET /internal/revocations: service, chain
         POST /internal/tokens: public, public
         POST /internal/events: service, chain
         GET /internal/events/parked: operator, chain
         POST /internal/events/parked/{id}/redrive: operator, chain";

#[tokio::test]
async fn every_route_lets_in_whom_the_table_of_permissions_says() {
    let app = TestApp::start().await;
    let people = People::of(&app).await;
    let clock = Clock::system();
    let (store, other) = (StoreId::new(&clock), StoreId::new(&clock));
    let own = people.account(&Role::Crew, store).await;
    let foreign = people.account(&Role::Crew, other).await;
    let (own, foreign) = (text(&own, "id"), text(&foreign, "id"));
    let erased = people.account(&Role::Crew, store).await;
    let (of_own, of_foreign) = (invitation(&app, store).await, invitation(&app, other).await);
    let (again, foreign_again) = (invitation(&app, store).await, invitation(&app, other).await);
    let (till, foreign_till) = (terminal(&app, store).await, terminal(&app, other).await);
    let (registered, another) = (application(&app).await, application(&app).await);
    let parked = park_an_event(&app.client, &people.service).await;

    let document = app.client.get("/openapi.json").await.expect(200);
    let report = Matrix::new(store, other)
        .known("/internal/events/parked/{id}/redrive", parked)
        .known("role", "kiosk")
        .known("/api/users/{id}/export", own)
        .known("/api/users/{id}/mfa/reset", own)
        .known("/api/users/{id}/erase", text(&erased, "id"))
        .object("/api/users/{id}", own, foreign)
        .object("/api/users/{id}/sessions", own, foreign)
        .object(&format!("{INVITATIONS}/{{id}}"), of_own, of_foreign)
        .object(
            &format!("{INVITATIONS}/{{id}}/resend"),
            again,
            foreign_again,
        )
        .vanishing(&format!("DELETE {INVITATIONS}/{{id}}"))
        .object(&format!("{DEVICES}/{{id}}"), till, foreign_till)
        .known(&format!("{APPLICATIONS}/{{id}}"), registered)
        .known(&format!("{APPLICATIONS}/{{id}}/secret"), another)
        .absent("DELETE /api/auth/consents/{id}")
        .absent("PATCH /api/auth/passkeys/{id}")
        .run(&app.client, &document, &people)
        .await;
    report.assert_clean();
    report.assert_table(REVIEWED);
}
