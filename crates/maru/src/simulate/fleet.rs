//! Which devices there are, and their registration. Playing the same devices again finds them
//! registered and only renews their passwords, which are shown once.

use common::ids::{DeviceId, StoreId};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::appliance::Kind;
use crate::client::{ClientError, Gateway};
use crate::demo::stock::Store;
use crate::progress::Progress;

/// Registrations under way at a time.
const IN_FLIGHT: usize = 8;
/// What a store gets, in this order, again and again.
const KINDS: [Kind; 5] = [
    Kind::Fridge,
    Kind::Freezer,
    Kind::Hvac,
    Kind::EnergyMeter,
    Kind::Fridge,
];

/// A device to be registered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    pub(super) id: DeviceId,
    store_id: StoreId,
    name: String,
    pub(super) kind: Kind,
    /// Seconds east of Greenwich, without summer time: meters and people's habits in one go.
    pub(super) offset_s: i32,
}

/// A device that may connect.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) planned: Planned,
    pub(super) mqtt: Credentials,
}

/// How a device connects and where it publishes.
#[derive(Debug, Deserialize)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: SecretString,
    pub(super) topic: String,
}

#[derive(Serialize)]
struct DeviceIn<'a> {
    id: DeviceId,
    store_id: StoreId,
    name: &'a str,
    kind: Kind,
}

#[derive(Deserialize)]
struct RegisteredOut {
    mqtt: Credentials,
}

/// Deals `count` devices out to the stores in turn. A device's id is a UUIDv5 of its store and its
/// number in it.
pub(super) fn plan(stores: &[Store], count: u32) -> Vec<Planned> {
    let numbers = 1_u32..;
    let endless = numbers.flat_map(|number| stores.iter().map(move |store| (store, number)));
    let planned = endless.map(|(store, number)| {
        let name = format!("simulated-device:{number}");
        let index = usize::try_from(number - 1).unwrap_or(0) % KINDS.len();
        let kind = KINDS.get(index).copied().unwrap_or(Kind::Fridge);
        Planned {
            id: DeviceId::from_uuid(Uuid::new_v5(&store.id.as_uuid(), name.as_bytes())),
            store_id: store.id,
            name: format!("Simulated {} {number}", kind.words()),
            kind,
            offset_s: standard_offset_s(&store.time_zone),
        }
    });
    planned
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .collect()
}

/// The smaller of the offsets in January and July, whichever hemisphere it is.
fn standard_offset_s(time_zone: &str) -> i32 {
    let Ok(zone) = TimeZone::get(time_zone) else {
        return 0;
    };
    let offsets = [(2024, 1), (2024, 7)].map(|(year, month)| {
        let noon = jiff::civil::date(year, month, 1).at(12, 0, 0, 0);
        let instant = noon.to_zoned(TimeZone::UTC).map(|noon| noon.timestamp());
        instant.map_or(0, |instant| zone.to_offset(instant).seconds())
    });
    offsets.into_iter().min().unwrap_or(0)
}

/// Registers the devices, or renews the passwords of those that are registered.
///
/// # Errors
/// What the gateway answers. Trying again goes on where it stopped.
pub(super) async fn register(
    gateway: &Gateway,
    planned: Vec<Planned>,
) -> Result<Vec<Registered>, ClientError> {
    let progress = Progress::new("devices registered", planned.len() as u64);
    let calls = planned
        .into_iter()
        .map(|planned| register_one(gateway, planned));
    let registered = stream::iter(calls)
        .buffered(IN_FLIGHT)
        .inspect_ok(|_| progress.advance(1))
        .try_collect()
        .await;
    progress.finish();
    registered
}

async fn register_one(gateway: &Gateway, planned: Planned) -> Result<Registered, ClientError> {
    let body = DeviceIn {
        id: planned.id,
        store_id: planned.store_id,
        name: &planned.name,
        kind: planned.kind,
    };
    // Repeatable: if the first attempt took effect, the second finds the device registered.
    let call = gateway.post("/api/iot/devices").repeatable().json(&body);
    let answer = match call.send::<RegisteredOut>().await {
        Ok(answer) => answer,
        Err(error) if is_registered(&error) => {
            let path = format!("/api/iot/devices/{}/credentials", planned.id);
            gateway.post(path).repeatable().send().await?
        }
        Err(error) => return Err(error),
    };
    Ok(Registered {
        planned,
        mqtt: answer.body.mqtt,
    })
}

fn is_registered(error: &ClientError) -> bool {
    let problem = error.problem();
    problem.is_some_and(|problem| problem.status == 409 && problem.code == "already_exists")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn store(number: u128) -> Store {
        Store {
            id: StoreId::from_uuid(Uuid::from_u128(number)),
            name: format!("Store {number}"),
            time_zone: "Asia/Seoul".to_owned(),
        }
    }

    #[test]
    fn devices_are_dealt_out_to_the_stores_in_turn() {
        let stores = [store(1), store(2), store(3)];
        let planned = plan(&stores, 50);
        assert_eq!(planned.len(), 50);
        for (store, expected) in stores.iter().zip([17, 17, 16]) {
            let here = planned.iter().filter(|device| device.store_id == store.id);
            assert_eq!(here.count(), expected);
        }
        let ids: BTreeSet<_> = planned.iter().map(|device| device.id.as_uuid()).collect();
        assert_eq!(ids.len(), 50);
        let kinds: BTreeSet<_> = planned.iter().map(|device| device.kind.words()).collect();
        assert_eq!(kinds.len(), 4);
    }

    #[test]
    fn the_same_place_is_the_same_device_however_many_there_are() {
        assert_eq!(plan(&[store(1)], 7), plan(&[store(1)], 20)[..7]);
        assert_ne!(plan(&[store(1)], 1)[0].id, plan(&[store(2)], 1)[0].id);
    }

    #[test]
    fn summer_time_does_not_count() {
        for (zone, hours) in [
            ("Asia/Seoul", 9),
            ("Europe/Berlin", 1),
            ("Australia/Sydney", 10),
            ("America/New_York", -5),
            ("Nowhere/Land", 0),
        ] {
            assert_eq!(standard_offset_s(zone), hours * 3_600, "{zone}");
        }
    }
}
