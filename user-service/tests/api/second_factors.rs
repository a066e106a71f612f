use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use ring::hmac;
use serde_json::{Value, json};
use testkit::{ApiClient, Reply};

use crate::api_keys::{exchange as exchange_key, halves as key_halves};
use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::logins::claims_of;
use crate::mails::{count_mails, mail_to, token_of};
use crate::passkeys::add_passkey;

const KIM: &str = "kim@maru.local";
const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";

/// A generator app: RFC 6238 once more, by another hand.
pub(crate) struct Generator(Vec<u8>);

impl Generator {
    /// The one that was made for somebody.
    fn of(made: &Value) -> Self {
        let secret = text(made, "secret");
        Self(BASE32_NOPAD.decode(secret.as_bytes()).unwrap())
    }

    pub(crate) fn code(&self, app: &TestApp) -> String {
        self.code_after(app, 0)
    }

    /// The secret as a person would type it.
    pub(crate) fn base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// The code some steps from now.
    fn code_after(&self, app: &TestApp, steps: i64) -> String {
        let step = app.clock.now().as_unix_seconds() / 30 + steps;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let bytes = tag.as_ref();
        let offset = usize::from(bytes[19] & 15);
        let number = u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }
}

/// Adds a generator to the signed-in account; gives it and the recovery codes.
pub(crate) async fn enrol(
    app: &TestApp,
    client: &ApiClient,
    password: &str,
) -> (Generator, Vec<String>) {
    let body = json!({"password": password});
    let reply = client.post("/api/auth/mfa/totp", &body).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let made = reply.expect(200);
    let secret = text(&made, "secret");
    let uri = text(&made, "otpauth_uri");
    assert!(uri.starts_with("otpauth://totp/Maru:"), "{uri}");
    assert!(uri.contains(&format!("secret={secret}&")), "{uri}");
    let generator = Generator::of(&made);
    let body = json!({"code": generator.code(app)});
    let confirmed = client.post("/api/auth/mfa/totp/confirm", &body).await;
    let confirmed = confirmed.expect(200);
    let codes = confirmed["recovery_codes"].as_array().unwrap().iter();
    let codes = codes
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    // The next code is another one.
    app.clock.advance(Duration::from_secs(30));
    (generator, codes)
}

async fn challenge(app: &TestApp, email: &str, password: &str) -> Value {
    let reply = app.log_in(email, password).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let challenge = reply.expect(200);
    assert_eq!(challenge["mfa_required"], true);
    assert!(challenge.get("access_token").is_none());
    challenge
}

async fn answer(app: &TestApp, challenge: &Value, method: &str, code: &str) -> Reply {
    let body = json!({
        "mfa_token": challenge["mfa_token"], "method": method, "code": code,
    });
    app.client.post("/api/auth/login/mfa", &body).await
}

async fn kim(app: &TestApp) -> ApiClient {
    let _user = app.make_user(KIM, &["crew"], &[STORE]).await;
    app.signed_in(KIM, PASSWORD).await
}

#[tokio::test]
async fn a_login_needs_the_generator_once_it_is_confirmed() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let path = "/api/auth/mfa/totp";
    let password = json!({"password": PASSWORD});
    let _unconfirmed = client.post(path, &password).await.expect(200);
    let _tokens = app.log_in(KIM, PASSWORD).await.expect(200);
    let (generator, codes) = enrol(&app, &client, PASSWORD).await;
    assert_eq!(codes.len(), 10);

    let waiting = challenge(&app, KIM, PASSWORD).await;
    assert_eq!(waiting["methods"], json!(["totp", "recovery_code"]));
    assert_eq!(waiting["expires_in"], 300);
    let code = generator.code(&app);
    let reply = answer(&app, &waiting, "totp", &code).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let tokens = reply.expect(200);
    let signed_in = app.client.with_token(text(&tokens, "access_token"));
    let me = signed_in.get("/api/auth/me").await.expect(200);
    assert_eq!(me["settings"]["totp"], true);
    let _tokens = app
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
    // Neither the login nor the code is good a second time.
    answer(&app, &waiting, "totp", &code)
        .await
        .expect_problem(401, "mfa_token_invalid");
    let again = challenge(&app, KIM, PASSWORD).await;
    answer(&app, &again, "totp", &code)
        .await
        .expect_problem(401, "code_invalid");
    answer(&app, &again, "totp", &generator.code_after(&app, -1))
        .await
        .expect_problem(401, "code_invalid");
    let next = generator.code_after(&app, 1);
    let _tokens = answer(&app, &again, "totp", &next).await.expect(200);
    assert_eq!(count_mails(&app, KIM, "second_factor_changed").await, 1);
}

