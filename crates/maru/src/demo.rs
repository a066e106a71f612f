//! `maru demo`: stock and devices to try the system with.
//!
//! Every store gets a delivery of every stock product and one device of each kind; without any
//! store a small café is opened first. Running it again the same day changes nothing: ids are
//! derived and each delivery has its idempotency key.

pub(crate) mod cafe;
pub(crate) mod stock;

use std::process::ExitCode;

use common::clock::Clock;
use common::ids::{DeviceId, StoreId};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::{ClientError, Gateway, GatewayArgs};
use crate::output::say;
use stock::{Delivery, Store};

/// What `maru demo` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Stock for about this many dishes, of every product in every store
    #[arg(long, default_value_t = 2_000, value_parser = servings)]
    pub servings: u32,
    /// Where and as whom
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

fn servings(text: &str) -> Result<u32, String> {
    let servings = text
        .parse()
        .ok()
        .filter(|servings| (1..=1_000_000).contains(servings));
    servings.ok_or_else(|| "a whole number from 1 to 1000000".to_owned())
}

/// Seeds stock and devices.
///
/// # Errors
/// When the gateway refuses or does not answer. Running it again goes on.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let gateway = Gateway::new(&args.gateway)?;
    let clock = Clock::system();
    gateway.log_in().await?;
    let mut stores: Vec<Store> = gateway.pages("/api/stores").all().await?;
    if stores.is_empty() {
        stores.push(Box::pin(cafe::open(&gateway)).await?);
        say("There was no store: opened the Maru Demo Café with a small menu.");
    }
    let delivery = Delivery {
        label: "demo",
        servings: args.servings,
        clock: &clock,
    };
    let products = Box::pin(stock::deliver(&gateway, &stores, &delivery)).await?;
    let count = stores.len();
    let servings = args.servings;
    say(format_args!(
        "Delivered {products} products to {count} stores, each enough for about {servings} dishes."
    ));
    for store in &stores {
        seed_devices(&gateway, store).await?;
    }
    gateway.log_out().await;
    say("Try next:");
    say("  maru replay orders --rate 20 --count 200   live orders out of the imported ones");
    say("  maru simulate devices --count 50           readings over MQTT");
    say(format_args!("  {}/docs   every endpoint", gateway.base()));
    Ok(ExitCode::SUCCESS)
}

/// The devices of every store.
const DEVICES: [(&str, &str); 4] = [
    ("fridge", "Walk-in fridge"),
    ("freezer", "Freezer"),
    ("hvac", "Air conditioning"),
    ("energy_meter", "Main meter"),
];

#[derive(Serialize)]
struct DeviceIn<'a> {
    id: DeviceId,
    store_id: StoreId,
    name: &'a str,
    kind: &'a str,
}

#[derive(Deserialize)]
struct DeviceOut {
    #[serde(default)]
    mqtt: Option<Credentials>,
}

/// How a device logs in to the broker. The password is shown once, when the device is registered.
#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

async fn seed_devices(gateway: &Gateway, store: &Store) -> Result<(), ClientError> {
    for (kind, name) in DEVICES {
        let id = Uuid::new_v5(
            &store.id.as_uuid(),
            format!("demo-device:{kind}").as_bytes(),
        );
        let body = DeviceIn {
            id: DeviceId::from_uuid(id),
            store_id: store.id,
            name,
            kind,
        };
        let call = gateway.post("/api/iot/devices").repeatable().json(&body);
        match call.send::<DeviceOut>().await {
            Ok(answer) => match answer.body.mqtt {
                Some(Credentials { username, password }) => say(format_args!(
                    "{}: registered {name} ({kind}); MQTT user {username}, password {password}",
                    store.name
                )),
                None => say(format_args!(
                    "{}: {name} ({kind}) is registered",
                    store.name
                )),
            },
            Err(ClientError::Refused { problem, .. })
                if problem.status == StatusCode::CONFLICT.as_u16() =>
            {
                say(format_args!(
                    "{}: {name} ({kind}) was registered before",
                    store.name
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
