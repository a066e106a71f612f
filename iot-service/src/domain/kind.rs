//! Kinds of devices.

use serde::{Deserialize, Serialize};

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceKind {
    /// A refrigerator.
    Fridge,
    /// A freezer.
    Freezer,
    /// Heating, ventilation, air conditioning.
    Hvac,
    /// A meter of electric energy.
    EnergyMeter,
}

impl DeviceKind {
    /// The text in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Fridge => "fridge",
            Self::Freezer => "freezer",
            Self::Hvac => "hvac",
            Self::EnergyMeter => "energy_meter",
        }
    }
}