/// Makes a generator for the signed-in account, which no code confirms.
async fn unconfirmed(client: &ApiClient) -> Generator {
    let body = json!({"password": PASSWORD});
    let made = client.post("/api/auth/mfa/totp", &body).await.expect(200);
    Generator::of(&made)
}

#[tokio::test]
async fn a_generator_that_was_never_confirmed_answers_no_login() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (_passkey, _phone) = add_passkey(&client, PASSWORD).await;
    let generator = unconfirmed(&client).await;
    let waiting = challenge(&app, KIM, PASSWORD).await;
    assert_eq!(waiting["methods"], json!(["passkey"]));
    answer(&app, &waiting, "totp", &generator.code(&app))
        .await
        .expect_problem(401, "code_invalid");
}

#[tokio::test]
async fn a_challenge_is_answered_by_what_it_offers_alone() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (_passkey, _phone) = add_passkey(&client, PASSWORD).await;
    let (_generator, codes) = enrol(&app, &client, PASSWORD).await;
    let mut tx = app.db().await.begin().await.unwrap();
    let sql = "UPDATE totp_factors SET confirmed_at = NULL";
    store::execute!(tx, sql).unwrap();
    tx.commit().await.unwrap();
    let waiting = challenge(&app, KIM, PASSWORD).await;
    assert_eq!(waiting["methods"], json!(["passkey"]));
    answer(&app, &waiting, "recovery_code", &codes[0])
        .await
        .expect_problem(401, "code_invalid");
}

#[tokio::test]
async fn a_generator_is_confirmed_within_an_hour() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let generator = unconfirmed(&client).await;
    app.clock.advance(Duration::from_secs(3_600));
    let client = app.signed_in(KIM, PASSWORD).await;
    let code = json!({"code": generator.code(&app)});
    client
        .post("/api/auth/mfa/totp/confirm", &code)
        .await
        .expect_problem(409, "totp_missing");
    let (_generator, _codes) = enrol(&app, &client, PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_guessed_at_once_do_not_slip_through_together() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (_generator, _codes) = enrol(&app, &client, PASSWORD).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(challenge(&app, KIM, PASSWORD).await);
    }
    let guesses = (0..40).map(|number| answer(&app, &waiting[number % 5], "totp", "000000"));
    let replies = futures_util::future::join_all(guesses).await;
    let checked = replies.iter().filter(|reply| reply.status == 401).count();
    // Five are free, and one more begins the delays.
    assert_eq!(checked, 6);
    assert!(
        replies
            .iter()
            .all(|reply| [401, 429].contains(&reply.status))
    );
    let [delayed] = &crate::audit::entries(&app, "login.delayed").await[..] else {
        panic!("one entry");
    };
    assert_eq!(delayed["target_kind"], "account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_that_remove_the_generator_are_not_guessed_at_once() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (_generator, _codes) = enrol(&app, &client, PASSWORD).await;
    let guess = json!({"password": PASSWORD, "code": "000000"});
    let guesses = (0..20).map(|_| client.post("/api/auth/mfa/totp/disable", &guess));
    let replies = futures_util::future::join_all(guesses).await;
    let checked = replies.iter().filter(|reply| reply.status == 422).count();
    assert_eq!(checked, 6);
    assert!(
        replies
            .iter()
            .all(|reply| [422, 429].contains(&reply.status))
    );
}

#[tokio::test]
async fn a_challenge_is_no_token_and_nothing_else_answers_it() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (generator, _codes) = enrol(&app, &client, PASSWORD).await;
    let waiting = challenge(&app, KIM, PASSWORD).await;
    let token = text(&waiting, "mfa_token");
    app.client
        .with_token(token)
        .get("/api/auth/me")
        .await
        .expect_problem(401, "token_invalid");
    app.refresh(token)
        .await
        .expect_problem(401, "refresh_token_invalid");
    let code = generator.code(&app);
    for bad in ["", "x", &token[1..]] {
        let forged = json!({"mfa_token": bad});
        answer(&app, &forged, "totp", &code)
            .await
            .expect_problem(401, "mfa_token_invalid");
    }
    answer(&app, &waiting, "webauthn", &code)
        .await
        .expect_problem(400, "invalid_type");
    for wrong in ["", "abcdef", &"1".repeat(40)] {
        answer(&app, &waiting, "totp", wrong)
            .await
            .expect_problem(401, "code_invalid");
    }
    let too_long = answer(&app, &waiting, "totp", &"1".repeat(41)).await;
    assert_eq!(too_long.expect_invalid(), ["code"]);
    app.clock.advance(Duration::from_secs(300));
    answer(&app, &waiting, "totp", &generator.code(&app))
        .await
        .expect_problem(401, "mfa_token_invalid");
}

