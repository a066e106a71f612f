//! What an account, a password and a session are, and the rules that hold between them: pure
//! values, without HTTP, SQL or a clock.

pub(crate) mod account;
pub(crate) mod authority;
pub(crate) mod device_label;
pub(crate) mod email;
pub(crate) mod password;
pub(crate) mod progression;
pub(crate) mod session;
