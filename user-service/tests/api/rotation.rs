use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::{ApiClient, wait_for, wait_until};

use crate::audit::entries;
use crate::harness::{OWNER, OWNER_PASSWORD, TestApp, text};
use crate::neighbour::Neighbour;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The id of the key that signed a token.
fn kid_of(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    text(&header, "kid").to_owned()
}

async fn published(app: &TestApp) -> Vec<String> {
    let set = app.client.get("/.well-known/jwks.json").await.expect(200);
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| text(key, "kid").to_owned()).collect()
}

async fn access_token(app: &TestApp) -> String {
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    text(&tokens, "access_token").to_owned()
}

async fn rotate(owner: &ApiClient, retire: &str) -> String {
    let body = json!({"retire": retire});
    let made = owner
        .post("/api/users/keys/rotate", &body)
        .await
        .expect(200);
    text(&made, "kid").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_under_load_and_no_request_fails() {
    let app = Arc::new(TestApp::start().await);
    let neighbour = Arc::new(Neighbour::of(&app));
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (app, neighbour) = (Arc::clone(&app), Arc::clone(&neighbour));
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..5 {
                        let token = text(&tokens, "access_token");
                        assert_eq!(neighbour.status(token).await, 204);
                        let me = app.client.with_token(token).get("/api/auth/me").await;
                        let _me = me.expect(200);
                        served.fetch_add(2, Ordering::Relaxed);
                    }
                    let refresh = text(&tokens, "refresh_token").to_owned();
                    tokens = app.refresh(&refresh).await.expect(200);
                }
            })
        })
        .collect();
    let owner = app.owner().await;
    for _ in 0..5 {
        let kid = rotate(&owner, "when_expired").await;
        assert_ne!(
            kid_of(&access_token(&app).await),
            kid,
            "published before it signs"
        );
        assert!(published(&app).await.contains(&kid));
        app.clock.advance(Duration::from_secs(10));
        assert_eq!(kid_of(&access_token(&app).await), kid);
        let before = served.load(Ordering::Relaxed);
        wait_until("more requests under the new key", || async {
            served.load(Ordering::Relaxed) > before + 20
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(published(&app).await.len(), 6);
    assert_eq!(entries(&app, "signing_key.rotated").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_key_is_refused_everywhere_within_seconds_and_services_go_on() {
    let app = TestApp::start().await;
    let neighbour = Neighbour::of(&app);
    let old = access_token(&app).await;
    assert_eq!(neighbour.status(&old).await, 204);
    let owner = app.owner().await;
    let kid = rotate(&owner, "now").await;
    assert_eq!(published(&app).await, std::slice::from_ref(&kid));
    let refused = owner.get("/api/auth/me").await;
    refused.expect_problem(401, "token_invalid");
    let took = neighbour.refuses("a token of a withdrawn key", &old).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    let new = access_token(&app).await;
    assert_eq!(kid_of(&new), kid);
    assert_eq!(neighbour.status(&new).await, 204);
    // The neighbour's own token was signed with the key that is gone; it fetched another, or it would
    // not learn of this.
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    let body = json!({"refresh_token": tokens["refresh_token"]});
    app.client.post("/api/auth/logout", &body).await.expect(204);
    neighbour
        .refuses(
            "a session ended after the rotation",
            text(&tokens, "access_token"),
        )
        .await;
    // Nothing can be signed with it any more, either.
    let mut tx = app.db().await.read().await.unwrap();
    let sql = "SELECT count(*) FROM signing_keys WHERE published_until IS NULL";
    let (in_force,) = store::fetch_one!(tx, (i64,), sql).unwrap();
    assert_eq!(in_force, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_follow_each_other_by_the_schedule() {
    let app = TestApp::start_with(&[
        ("USER__KEYS__ROTATE_DAYS", "1"),
        ("USER__KEYS__PUBLISH_AHEAD_MINUTES", "60"),
    ])
    .await;
    let first = kid_of(&access_token(&app).await);
    app.clock.advance(DAY - Duration::from_secs(3_600));
    let app = app.stop().await.start().await;
    let second = wait_for("the next key", || async {
        published(&app).await.into_iter().find(|kid| *kid != first)
    })
    .await;
    assert_eq!(kid_of(&access_token(&app).await), first);
    app.clock.advance(Duration::from_secs(3_600));
    assert_eq!(kid_of(&access_token(&app).await), second);
    assert_eq!(published(&app).await.len(), 2);
    // The last token of the first key has expired; its private half is destroyed.
    app.clock.advance(Duration::from_secs(1_000));
    let app = app.stop().await.start().await;
    wait_until("the first key is gone", || async {
        let mut tx = app.db().await.read().await.unwrap();
        let sql = "SELECT count(*) FROM signing_keys WHERE sealed_private_key = ''";
        let (destroyed,) = store::fetch_one!(tx, (i64,), sql).unwrap();
        destroyed == 1
    })
    .await;
    assert_eq!(published(&app).await, [second]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_replicas_that_rotate_at_once_each_makes_a_key_of_its_own_or_none() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let body = json!({});
    let rotations = (0..4).map(|_| owner.post("/api/users/keys/rotate", &body));
    let mut made = 0;
    for reply in futures_util::future::join_all(rotations).await {
        match reply.status {
            200 => made += 1,
            409 => _ = reply.expect_problem(409, "rotated_meanwhile"),
            _ => panic!("{reply}"),
        }
    }
    assert!(made >= 1);
    assert_eq!(published(&app).await.len(), made + 1);
}