#[tokio::test]
async fn codes_cannot_be_guessed() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (generator, _codes) = enrol(&app, &client, PASSWORD).await;
    let waiting = challenge(&app, KIM, PASSWORD).await;
    for _ in 0..5 {
        answer(&app, &waiting, "totp", "000000")
            .await
            .expect_problem(401, "code_invalid");
    }
    answer(&app, &waiting, "totp", &generator.code(&app))
        .await
        .expect_problem(401, "mfa_token_invalid");
    // A new login does not help: failures of the account count across logins.
    let waiting = challenge(&app, KIM, PASSWORD).await;
    answer(&app, &waiting, "totp", "000000")
        .await
        .expect_problem(401, "code_invalid");
    let delayed = answer(&app, &waiting, "totp", &generator.code(&app)).await;
    assert_eq!(delayed.header("retry-after"), Some("1"));
    delayed.expect_problem(429, "too_many_requests");
    app.clock.advance(Duration::from_secs(1));
    let right = answer(&app, &waiting, "totp", &generator.code(&app)).await;
    let _tokens = right.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_code_sent_many_times_at_once_signs_in_once() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (generator, _codes) = enrol(&app, &client, PASSWORD).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(challenge(&app, KIM, PASSWORD).await);
    }
    let code = generator.code(&app);
    let tries = waiting.iter().map(|one| answer(&app, one, "totp", &code));
    let replies = futures_util::future::join_all(tries).await;
    let signed_in = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(signed_in, 1);
}

#[tokio::test]
async fn each_recovery_code_signs_in_once_and_the_person_is_told() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (_generator, codes) = enrol(&app, &client, PASSWORD).await;
    let waiting = challenge(&app, KIM, PASSWORD).await;
    let typed = codes[0].to_uppercase().replace('-', " ");
    let _tokens = answer(&app, &waiting, "recovery_code", &typed)
        .await
        .expect(200);
    let told = mail_to(&app, KIM, "second_factor_changed").await;
    assert_eq!(told["variables"]["change"], "recovery_code_used");
    let waiting = challenge(&app, KIM, PASSWORD).await;
    answer(&app, &waiting, "recovery_code", &codes[0])
        .await
        .expect_problem(401, "code_invalid");
    // A recovery code is no code of the generator.
    answer(&app, &waiting, "totp", &codes[1])
        .await
        .expect_problem(401, "code_invalid");
    let overview = client.get("/api/auth/mfa").await.expect(200);
    assert_eq!(overview["recovery_codes_left"], 9);
    assert_eq!(overview["enrolment_required"], false);
    let _tokens = answer(&app, &waiting, "recovery_code", &codes[1])
        .await
        .expect(200);
}

