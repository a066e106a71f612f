//! Settings: environment variables over a commented default file that is compiled in and *is* the
//! default. Unknown keys fail, and all faults are reported at once.

mod common_settings;
mod entries;
mod load;

pub use common_settings::{
    AuthSettings, CommonSettings, DatabaseSettings, DiscoverySettings, EventsSettings, Neighbours,
    Profile, RedisSettings, ServerSettings, TelemetrySettings,
};
pub use entries::{Entry, render_table};
pub use load::{Loaded, SettingsError, load};
