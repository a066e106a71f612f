use std::time::Duration;

use common::auth::{RevocationsPage, derive_service_secret};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testkit::ApiClient;
use testkit::database::Profile;

use crate::harness::{PASSWORD, ROOT_SECRET, TestApp, text};
use crate::neighbour::Neighbour;

/// Everybody must know of a revocation after this time.
const LIMIT: Duration = Duration::from_secs(5);
const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-000000000001";

/// Somebody with a session.
struct Person {
    account: Value,
    tokens: Value,
}

impl Person {
    async fn sign_in(app: &TestApp, name: &str) -> Self {
        let email = format!("{name}@maru.local");
        let account = app.make_user(&email, &["crew"], &[STORE]).await;
        let tokens = app.log_in(&email, PASSWORD).await.expect(200);
        Self { account, tokens }
    }

    fn access(&self) -> &str {
        text(&self.tokens, "access_token")
    }

    fn client(&self, app: &TestApp) -> ApiClient {
        app.client.with_token(self.access())
    }
}

pub(crate) async fn service_token(app: &TestApp, name: &str) -> String {
    let secret = derive_service_secret(&ROOT_SECRET.into(), name);
    let body = json!({"client_id": name, "client_secret": secret.expose_secret()});
    let answer = app.client.post("/internal/tokens", &body).await.expect(200);
    text(&answer, "access_token").to_owned()
}

async fn service_client(app: &TestApp, name: &str) -> ApiClient {
    app.client.with_token(service_token(app, name).await)
}

async fn page(client: &ApiClient, after: &str) -> RevocationsPage {
    let path = format!("/internal/revocations?after={after}");
    client.get(&path).await.expect_as(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_a_session_or_changes_rights_is_known_everywhere_within_seconds() {
    let app = TestApp::start().await;
    let neighbour = Neighbour::of(&app);
    let owner = app.owner().await;
    let mut people = Vec::new();
    for name in [
        "logout", "ended", "others", "all", "disabled", "role", "store", "reuse", "stays",
    ] {
        people.push(Person::sign_in(&app, name).await);
    }
    for person in &people {
        assert_eq!(neighbour.status(person.access()).await, 204);
    }
    let [
        logout,
        ended,
        others,
        all,
        disabled,
        role,
        store,
        reuse,
        stays,
    ] = &people[..]
    else {
        panic!("nine people");
    };
    let stolen = text(&reuse.tokens, "refresh_token");
    let _used = app.refresh(stolen).await.expect(200);
    app.clock.advance(Duration::from_secs(11));

    let body = json!({"refresh_token": logout.tokens["refresh_token"]});
    app.client.post("/api/auth/logout", &body).await.expect(204);
    let sessions = ended
        .client(&app)
        .get("/api/auth/sessions")
        .await
        .expect(200);
    let path = format!("/api/auth/sessions/{}", text(&sessions["items"][0], "id"));
    ended.client(&app).delete(&path).await.expect(204);
    let second = app.signed_in("others@maru.local", PASSWORD).await;
    second.delete("/api/auth/sessions").await.expect(204);
    let path = format!("/api/users/{}/sessions", text(&all.account, "id"));
    owner.delete(&path).await.expect(204);
    for (person, change) in [
        (disabled, json!({"disabled": true})),
        (role, json!({"roles": ["kiosk"]})),
        (store, json!({"stores": []})),
    ] {
        app.patch(&owner, &person.account, change).await.expect(200);
    }
    app.refresh(stolen)
        .await
        .expect_problem(401, "refresh_token_reused");

    let revoked = [logout, ended, others, all, disabled, role, store, reuse];
    let waits = revoked
        .iter()
        .map(|person| neighbour.refuses(text(&person.account, "email"), person.access()));
    for (person, took) in revoked
        .iter()
        .zip(futures_util::future::join_all(waits).await)
    {
        assert!(took < LIMIT, "{}: {took:?}", person.account);
    }
    assert_eq!(neighbour.status(stays.access()).await, 204);
    // Rights changed, sessions did not end: new tokens are good.
    for person in [role, store] {
        let renewed = app
            .refresh(text(&person.tokens, "refresh_token"))
            .await
            .expect(200);
        assert_eq!(neighbour.status(text(&renewed, "access_token")).await, 204);
        let refused = person.client(&app).get("/api/auth/me").await;
        refused.expect_problem(401, "session_ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_at_one_replica_is_known_to_services_that_ask_another() {
    // An SQLite file belongs to one process.
    if Profile::current() == Profile::Embedded {
        return;
    }
    let app = TestApp::start().await;
    let replica = app.replica().await;
    let neighbour = Neighbour::of(&replica);
    let kim = Person::sign_in(&app, "kim").await;
    assert_eq!(neighbour.status(kim.access()).await, 204);
    kim.client(&app)
        .post(
            "/api/auth/logout",
            &json!({"refresh_token": kim.tokens["refresh_token"]}),
        )
        .await
        .expect(204);
    let took = neighbour
        .refuses("a session ended elsewhere", kim.access())
        .await;
    assert!(took < LIMIT, "{took:?}");
    assert_eq!(
        replica
            .client
            .with_token(kim.access())
            .get("/api/auth/me")
            .await
            .status,
        401
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_user_service_is_away_good_tokens_go_on_and_revoked_ones_stay_refused() {
    let app = TestApp::start().await;
    let neighbour = Neighbour::of(&app);
    let (kim, lee) = (
        Person::sign_in(&app, "kim").await,
        Person::sign_in(&app, "lee").await,
    );
    let body = json!({"refresh_token": kim.tokens["refresh_token"]});
    app.client.post("/api/auth/logout", &body).await.expect(204);
    neighbour
        .refuses("a session that was ended", kim.access())
        .await;
    let stopped = app.stop().await;
    for _ in 0..20 {
        assert_eq!(neighbour.status(lee.access()).await, 204);
        assert_eq!(neighbour.status(kim.access()).await, 401);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics = neighbour.client.get("/metrics").await.text;
    assert!(metrics.contains("auth_revocation_polls_total"), "{metrics}");
    drop(stopped);
}

#[tokio::test]
async fn the_list_tells_what_is_new_and_everything_to_those_who_ask_anew() {
    let app = TestApp::start().await;
    let service = service_client(&app, "order").await;
    let first = page(&service, "").await;
    assert!(first.revocations.is_empty());
    assert_eq!(first.keys.keys.len(), 1);
    for name in ["kim", "lee"] {
        let person = Person::sign_in(&app, name).await;
        let body = json!({"refresh_token": person.tokens["refresh_token"]});
        app.client.post("/api/auth/logout", &body).await.expect(204);
    }
    let all = testkit::wait_for("both sessions", || async {
        let all = page(&service, &first.cursor).await;
        (all.revocations.len() == 2).then_some(all)
    })
    .await;
    assert!(page(&service, &all.cursor).await.revocations.is_empty());
    for other in ["", "nonsense", "another-replica.1", "0.0"] {
        assert_eq!(page(&service, other).await.revocations.len(), 2, "{other}");
    }
    // A new process knows them from the database.
    let app = app.stop().await.start().await;
    let service = service_client(&app, "order").await;
    assert_eq!(page(&service, &all.cursor).await.revocations.len(), 2);
    // Once no token from before can live, nobody needs to know.
    app.clock.advance(Duration::from_secs(961));
    testkit::wait_until("the list is empty", || async {
        let service = service_client(&app, "order").await;
        page(&service, "").await.revocations.is_empty()
    })
    .await;
}
