//! How many connections the process may hold open: each is an open file, and the usual limit is
//! 1024.

/// Kept for the database, HTTP and the rest.
#[cfg(unix)]
const RESERVED: u64 = 256;

/// Asks the system for as many open files as `wanted` connections need; returns for how many
/// connections it is enough.
#[cfg(unix)]
pub(super) fn allow(wanted: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let needed = u64::try_from(wanted)
        .unwrap_or(u64::MAX)
        .saturating_add(RESERVED);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        // When it is not granted, the limit stays, and is read below.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let Some(current) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    let enough_for = current.saturating_sub(RESERVED).max(RESERVED / 4);
    let enough_for = usize::try_from(enough_for).unwrap_or(usize::MAX);
    if enough_for < wanted {
        tracing::warn!(
            mqtt.max_clients = wanted,
            connections = enough_for,
            "the limit of open files allows fewer devices"
        );
    }
    wanted.min(enough_for)
}

/// Only Unix limits them so.
#[cfg(not(unix))]
pub(super) fn allow(wanted: usize) -> usize {
    wanted
}
