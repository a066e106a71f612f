//! Invariant 8 on the running system: nobody gets in with no token, a damaged one, or one that
//! somebody else signed; neither at the gateway nor at a service's own port.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::services::ServiceName;
use reqwest::{Client, Method, StatusCode};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::client::{RetryPolicy, http_client};
use crate::up::layout::Layout;

/// What nobody may read without a token, by service.
const GUARDED: [(ServiceName, &str); 6] = [
    (ServiceName::User, "/api/users"),
    (ServiceName::Inventory, "/api/inventory/products"),
    (ServiceName::Order, "/api/orders"),
    (ServiceName::Payment, "/api/payments"),
    (
        ServiceName::Analytics,
        "/api/analytics/sales/summary?from=2015-01-01&to=2015-12-31",
    ),
    (ServiceName::Iot, "/api/iot/devices"),
];
/// What only services may call, on every service that receives events.
const INTERNAL_PATH: &str = "/internal/events";
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The published keys of user-service.
#[derive(Debug, Default, Deserialize)]
struct PublishedKeys {
    keys: Vec<PublishedKey>,
}

#[derive(Clone, Debug, Deserialize)]
struct PublishedKey {
    kid: String,
    /// The public key, base64url.
    x: String,
}

/// A credential that must be refused, and what is wrong with it.
struct BadToken {
    flaw: &'static str,
    token: Option<String>,
}

/// Tries every door with every bad token. `good` is a valid token of the owner, if there is one.
///
/// # Errors
/// When a service cannot be reached at all.
pub(super) async fn check(
    layout: &Layout,
    good: Option<&SecretString>,
    now_s: i64,
) -> Result<Verdict> {
    let good = good.map(ExposeSecret::expose_secret);
    let mut verdict = Verdict::new(8, "No request succeeds that should not");
    let base = reqwest::Url::parse(&layout.http_url(ServiceName::Gateway))?;
    let http = http_client(&base, &RetryPolicy::default())?;
    let published = published_keys(&http, layout).await?;
    let tokens = bad_tokens(published.keys.first(), good, now_s)?;
    let gateway = layout.http_url(ServiceName::Gateway);
    let mut probes = 0;
    for token in &tokens {
        for (service, path) in GUARDED {
            for base in [layout.http_url(service), gateway.clone()] {
                let url = format!("{base}{path}");
                probes += 1;
                expect_refusal(&http, &mut verdict, (Method::GET, &url), token).await?;
            }
        }
        for (service, _) in GUARDED {
            let url = format!("{}{INTERNAL_PATH}", layout.http_url(service));
            probes += 1;
            expect_refusal(&http, &mut verdict, (Method::POST, &url), token).await?;
        }
    }
    probes += internal_doors(&http, &mut verdict, layout, good).await?;
    verdict.figure("requests", probes);
    verdict.count("kinds of bad tokens", &tokens);
    if good.is_none() {
        verdict.note("without the owner's password no token of the system's own was damaged");
    }
    Ok(verdict)
}

/// The gateway routes no internal path, and a person's token opens none.
async fn internal_doors(
    http: &Client,
    verdict: &mut Verdict,
    layout: &Layout,
    good: Option<&str>,
) -> Result<i64> {
    let mut probes = 0;
    let gateway = layout.http_url(ServiceName::Gateway);
    for path in [INTERNAL_PATH, "/internal/tokens", "/internal/rebuild-check"] {
        let status = ask(http, Method::POST, &format!("{gateway}{path}"), good).await?;
        probes += 1;
        if status != StatusCode::NOT_FOUND && status != StatusCode::UNAUTHORIZED {
            verdict.fault(format!("the gateway answers {status} to {path}"));
        }
    }
    let Some(good) = good else { return Ok(probes) };
    for (service, _) in GUARDED {
        let url = format!("{}{INTERNAL_PATH}", layout.http_url(service));
        let status = ask(http, Method::POST, &url, Some(good)).await?;
        probes += 1;
        let refused = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
        ];
        if !refused.contains(&status) {
            verdict.fault(format!("{url} answers {status} to a person's token"));
        }
    }
    Ok(probes)
}

async fn expect_refusal(
    http: &Client,
    verdict: &mut Verdict,
    (method, url): (Method, &str),
    token: &BadToken,
) -> Result<()> {
    let status = ask(http, method.clone(), url, token.token.as_deref()).await?;
    // A service that receives no events has no such path.
    let absent = url.ends_with(INTERNAL_PATH) && status == StatusCode::NOT_FOUND;
    if status != StatusCode::UNAUTHORIZED && !absent {
        let flaw = token.flaw;
        verdict.fault(format!("{method} {url} answers {status} to {flaw}"));
    }
    Ok(())
}