#[tokio::test]
async fn recovery_codes_are_renewed_and_the_generator_removed_with_both_factors() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let both = |password: &str, code: &str| json!({"password": password, "code": code});
    let (renew, disable) = ("/api/auth/mfa/recovery-codes", "/api/auth/mfa/totp/disable");
    for path in [renew, disable] {
        client
            .post(path, &both(PASSWORD, "000000"))
            .await
            .expect_problem(409, "totp_missing");
    }
    let (generator, old) = enrol(&app, &client, PASSWORD).await;
    for path in [renew, disable] {
        client
            .post(path, &both("wrong", &generator.code(&app)))
            .await
            .expect_problem(422, "password_wrong");
        client
            .post(path, &both(PASSWORD, "000000"))
            .await
            .expect_problem(422, "code_wrong");
    }
    let enrolled = json!({"password": PASSWORD});
    client
        .post("/api/auth/mfa/totp", &enrolled)
        .await
        .expect_problem(409, "totp_in_force");
    let code = generator.code(&app);
    let renewed = client.post(renew, &both(PASSWORD, &code)).await.expect(200);
    let new = renewed["recovery_codes"][0].as_str().unwrap().to_owned();
    client
        .post(disable, &both(PASSWORD, &code))
        .await
        .expect_problem(422, "code_wrong");
    let waiting = challenge(&app, KIM, PASSWORD).await;
    answer(&app, &waiting, "recovery_code", &old[0])
        .await
        .expect_problem(401, "code_invalid");
    let _tokens = answer(&app, &waiting, "recovery_code", &new)
        .await
        .expect(200);
    app.clock.advance(Duration::from_secs(30));
    let waiting = challenge(&app, KIM, PASSWORD).await;
    let now = both(PASSWORD, &generator.code(&app));
    assert_eq!(client.post(disable, &now).await.status, 204);
    answer(&app, &waiting, "totp", &generator.code_after(&app, 1))
        .await
        .expect_problem(401, "mfa_token_invalid");
    let _tokens = app.signed_in(KIM, PASSWORD).await;
}

#[tokio::test]
async fn a_reset_password_does_not_get_around_the_second_factor() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (generator, _codes) = enrol(&app, &client, PASSWORD).await;
    let before = challenge(&app, KIM, PASSWORD).await;
    let forgot = json!({"email": KIM});
    let asked = app.client.post("/api/auth/password/forgot", &forgot);
    assert_eq!(asked.await.status, 202);
    let token = token_of(&mail_to(&app, KIM, "reset_password").await);
    let new = "another fine password";
    let body = json!({"token": token, "new_password": new});
    let done = app.client.post("/api/auth/password/reset", &body).await;
    assert_eq!(done.status, 204);
    // A login that waited with the old password is over, and a new one waits again.
    answer(&app, &before, "totp", &generator.code(&app))
        .await
        .expect_problem(401, "mfa_token_invalid");
    let waiting = challenge(&app, KIM, new).await;
    let _tokens = answer(&app, &waiting, "totp", &generator.code(&app))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_generator_is_sealed_in_the_database_and_codes_are_hashed() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (generator, codes) = enrol(&app, &client, PASSWORD).await;
    let mut tx = app.db().await.read().await.unwrap();
    let sql = "SELECT sealed_secret FROM totp_factors";
    let (sealed,) = store::fetch_one!(tx, (String,), sql).unwrap();
    let sealed = base64_bytes(&sealed);
    let plain = generator.0.as_slice();
    assert!(!sealed.windows(plain.len()).any(|window| window == plain));
    let sql = "SELECT code_hash FROM recovery_codes";
    let hashes = store::fetch_all!(tx, (String,), sql).unwrap();
    assert_eq!(hashes.len(), 10);
    let plain: Vec<String> = codes.iter().map(|code| code.replace('-', "")).collect();
    assert!(
        hashes
            .iter()
            .all(|(hash,)| hash.len() == 64 && !plain.contains(hash))
    );
}

fn base64_bytes(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    engine.decode(text).unwrap()
}

#[tokio::test]
async fn managers_have_no_roles_before_they_have_a_second_factor() {
    let app = TestApp::start_with(&[("USER__MFA__REQUIRE_FOR_MANAGERS", "always")]).await;
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    assert_eq!(tokens["mfa_enrolment_required"], true);
    let claims = claims_of(text(&tokens, "access_token"));
    assert_eq!(claims["roles"], json!([]));
    assert_eq!(claims["stores"], json!([]));
    let owner = app.client.with_token(text(&tokens, "access_token"));
    owner
        .get("/api/users")
        .await
        .expect_problem(403, "forbidden");
    let refreshed = app
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
    assert_eq!(refreshed["mfa_enrolment_required"], true);
    let overview = owner.get("/api/auth/mfa").await.expect(200);
    assert_eq!(overview["enrolment_required"], true);
    assert_eq!(overview["methods"], json!([]));

    let (generator, _codes) = enrol(&app, &owner, OWNER_PASSWORD).await;
    let overview = owner.get("/api/auth/mfa").await.expect(200);
    assert_eq!(overview["enrolment_required"], false);
    // The session that added it is as good as one that showed it.
    let refreshed = app
        .refresh(text(&refreshed, "refresh_token"))
        .await
        .expect(200);
    assert!(refreshed.get("mfa_enrolment_required").is_none());
    let owner = app.client.with_token(text(&refreshed, "access_token"));
    let _users = owner.get("/api/users").await.expect(200);
    let waiting = challenge(&app, OWNER, OWNER_PASSWORD).await;
    let tokens = answer(&app, &waiting, "totp", &generator.code(&app))
        .await
        .expect(200);
    assert!(tokens.get("mfa_enrolment_required").is_none());

    // Crew need none.
    let body = json!({
        "email": KIM, "display_name": "Kim", "password": PASSWORD, "roles": ["crew"],
    });
    let _kim = owner.post("/api/users", &body).await.expect(201);
    let kim = app.log_in(KIM, PASSWORD).await.expect(200);
    assert!(kim.get("mfa_enrolment_required").is_none());
    assert_eq!(
        claims_of(text(&kim, "access_token"))["roles"],
        json!(["crew"])
    );
}

