//! Topics: `maru/{store}/{device}/telemetry` up, `maru/{store}/{device}/commands/...` down.

use common::ids::{DeviceId, StoreId};

/// What iot-service subscribes to at an outside broker.
pub(crate) const ALL_TELEMETRY: &str = "maru/+/+/telemetry";

/// A device in its store: what a device's topics begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) store: StoreId,
    pub(crate) device: DeviceId,
}

impl Place {
    /// Where the device publishes its readings.
    pub(crate) fn telemetry(self) -> String {
        format!("maru/{}/{}/telemetry", self.store, self.device)
    }

    /// Whether the device may subscribe to this filter: only to its own commands, without
    /// wildcards before them.
    pub(crate) fn may_subscribe(self, filter: &str) -> bool {
        let own = format!("maru/{}/{}/commands", self.store, self.device);
        filter == own
            || filter
                .strip_prefix(&own)
                .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The device that a telemetry topic names. Ids have one spelling here: a topic that spells
    /// one otherwise names nobody.
    pub(crate) fn of_telemetry(topic: &str) -> Option<Self> {
        let mut parts = topic.split('/');
        let (root, store, device) = (parts.next()?, parts.next()?, parts.next()?);
        let place = Self {
            store: store.parse().ok()?,
            device: device.parse().ok()?,
        };
        (root == "maru" && place.telemetry() == topic).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            store: StoreId::from_uuid(uuid::Uuid::from_u128(1)),
            device: DeviceId::from_uuid(uuid::Uuid::from_u128(2)),
        }
    }

    #[test]
    fn a_telemetry_topic_reads_back() {
        let place = place();
        assert_eq!(Place::of_telemetry(&place.telemetry()), Some(place));
        for topic in ["maru/1/2/telemetry", "maru", "", "other/x/y/telemetry"] {
            assert_eq!(Place::of_telemetry(topic), None, "{topic}");
        }
        let upper = place.telemetry().replace("0001", "000A").to_uppercase();
        assert_eq!(Place::of_telemetry(&upper), None);
        assert_eq!(
            Place::of_telemetry(&format!("{}/more", place.telemetry())),
            None
        );
    }

    #[test]
    fn a_device_hears_its_own_commands_only() {
        let place = place();
        let own = format!("maru/{}/{}/commands", place.store, place.device);
        assert!(place.may_subscribe(&own));
        assert!(place.may_subscribe(&format!("{own}/#")));
        for filter in ["#", "maru/#", "maru/+/+/commands", &format!("{own}x")] {
            assert!(!place.may_subscribe(filter), "{filter}");
        }
    }
}