async fn ask(http: &Client, method: Method, url: &str, token: Option<&str>) -> Result<StatusCode> {
    let mut request = http.request(method.clone(), url).timeout(ANSWER_TIMEOUT);
    if method == Method::POST {
        request = request.json(&json!({"events": []}));
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await;
    let answer = answer.with_context(|| format!("{method} {url} has no answer"))?;
    Ok(answer.status())
}

async fn published_keys(http: &Client, layout: &Layout) -> Result<PublishedKeys> {
    let url = format!(
        "{}/.well-known/jwks.json",
        layout.http_url(ServiceName::User)
    );
    let answer = http.get(&url).timeout(ANSWER_TIMEOUT).send().await;
    let answer = answer.with_context(|| format!("{url} has no answer"))?;
    let text = answer.text().await.context("reading the published keys")?;
    serde_json::from_str(&text).with_context(|| format!("{url} publishes no keys"))
}

fn bad_tokens(
    published: Option<&PublishedKey>,
    good: Option<&str>,
    now_s: i64,
) -> Result<Vec<BadToken>> {
    let kid = published.map_or("unknown", |key| key.kid.as_str());
    let claims = owner_claims(now_s, 600);
    let own = own_key()?;
    let sign = |message: &[u8]| own.sign(message).as_ref().to_vec();
    let mut tokens = vec![
        bad("no token", None),
        bad("a token that is none", Some("not.a.token".to_owned())),
        bad(
            "an unsigned token (alg none)",
            Some(token(
                &json!({"alg": "none", "typ": "JWT"}),
                &claims,
                |_| Vec::new(),
            )),
        ),
        bad(
            "another's signature under the right key id",
            Some(token(&json!({"alg": "EdDSA", "kid": kid}), &claims, sign)),
        ),
        bad(
            "another's signature under an unknown key id",
            Some(token(
                &json!({"alg": "EdDSA", "kid": "forged"}),
                &claims,
                sign,
            )),
        ),
        bad(
            "another's signature with the key in the header",
            Some(token(&header_with_key(kid, &own), &claims, sign)),
        ),
        bad(
            "an expired token of another's",
            Some(token(
                &json!({"alg": "EdDSA", "kid": kid}),
                &owner_claims(now_s, -600),
                sign,
            )),
        ),
    ];
    if let Some(key) = published {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.x.as_bytes());
        let header = json!({"alg": "HS256", "kid": kid});
        let forged = token(&header, &claims, |message| {
            hmac::sign(&secret, message).as_ref().to_vec()
        });
        tokens.push(bad("HS256 keyed with the public key", Some(forged)));
    }
    if let Some(good) = good {
        tokens.extend(damaged(good, &claims));
    }
    Ok(tokens)
}

/// Tokens made from one of the system's own.
fn damaged(good: &str, claims: &Value) -> Vec<BadToken> {
    let mut parts = good.split('.');
    let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let other = encode(claims);
    vec![
        bad(
            "the system's own signature on other claims",
            Some(format!("{header}.{other}.{signature}")),
        ),
        bad(
            "the system's own token without its signature",
            Some(format!("{header}.{payload}.")),
        ),
    ]
}

fn bad(flaw: &'static str, token: Option<String>) -> BadToken {
    BadToken { flaw, token }
}

fn own_key() -> Result<Ed25519KeyPair> {
    let unspecified = |_| anyhow::anyhow!("no key could be generated");
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(unspecified)?;
    Ed25519KeyPair::from_pkcs8(document.as_ref())
        .map_err(|error| anyhow::anyhow!("the generated key was refused: {error}"))
}

fn header_with_key(kid: &str, own: &Ed25519KeyPair) -> Value {
    let x = URL_SAFE_NO_PAD.encode(own.public_key().as_ref());
    json!({"alg": "EdDSA", "kid": kid, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}})
}

fn owner_claims(now_s: i64, lifetime_s: i64) -> Value {
    json!({
        "iss": common::auth::ISSUER, "aud": common::auth::AUDIENCE, "typ": "access",
        "sub": "00000000-0000-7000-8000-000000000001", "sid": "00000000-0000-7000-8000-000000000002",
        "jti": "forged", "iat": now_s - 900, "nbf": now_s - 900, "exp": now_s + lifetime_s,
        "roles": ["owner"], "stores": "*",
    })
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
