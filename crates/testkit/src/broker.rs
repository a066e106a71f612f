//! A corner of the broker for one test, on the infrastructure profile.

use crate::database::{Profile, required_address};

/// The value of `AMQP_URL` for the services of one test: empty on the embedded profile, else
/// `TEST_AMQP_URL` with names that nobody else uses. The queues vanish by themselves some minutes
/// after the test.
///
/// # Panics
/// When the profile is infrastructure and `TEST_AMQP_URL` is unset.
#[must_use]
pub fn amqp_url() -> String {
    match Profile::current() {
        Profile::Embedded => String::new(),
        Profile::Infrastructure => {
            let server = required_address("TEST_AMQP_URL");
            let separator = if server.contains('?') { '&' } else { '?' };
            let name = uuid::Uuid::new_v4().simple();
            format!("{server}{separator}temporary_namespace=test_{name}")
        }
    }
}
