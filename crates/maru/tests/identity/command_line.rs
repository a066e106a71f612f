use common::clock::Clock;
use data_encoding::BASE32_NOPAD;
use maru::client::{ClientError, Gateway, GatewayArgs};
use ring::hmac;
use serde_json::json;

use crate::world::{OWNER, PASSWORD, World};

/// A command's login, with this code.
async fn log_in(world: &World, code: Option<&str>) -> Result<(), ClientError> {
    let args = GatewayArgs {
        gateway: world.issuer.clone(),
        email: OWNER.to_owned(),
        password: Some(PASSWORD.into()),
        code: code.map(Into::into),
    };
    Gateway::new(&args).unwrap().log_in().await
}

/// The code of a generator now (RFC 6238).
fn code_of(secret: &str) -> String {
    let key = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let step = Clock::system().now().as_unix_seconds() / 30;
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes[19] & 15);
    let number = u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_show_a_code_where_the_account_has_a_generator() {
    let world = World::start().await;
    let owner = world.owner().await;
    let body = json!({"password": PASSWORD});
    let made = owner.post("/api/auth/mfa/totp", &body).await.expect(200);
    let code = code_of(made["secret"].as_str().unwrap());
    let body = json!({"code": code});
    let confirmed = owner.post("/api/auth/mfa/totp/confirm", &body).await;
    let confirmed = confirmed.expect(200);
    let recovery = confirmed["recovery_codes"][0].as_str().unwrap();

    let error = log_in(&world, None).await.unwrap_err();
    assert!(matches!(error, ClientError::CodeMissing { .. }), "{error}");
    // The generator's own code was used up by the confirmation.
    let error = log_in(&world, Some(&code)).await.unwrap_err();
    assert!(matches!(error, ClientError::LoginRefused { .. }), "{error}");
    log_in(&world, Some(recovery)).await.unwrap();
    let error = log_in(&world, Some(recovery)).await.unwrap_err();
    assert!(matches!(error, ClientError::LoginRefused { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_that_a_second_factor_is_missing() {
    let required = [("USER__MFA__REQUIRE_FOR_MANAGERS", "always")];
    let world = World::start_with(&required).await;
    let error = log_in(&world, None).await.unwrap_err();
    assert!(
        matches!(error, ClientError::FactorMissing { .. }),
        "{error}"
    );
}
