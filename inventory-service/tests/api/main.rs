//! inventory-service as its neighbours see it: a real service on free ports with its own database.

#[cfg(test)]
mod access;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod events;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod stock;
