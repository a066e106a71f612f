//! Programs that act for themselves: the client credentials grant (RFC 6749, section 4.4).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{ApiClient, Reply};
use uuid::Uuid;

use super::application::{Application, MOMENT, claims_of, expect_refused};
use crate::audit::entries;
use crate::harness::{TestApp, text};
use crate::neighbour::Neighbour;

const PATH: &str = "/api/users/oidc/clients";
const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-000000000001";
const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn a_program() -> Value {
    json!({
        "redirect_uris": [],
        "scopes": ["openid", "menu:read", "orders:read"],
        "service": {"stores": [STORE]},
    })
}

async fn register(app: &TestApp) -> Application {
    Application::register_as(app, a_program()).await
}

async fn token_of(program: &Application) -> String {
    let answer = program.token(&[GRANT]).await.expect(200);
    text(&answer, "access_token").to_owned()
}

async fn patch(owner: &ApiClient, program: &Application, body: Value) -> Reply {
    let path = format!("{PATH}/{}", program.id);
    let request = owner.request(Method::PATCH, &path).json(&body);
    owner.send(request).await
}

#[tokio::test]
async fn a_program_gets_a_short_token_with_its_own_role_stores_and_scopes() {
    let app = TestApp::start().await;
    let program = register(&app).await;
    let reply = program.token(&[GRANT]).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let answer = reply.expect(200);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 600);
    // Who the person is, nobody can say where there is none.
    assert_eq!(answer["scope"], "menu:read orders:read");
    for absent in ["refresh_token", "id_token"] {
        assert!(answer.get(absent).is_none(), "{answer}");
    }
    let claims = claims_of(text(&answer, "access_token"));
    assert_eq!(claims["sub"], program.id);
    assert_eq!(claims["azp"], program.id);
    assert_eq!(claims["typ"], "delegated");
    assert_eq!(claims["roles"], json!(["service"]));
    assert_eq!(claims["stores"], json!([STORE]));
    assert_eq!(claims["scope"], "menu:read orders:read");

    let fewer = program.token(&[GRANT, ("scope", "menu:read")]).await;
    assert_eq!(fewer.expect(200)["scope"], "menu:read");
    let form = [
        GRANT,
        ("client_id", program.id.as_str()),
        ("client_secret", program.secret.as_deref().unwrap()),
    ];
    let request = app.client.request(Method::POST, "/oauth/token").form(&form);
    let _posted = app.client.send(request).await.expect(200);

    let everywhere = json!({"redirect_uris": [], "scopes": ["menu:read"], "service": {}});
    let everywhere = Application::register_as(&app, everywhere).await;
    let claims = claims_of(&token_of(&everywhere).await);
    assert_eq!(claims["stores"], "*");
}

#[tokio::test]
async fn a_program_gets_nothing_that_it_was_not_registered_for() {
    let app = TestApp::start().await;
    let program = register(&app).await;
    for scope in [
        "inventory:read",
        "menu:read inventory:read",
        "openid",
        "janitor",
    ] {
        let reply = program.token(&[GRANT, ("scope", scope)]).await;
        expect_refused(reply, 400, "invalid_scope");
    }
    let person_only = Application::register(&app).await;
    let reply = person_only.token(&[GRANT]).await;
    expect_refused(reply, 400, "unauthorized_client");
    let public = Application::register_as(&app, json!({"confidential": false})).await;
    expect_refused(public.token(&[GRANT]).await, 400, "unauthorized_client");
    let owner = app.owner().await;
    let public_read = owner
        .get(&format!("{PATH}/{}", public.id))
        .await
        .expect(200);
    patch(
        &owner,
        &public,
        json!({"version": public_read["version"], "service": {}}),
    )
    .await
    .expect_problem(409, "no_secret");
    // The whole chain's recipes and menus are not for a program in some stores.
    let no_permission = json!({"scopes": ["openid", "catalog:write"], "service": {}});
    let no_permission = Application::register_as(&app, no_permission).await;
    expect_refused(no_permission.token(&[GRANT]).await, 400, "invalid_scope");
}