#[tokio::test]
async fn a_key_of_a_manager_without_the_second_factor_may_do_nothing() {
    let app = TestApp::start_with(&[("USER__MFA__REQUIRE_FOR_MANAGERS", "always")]).await;
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    let owner = app.client.with_token(text(&tokens, "access_token"));
    let (generator, _codes) = enrol(&app, &owner, OWNER_PASSWORD).await;
    let tokens = app
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
    let owner = app.client.with_token(text(&tokens, "access_token"));
    let key = json!({
        "password": OWNER_PASSWORD, "name": "till export", "scopes": ["menu:read"],
    });
    let key = owner.post("/api/users/api-keys", &key).await.expect(201);
    let halves = key_halves(&key);
    let roles = async || {
        let answer = exchange_key(&app, &halves).await.expect(200);
        claims_of(text(&answer, "access_token"))["roles"].clone()
    };
    assert_eq!(roles().await, json!(["owner"]));
    let both = json!({"password": OWNER_PASSWORD, "code": generator.code(&app)});
    let disabled = owner.post("/api/auth/mfa/totp/disable", &both).await;
    assert_eq!(disabled.status, 204);
    assert_eq!(roles().await, json!([]));
}

#[tokio::test]
async fn production_asks_managers_for_a_second_factor_unless_told_otherwise() {
    let mut stopped = TestApp::start().await.stop().await;
    stopped.set("MARU_PROFILE", "production");
    let app = stopped.start().await;
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    assert_eq!(tokens["mfa_enrolment_required"], true);
    let mut stopped = app.stop().await;
    stopped.set("USER__MFA__REQUIRE_FOR_MANAGERS", "never");
    let app = stopped.start().await;
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    assert!(tokens.get("mfa_enrolment_required").is_none());
}

#[tokio::test]
async fn an_owner_helps_who_lost_the_second_factor_and_nobody_else_does() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let (_lost, _codes) = enrol(&app, &client, PASSWORD).await;
    let me = client.get("/api/auth/me").await.expect(200);
    let owner = app.owner().await;
    let reset = async |by: &ApiClient, id: &str, password: &str| {
        let path = format!("/api/users/{id}/mfa/reset");
        by.post(&path, &json!({"password": password})).await
    };
    let id = text(&me, "id");
    reset(&client, id, PASSWORD)
        .await
        .expect_problem(403, "forbidden");
    reset(&owner, id, "wrong")
        .await
        .expect_problem(422, "password_wrong");
    let own = owner.get("/api/auth/me").await.expect(200);
    reset(&owner, text(&own, "id"), OWNER_PASSWORD)
        .await
        .expect_problem(409, "own_second_factors");
    reset(&owner, STORE, OWNER_PASSWORD)
        .await
        .expect_problem(404, "not_found");
    let waiting = challenge(&app, KIM, PASSWORD).await;

    assert_eq!(reset(&owner, id, OWNER_PASSWORD).await.status, 204);
    client
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    answer(&app, &waiting, "totp", "000000")
        .await
        .expect_problem(401, "mfa_token_invalid");
    let _kim = app.signed_in(KIM, PASSWORD).await;
    let mail = mail_to(&app, KIM, "second_factor_changed").await;
    assert_eq!(mail["variables"]["change"], "second_factors_reset");
    // Repeated, it ends no session any more.
    let again = app.signed_in(KIM, PASSWORD).await;
    assert_eq!(reset(&owner, id, OWNER_PASSWORD).await.status, 204);
    let _me = again.get("/api/auth/me").await.expect(200);
}
