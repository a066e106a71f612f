//! Demo stock and devices, once a day however often it is asked for.

use std::collections::BTreeMap;

use crate::fake_gateway::FakeGateway;
use crate::program::run;

#[test]
fn a_system_without_a_store_gets_a_cafe_with_stock_and_devices() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let ended = run(&gateway, data.path(), &["demo", "--servings", "100"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("MQTT user ") && ended.out.contains(", password p"),
        "{}",
        ended.out
    );
    let (receipts, devices) = {
        let world = gateway.world();
        assert_eq!(
            (world.stores.len(), world.items.len(), world.products.len()),
            (1, 4, 6)
        );
        assert_eq!(
            (
                world.recipes.len(),
                world.receipts.len(),
                world.devices.len()
            ),
            (4, 6, 4)
        );
        let receipt = world.receipts.values().next().unwrap();
        let lines = receipt["lines"].as_array().unwrap();
        assert!(
            lines[0]["expires_on"].as_str() < lines[1]["expires_on"].as_str(),
            "{receipt}"
        );
        (world.receipts.clone(), world.devices.clone())
    };
    let again = run(&gateway, data.path(), &["demo", "--servings", "100"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("was registered before"), "{}", again.out);
    let world = gateway.world();
    // Unless midnight has passed in between, the same deliveries.
    let same_day: BTreeMap<_, _> = world
        .receipts
        .iter()
        .filter(|(key, _)| receipts.contains_key(*key))
        .collect();
    assert_eq!(same_day.len(), receipts.len());
    assert_eq!(world.devices, devices);
    assert_eq!(world.stores.len(), 1);
}