#[tokio::test]
async fn a_programs_token_is_no_persons() {
    let app = TestApp::start().await;
    let scopes: Vec<&str> = common::auth::permission_scopes()
        .iter()
        .map(|scope| scope.permission.as_str())
        .collect();
    let body = json!({"redirect_uris": [], "scopes": scopes, "service": {}});
    let program = Application::register_as(&app, body).await;
    let client = app.client.with_token(token_of(&program).await);
    for path in [
        "/api/auth/me",
        "/api/users",
        PATH,
        "/api/users/audit",
        "/oauth/userinfo",
    ] {
        client.get(path).await.expect_problem(403, "forbidden");
    }
    let code = program.authorize_path(&[]);
    assert_eq!(app.client.get(&code).await.status, 400, "it has no address");
}

#[tokio::test]
async fn whoever_cannot_prove_to_be_the_program_gets_no_token_and_has_to_wait() {
    let app = TestApp::start().await;
    let program = register(&app).await;
    let send = async |address: &str, id: &str, secret: &str| {
        let request = app.client.request(Method::POST, "/oauth/token");
        let request = request
            .header("x-forwarded-for", address)
            .basic_auth(id, Some(secret))
            .form(&[GRANT]);
        app.client.send(request).await
    };
    let right = program.secret.as_deref().unwrap();
    let unknown = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
    // However often: what names no application is not counted.
    for id in [unknown, "x"].repeat(8) {
        expect_refused(send("203.0.113.1", id, right).await, 401, "invalid_client");
    }
    for _ in 0..6 {
        let reply = send("203.0.113.1", &program.id, "wrong").await;
        expect_refused(reply, 401, "invalid_client");
    }
    let reply = send("203.0.113.1", &program.id, right).await;
    assert_eq!(reply.header("retry-after"), Some("1"), "{reply}");
    expect_refused(reply, 429, "temporarily_unavailable");
    let written_otherwise = program.id.to_uppercase();
    let reply = send("203.0.113.1", &written_otherwise, right).await;
    expect_refused(reply, 429, "temporarily_unavailable");
    // Nobody elsewhere waits for it, and nobody for long.
    let _token = send("203.0.113.2", &program.id, right).await.expect(200);
    app.clock.advance(Duration::from_secs(1));
    let _token = send("203.0.113.1", &program.id, right).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_changes_a_program_ends_its_tokens_everywhere_within_seconds() {
    let app = TestApp::start().await;
    let neighbour = Neighbour::of(&app);
    let owner = app.owner().await;
    let mut programs = Vec::new();
    for _ in 0..6 {
        let program = register(&app).await;
        let token = token_of(&program).await;
        assert_eq!(neighbour.status(&token).await, 204);
        programs.push((program, token));
    }
    let [disabled, renewed, deleted, moved, returned, stays] = &programs[..] else {
        panic!("six programs");
    };
    patch(&owner, &disabled.0, json!({"version": 1, "disabled": true}))
        .await
        .expect(200);
    let path = format!("{PATH}/{}/secret", renewed.0.id);
    let secret = owner.post(&path, &json!({})).await.expect(200);
    let path = format!("{PATH}/{}", deleted.0.id);
    owner.delete(&path).await.expect(204);
    let narrower = json!({"version": 1, "scopes": ["menu:read"], "service": {}});
    patch(&owner, &moved.0, narrower).await.expect(200);
    let reply = returned
        .0
        .post("/oauth/revoke", &[("token", &returned.1)])
        .await;
    assert_eq!(reply.status, 200);

    let ended = [disabled, renewed, deleted, moved, returned];
    let waits = ended
        .iter()
        .map(|(program, token)| neighbour.refuses(&program.id, token));
    for took in futures_util::future::join_all(waits).await {
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    assert_eq!(neighbour.status(&stays.1).await, 204);

    for (program, _) in [disabled, renewed, deleted] {
        expect_refused(program.token(&[GRANT]).await, 401, "invalid_client");
    }
    let mut with_new_secret = renewed.0.clone();
    with_new_secret.secret = Some(text(&secret, "client_secret").to_owned());
    for program in [&with_new_secret, &moved.0, &returned.0] {
        let token = token_of(program).await;
        assert_eq!(neighbour.status(&token).await, 204);
    }
    assert_eq!(claims_of(&token_of(&moved.0).await)["stores"], "*");
}

#[tokio::test]
async fn a_program_gives_nobody_elses_token_back() {
    let app = TestApp::start().await;
    let (one, other) = (register(&app).await, register(&app).await);
    let token = token_of(&one).await;
    let reply = other.post("/oauth/revoke", &[("token", &token)]).await;
    assert_eq!(reply.status, 200);
    let again = claims_of(&token_of(&one).await);
    assert_eq!(again["sid"], claims_of(&token)["sid"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_gives_tokens_back_while_it_is_changed_keeps_none() {
    let app = TestApp::start().await;
    let program = register(&app).await;
    let owner = app.owner().await;
    let id: Uuid = program.id.parse().unwrap();
    // A token is being given back, and another one has been got since.
    let mut tx = app.db().await.begin().await.unwrap();
    let next = Uuid::from_u128(1);
    let sql = "UPDATE oidc_clients SET service_session_id = $2 WHERE id = $1";
    store::execute!(tx, sql, id, next).unwrap();
    let mut change = Box::pin(patch(
        &owner,
        &program,
        json!({"version": 1, "disabled": true}),
    ));
    let waiting = tokio::time::timeout(MOMENT, &mut change).await;
    assert!(waiting.is_err(), "it waits for the other transaction");
    tx.commit().await.unwrap();
    change.await.expect(200);
    let mut tx = app.db().await.read().await.unwrap();
    let sql = "SELECT session_id FROM ended_service_sessions WHERE session_id = $1";
    let ended = store::fetch_optional!(tx, (Uuid,), sql, next).unwrap();
    assert_eq!(ended, Some((next,)), "what it has now has ended, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_secrets_renewed_at_once_one_is_in_force() {
    let app = TestApp::start().await;
    let program = register(&app).await;
    let owner = app.owner().await;
    let path = format!("{PATH}/{}/secret", program.id);
    let nothing = json!({});
    let renewals = (0..8).map(|_| owner.post(&path, &nothing));
    let mut in_force = 0;
    for reply in futures_util::future::join_all(renewals).await {
        let answer = reply.expect(200);
        let mut renewed = program.clone();
        renewed.secret = Some(text(&answer, "client_secret").to_owned());
        if renewed.token(&[GRANT]).await.status == 200 {
            in_force += 1;
        }
        // Whoever tries the others is not delayed here.
        app.clock.advance(Duration::from_secs(3_600));
    }
    assert_eq!(in_force, 1);
    expect_refused(program.token(&[GRANT]).await, 401, "invalid_client");
    let renewals = entries(&app, "application.secret_renewed").await;
    assert_eq!(renewals.len(), 8);
}

#[tokio::test]
async fn what_an_owner_does_about_a_program_is_written_down_and_shown() {
    let app = TestApp::start().await;
    let program = register(&app).await;
    let owner = app.owner().await;
    let path = format!("{PATH}/{}", program.id);
    let read = owner.get(&path).await.expect(200);
    assert_eq!(read["service"], json!({"stores": [STORE]}));
    patch(&owner, &program, json!({"version": 1, "service": {}}))
        .await
        .expect(200);
    let read = owner.get(&path).await.expect(200);
    assert_eq!(read["service"], json!({}));
    let [changed] = &entries(&app, "application.changed").await[..] else {
        panic!("one entry");
    };
    assert_eq!(changed["before"]["service_stores"], json!([STORE]));
    assert_eq!(changed["after"]["service_stores"], "*");
    let [registered] = &entries(&app, "application.registered").await[..] else {
        panic!("one entry");
    };
    assert_eq!(registered["after"]["service_stores"], json!([STORE]));
}

#[tokio::test]
async fn what_cannot_be_a_program_is_refused_field_by_field() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    for (different, expected) in [
        (json!({"confidential": false}), "service"),
        (json!({"service": {"stores": []}}), "service.stores"),
        (
            json!({"service": {"stores": vec![STORE; 51]}}),
            "service.stores",
        ),
        (json!({"service": null}), "redirect_uris"),
    ] {
        let mut body = a_program();
        let fields = body.as_object_mut().unwrap();
        fields.extend(
            json!({"name": "Planner", "confidential": true})
                .as_object()
                .unwrap()
                .clone(),
        );
        fields.extend(different.as_object().unwrap().clone());
        let faults = owner.post(PATH, &body).await.expect_invalid();
        assert_eq!(faults, [expected], "{different}");
    }
}
