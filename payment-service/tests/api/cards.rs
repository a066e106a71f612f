//! No card number gets in, wherever it is put.

use contracts::payment_v1::AuthorizeRequest;
use serde_json::json;
use tonic::Code;

use crate::harness::{Harness, usd};

/// A test number that every payment provider publishes.
const CARD: &str = "4242424242424242";

#[tokio::test]
async fn a_card_number_is_refused_and_not_repeated() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    let good = commands.authorization(harness.new_order(), "tok_ok");
    for request in [
        AuthorizeRequest {
            token: CARD.to_owned(),
            ..good.clone()
        },
        AuthorizeRequest {
            token: format!("tok_{CARD}"),
            ..good.clone()
        },
        AuthorizeRequest {
            token: "4242 4242 4242 4242".to_owned(),
            ..good.clone()
        },
        AuthorizeRequest {
            command_id: CARD.to_owned(),
            ..good
        },
    ] {
        let status = commands.try_authorize(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(!status.message().contains("4242"), "{}", status.message());
    }

    let (_, id) = harness.captured("tok_ok").await;
    let path = format!("/api/payments/{id}/refunds");
    let body = json!({"amount": usd(1), "reason": format!("card {CARD} was stolen")});
    let reply = harness.owner.post_with_key(&path, "k", &body).await;
    assert!(!reply.text.contains("4242"), "{reply}");
    assert_eq!(reply.expect_invalid(), ["reason"]);
    let body = json!({"amount": usd(1), "reason": "stolen"});
    let reply = harness.owner.post_with_key(&path, CARD, &body).await;
    assert_eq!(reply.expect_invalid(), ["Idempotency-Key"]);
    assert_eq!(harness.effects("refund").await, 0);
    harness.finish().await;
}
