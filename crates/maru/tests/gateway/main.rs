//! The commands that work through the gateway, run as they are by users: the real program against
//! a gateway that keeps a record, enforces the API's contract and fails on demand.

#[cfg(test)]
mod client;
#[cfg(test)]
mod demo;
#[cfg(test)]
#[cfg(unix)]
mod fake_broker;
#[cfg(test)]
mod fake_gateway;
#[cfg(test)]
mod import;
#[cfg(test)]
mod import_resume;
#[cfg(test)]
mod program;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod routing_file;
#[cfg(test)]
#[cfg(unix)]
mod simulate;
#[cfg(test)]
mod top;
