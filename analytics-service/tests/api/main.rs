//! analytics-service as its neighbours see it: a real service on a free port with its own database.

#[cfg(test)]
mod access;
#[cfg(test)]
mod events;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod reports;
