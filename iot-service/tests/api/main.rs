//! iot-service as people and devices see it: a real service with its own database and broker.

mod devices;
mod harness;
mod hostile;
mod telemetry;
