//! Who may begin a ceremony, what is no answer to one, and that each is good once, with a device that
//! never counts. A browser's own ceremony runs in the tests of the whole system.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{ApiClient, Reply, wait_for};

use crate::authenticator::Authenticator;
use crate::harness::{OWNER, OWNER_PASSWORD, TestApp, text};
use crate::mails::mails;
use crate::second_factors::enrol;

const UNKNOWN: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";

async fn start_login(app: &TestApp) -> Value {
    let request = app
        .client
        .request(Method::POST, "/api/auth/passkeys/login/start");
    app.client.send(request).await.expect(200)
}

async fn start_registration(client: &ApiClient, password: &str) -> Reply {
    let body = json!({"password": password});
    client
        .post("/api/auth/passkeys/register/start", &body)
        .await
}

async fn begin(client: &ApiClient) -> Value {
    start_registration(client, OWNER_PASSWORD).await.expect(200)
}

/// Well formed, and worth nothing.
fn assertion() -> Value {
    json!({
        "id": "AAAA", "rawId": "AAAA", "type": "public-key",
        "response": {
            "authenticatorData": "AAAA", "clientDataJSON": "AAAA", "signature": "AAAA",
            "userHandle": "AAAA",
        },
        "clientExtensionResults": {},
    })
}

/// Likewise.
fn attestation() -> Value {
    json!({
        "id": "AAAA", "rawId": "AAAA", "type": "public-key",
        "response": {"attestationObject": "AAAA", "clientDataJSON": "AAAA"},
        "clientExtensionResults": {},
    })
}

async fn finish_registration(client: &ApiClient, ceremony: &Value) -> Reply {
    let body = json!({
        "ceremony_id": ceremony["ceremony_id"], "name": "Phone", "credential": attestation(),
    });
    client
        .post("/api/auth/passkeys/register/finish", &body)
        .await
}

/// Answers a registration with a device that never counts.
async fn register(client: &ApiClient, phone: &Authenticator, ceremony: &Value) -> Reply {
    let body = json!({
        "ceremony_id": ceremony["ceremony_id"], "name": "Phone",
        "credential": phone.register(&ceremony["options"]),
    });
    client
        .post("/api/auth/passkeys/register/finish", &body)
        .await
}

/// Adds a passkey to the signed-in account; gives it and its device.
pub(crate) async fn add_passkey(client: &ApiClient, password: &str) -> (Value, Authenticator) {
    let phone = Authenticator::new();
    let begun = start_registration(client, password).await.expect(200);
    let passkey = register(client, &phone, &begun).await.expect(201);
    (passkey, phone)
}

async fn finish_login(app: &TestApp, ceremony: &Value) -> Reply {
    let body = json!({"ceremony_id": ceremony["ceremony_id"], "credential": assertion()});
    app.client
        .post("/api/auth/passkeys/login/finish", &body)
        .await
}

#[tokio::test]
async fn a_registration_asks_for_a_discoverable_passkey_that_verifies_its_person() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let begun = begin(&owner).await;
    let options = &begun["options"];
    assert_eq!(options["rp"]["id"], "localhost");
    assert_eq!(options["user"]["name"], OWNER);
    let selection = &options["authenticatorSelection"];
    assert_eq!(selection["residentKey"], "required");
    assert_eq!(selection["userVerification"], "required");
    let another = begin(&owner).await;
    assert_ne!(options["challenge"], another["options"]["challenge"]);

    let login = start_login(&app).await;
    assert_eq!(login["options"]["userVerification"], "required");
    assert_eq!(login["options"]["rpId"], "localhost");
    let allowed = login["options"]["allowCredentials"].as_array();
    assert!(
        allowed.is_none_or(Vec::is_empty),
        "nobody is told who has passkeys: {login}"
    );
}

#[tokio::test]
async fn a_ceremony_is_good_for_one_try_of_its_kind_and_its_person() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let _kim = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let kim = app
        .signed_in("kim@maru.local", crate::harness::PASSWORD)
        .await;

    let begun = begin(&owner).await;
    finish_registration(&owner, &begun)
        .await
        .expect_problem(422, "passkey_refused");
    finish_registration(&owner, &begun)
        .await
        .expect_problem(409, "no_ceremony");

    let begun = begin(&owner).await;
    app.clock.advance(Duration::from_secs(300));
    finish_registration(&owner, &begun)
        .await
        .expect_problem(409, "no_ceremony");

    // Whatever a device says, it says it to the person who began.
    let registration = begin(&owner).await;
    register(&kim, &Authenticator::new(), &registration)
        .await
        .expect_problem(409, "no_ceremony");
    let login = start_login(&app).await;
    let registration = begin(&owner).await;
    for ceremony in [login, registration, json!({"ceremony_id": UNKNOWN})] {
        let reply = finish_login(&app, &ceremony).await;
        reply.expect_problem(401, "passkey_refused");
    }
}

async fn sign_in(app: &TestApp, ceremony: &Value, credential: &Value) -> Reply {
    let body = json!({"ceremony_id": ceremony["ceremony_id"], "credential": credential});
    app.client
        .post("/api/auth/passkeys/login/finish", &body)
        .await
}

