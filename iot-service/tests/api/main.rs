//! iot-service as people and devices see it: a real service with its own database and broker.

#[cfg(test)]
mod access;
#[cfg(test)]
mod broker;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod telemetry;
