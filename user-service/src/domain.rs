//! What an account, a password and a session are, and the rules that hold between them: pure
//! values, without HTTP, SQL or a clock.

pub(crate) mod account;
pub(crate) mod api_key;
pub(crate) mod authority;
pub(crate) mod device;
pub(crate) mod device_label;
pub(crate) mod email;
pub(crate) mod invitation;
pub(crate) mod link;
pub(crate) mod locale;
pub(crate) mod password;
pub(crate) mod pin;
pub(crate) mod progression;
pub(crate) mod recovery_code;
pub(crate) mod session;
pub(crate) mod totp;