#[tokio::test]
async fn a_sign_in_is_good_once_and_for_five_minutes_and_nothing_is_kept_before() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let phone = Authenticator::new();
    let begun = begin(&owner).await;
    let _passkey = register(&owner, &phone, &begun).await.expect(201);

    let login = start_login(&app).await;
    let kept = "SELECT count(*) FROM passkey_challenges";
    assert_eq!(count(&app, kept).await, 0);
    let answer = phone.sign_in(&login["options"]);
    let _tokens = sign_in(&app, &login, &answer).await.expect(200);
    sign_in(&app, &login, &answer)
        .await
        .expect_problem(401, "passkey_refused");

    let altered = login["ceremony_id"]
        .as_str()
        .unwrap()
        .replacen('.', "A.", 1);
    let late = start_login(&app).await;
    let answer = phone.sign_in(&late["options"]);
    for foreign in [&json!({"ceremony_id": altered}), &login] {
        sign_in(&app, foreign, &answer)
            .await
            .expect_problem(401, "passkey_refused");
    }
    app.clock.advance(Duration::from_secs(301));
    sign_in(&app, &late, &answer)
        .await
        .expect_problem(401, "passkey_refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_answers_to_one_ceremony_sent_at_once_one_signs_in() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let phone = Authenticator::new();
    let begun = begin(&owner).await;
    let _passkey = register(&owner, &phone, &begun).await.expect(201);
    let login = start_login(&app).await;
    let answer = phone.sign_in(&login["options"]);
    let replies = (0..8).map(|_| sign_in(&app, &login, &answer));
    let replies = futures_util::future::join_all(replies).await;
    let signed_in = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(signed_in, 1);
    assert!(
        replies
            .iter()
            .all(|reply| [200, 401].contains(&reply.status))
    );
}

async fn count(app: &TestApp, sql: &'static str) -> i64 {
    let db = app.db().await;
    let mut tx = db.read().await.unwrap();
    store::fetch_one!(tx, (i64,), sql).unwrap().0
}

#[tokio::test]
async fn what_is_no_credential_is_refused_before_the_ceremony_is_used() {
    let app = TestApp::start().await;
    let login = start_login(&app).await;
    for credential in [json!({}), json!("x"), json!([]), json!(null)] {
        let body = json!({"ceremony_id": login["ceremony_id"], "credential": credential});
        let reply = app
            .client
            .post("/api/auth/passkeys/login/finish", &body)
            .await;
        assert_eq!(reply.expect_invalid(), ["credential"], "{credential}");
    }
    let owner = app.owner().await;
    let body = json!({"ceremony_id": UNKNOWN, "name": "", "credential": {}});
    let reply = owner
        .post("/api/auth/passkeys/register/finish", &body)
        .await;
    assert_eq!(reply.expect_invalid(), ["name", "credential"]);
}

#[tokio::test]
async fn passkeys_are_their_persons_own() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let page = owner.get("/api/auth/passkeys").await.expect(200);
    assert_eq!(page["items"], json!([]));
    let path = format!("/api/auth/passkeys/{UNKNOWN}");
    remove(&owner, UNKNOWN, json!({"password": OWNER_PASSWORD}))
        .await
        .expect_problem(404, "not_found");
    let request = owner
        .request(Method::PATCH, &path)
        .json(&json!({"name": "x"}));
    owner.send(request).await.expect_problem(404, "not_found");
    start_registration(&app.client, OWNER_PASSWORD)
        .await
        .expect_problem(401, "token_missing");
    start_registration(&owner, "another password")
        .await
        .expect_problem(422, "password_wrong");
}

async fn remove(client: &ApiClient, id: &str, proof: Value) -> Reply {
    let path = format!("/api/auth/passkeys/{id}/remove");
    client.post(&path, &proof).await
}

#[tokio::test]
async fn a_passkey_is_removed_with_the_password_and_ends_the_logins_that_wait() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let (passkey, phone) = add_passkey(&owner, OWNER_PASSWORD).await;
    let id = text(&passkey, "id");
    let waiting = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    assert_eq!(waiting["methods"], json!(["passkey"]));
    let path = format!("/api/auth/passkeys/{id}");
    assert_eq!(owner.delete(&path).await.status, 404, "no such operation");
    remove(&owner, id, json!({}))
        .await
        .expect_problem(400, "missing_field");
    remove(&owner, id, json!({"password": "another password"}))
        .await
        .expect_problem(422, "password_wrong");
    let waits = "SELECT count(*) FROM mfa_challenges";
    assert_eq!(count(&app, waits).await, 1);

    let password = json!({"password": OWNER_PASSWORD});
    assert_eq!(remove(&owner, id, password.clone()).await.status, 204);
    assert_eq!(count(&app, waits).await, 0);
    remove(&owner, id, password)
        .await
        .expect_problem(404, "not_found");
    let login = start_login(&app).await;
    sign_in(&app, &login, &phone.sign_in(&login["options"]))
        .await
        .expect_problem(401, "passkey_refused");
    wait_for("the mail", || async {
        let all = mails(&app).await.into_iter();
        let mut changes = all.map(|mail| mail["variables"]["change"].clone());
        changes.find(|change| change == "passkey_removed")
    })
    .await;
}

#[tokio::test]
async fn a_passkey_beside_a_generator_is_removed_with_a_code_of_it() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let (passkey, _phone) = add_passkey(&owner, OWNER_PASSWORD).await;
    let id = text(&passkey, "id");
    let (generator, _codes) = enrol(&app, &owner, OWNER_PASSWORD).await;
    let code = generator.code(&app);
    for (proof, problem) in [
        (json!({"password": OWNER_PASSWORD}), "code_wrong"),
        (
            json!({"password": OWNER_PASSWORD, "code": "000000"}),
            "code_wrong",
        ),
        (
            json!({"password": "another password", "code": code}),
            "password_wrong",
        ),
    ] {
        remove(&owner, id, proof).await.expect_problem(422, problem);
    }
    let both = json!({"password": OWNER_PASSWORD, "code": code});
    assert_eq!(remove(&owner, id, both).await.status, 204);
}
