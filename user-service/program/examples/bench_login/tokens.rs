//! Tokens verified per second on one processor, seen before and new.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::auth::{Jwk, JwkSet, StaticKeys, TokenVerifier};
use common::clock::Clock;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use uuid::Uuid;

use crate::Row;

/// Tokens that are each verified once.
const NEW: usize = 30_000;
/// Tokens in use at the same time, as of a busy chain.
const IN_USE: usize = 1_000;
const LOOKUPS: usize = 5_000_000;

const GOAL_NEW: f64 = 15_000.0;
const GOAL_KNOWN: f64 = 1_000_000.0;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let unspecified = |_| anyhow::anyhow!("no key could be made");
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(unspecified)?;
    let rejected = |reason| anyhow::anyhow!("the key is rejected: {reason}");
    let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).map_err(rejected)?;
    let published = JwkSet {
        keys: vec![Jwk::ed25519("bench", key.public_key().as_ref())],
    };
    let verifier = TokenVerifier::new(StaticKeys::new(published), Clock::system());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let tokens: Vec<String> = (0..NEW).map(|_| token(&key)).collect();

    let started = Instant::now();
    runtime.block_on(async {
        for token in &tokens {
            verifier.verify(token).await?;
        }
        anyhow::Ok(())
    })?;
    let new_per_second = rate(NEW, started);

    let in_use = tokens.get(..IN_USE).unwrap_or_default();
    runtime.block_on(async {
        for token in in_use {
            verifier.verify(token).await?;
        }
        anyhow::Ok(())
    })?;
    let started = Instant::now();
    runtime.block_on(async {
        for token in in_use.iter().cycle().take(LOOKUPS) {
            std::hint::black_box(verifier.verify(token).await?);
        }
        anyhow::Ok(())
    })?;
    let known_per_second = rate(LOOKUPS, started);
    Ok(vec![
        Row::new(
            "tokens verified per second and processor, seen before",
            format!(">= {GOAL_KNOWN:.0}"),
            format!("{known_per_second:.0}"),
            known_per_second >= GOAL_KNOWN,
        ),
        Row::new(
            "tokens verified per second and processor, new",
            format!(">= {GOAL_NEW:.0}"),
            format!("{new_per_second:.0}"),
            new_per_second >= GOAL_NEW,
        ),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(count: usize, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64()
}

/// A manager's token as user-service writes it.
fn token(key: &Ed25519KeyPair) -> String {
    let now = Clock::system().now().as_unix_seconds();
    let header = json!({"typ": "JWT", "alg": "EdDSA", "kid": "bench"});
    let claims = json!({
        "iss": "maru", "aud": "maru", "sub": Uuid::new_v4(), "sid": Uuid::new_v4(),
        "exp": now + 600, "nbf": now, "iat": now, "jti": Uuid::new_v4(), "typ": "access",
        "roles": ["store_manager"], "stores": [Uuid::new_v4()],
    });
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    let input = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims.to_string())
    );
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}
