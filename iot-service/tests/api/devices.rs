//! Registering and listing devices.

use common::auth::Role;
use serde_json::json;
use testkit::database::Profile;

use crate::harness::Harness;

#[tokio::test]
async fn a_device_is_registered_once_and_listed_without_its_password() {
    let harness = Harness::start().await;
    let device = harness.device().await;
    let id = device["id"].as_str().unwrap();
    let again = json!({"id": id, "store_id": harness.store, "name": "Other", "kind": "hvac"});
    harness
        .owner
        .post("/api/iot/devices", &again)
        .await
        .expect_problem(409, "already_exists");
    let list = harness.owner.get("/api/iot/devices").await;
    assert!(
        !list
            .text
            .contains(device["mqtt"]["password"].as_str().unwrap())
    );
    assert_eq!(list.expect(200)["items"][0]["name"], "Fridge 1");
    let one = harness
        .owner
        .get(&format!("/api/iot/devices/{id}"))
        .await
        .expect(200);
    assert_eq!(one["kind"], "fridge");
    harness.stop().await;
}

#[tokio::test]
async fn a_device_of_another_store_does_not_exist() {
    let harness = Harness::start().await;
    let device = harness.device().await;
    let stranger = harness.owner.with_token(harness.identity.user_of(
        Role::StoreManager,
        common::ids::StoreId::from_uuid(uuid::Uuid::new_v4()),
    ));
    let path = format!("/api/iot/devices/{}", device["id"].as_str().unwrap());
    for tail in ["", "/readings", "/latest"] {
        stranger
            .get(&format!("{path}{tail}"))
            .await
            .expect_problem(404, "not_found");
    }
    stranger
        .post(&format!("{path}/credentials"), &json!({}))
        .await
        .expect_problem(404, "not_found");
    let own = harness.client_of(Role::Crew).get(&path).await;
    let _ = own.expect(200);
    harness.stop().await;
}

#[tokio::test]
async fn a_renewed_password_voids_the_old_one() {
    let harness = Harness::start().await;
    let device = harness.device().await;
    let path = format!(
        "/api/iot/devices/{}/credentials",
        device["id"].as_str().unwrap()
    );
    let renewed = harness.owner.post(&path, &json!({})).await.expect(200);
    assert_ne!(renewed["mqtt"]["password"], device["mqtt"]["password"]);
    assert!(harness.connect(&renewed).await.is_ok());
    // The outside broker of the tests takes anybody; who may connect there is its own business.
    if harness.profile == Profile::Embedded {
        assert!(harness.connect(&device).await.is_err());
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_renewed_password_ends_the_connections_of_the_old_one() {
    let harness = Harness::start().await;
    // Whether an outside broker does so is its own business.
    if harness.profile == Profile::Embedded {
        let (device, other) = (harness.device().await, harness.device().await);
        let mut own_name = harness.connect(&device).await.unwrap();
        let mut no_name = harness.connect_as("", &device).await.unwrap();
        let mut bystander = harness.connect(&other).await.unwrap();
        let reading = json!({"measured_at": "2026-03-01T09:00:00Z", "metrics": {"t": 1}});
        own_name.publish(&reading).await.unwrap();
        no_name.publish(&reading).await.unwrap();

        let id = device["id"].as_str().unwrap();
        let path = format!("/api/iot/devices/{id}/credentials");
        let renewed = harness.owner.post(&path, &json!({})).await.expect(200);

        let later = json!({"measured_at": "2026-03-01T09:01:00Z", "metrics": {"t": 2}});
        for mut connection in [own_name, no_name] {
            let _ = connection.ended().await;
            // It connects anew, with the old password.
            assert!(connection.publish(&later).await.is_err());
        }
        let stored = harness.readings(&device, "").await;
        assert_eq!(stored["items"].as_array().unwrap().len(), 1, "{stored}");
        // The new password does, and nobody else noticed.
        let mut device = harness.connect(&renewed).await.unwrap();
        device.publish(&later).await.unwrap();
        bystander.publish(&later).await.unwrap();
    }
    harness.stop().await;
}
