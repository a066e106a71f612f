//! One device: measures at its pace, publishes with QoS 1, and connects again whenever it has to.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::shutdown::Shutdown;
use common::time::Timestamp;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing,
    Packet, QoS,
};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use super::appliance::Appliance;
use super::backlog::{Backlog, MAX_IN_FLIGHT};
use super::fleet::Registered;
use super::tally::SharedTally;
use crate::client::RetryPolicy;

/// Waits between two attempts to connect: doubling between these, with jitter, so that a broker
/// that comes back is not met by all devices at once.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long the farewell to the broker may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// When a device measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// So often.
    Every(Duration),
    /// Whenever another reading may be sent.
    Unbounded,
}

impl Pace {
    /// No interval means no bound.
    pub(super) fn new(interval: Duration) -> Self {
        if interval.is_zero() {
            Self::Unbounded
        } else {
            Self::Every(interval)
        }
    }

    /// The moments to measure. Devices do not measure in step: `phase`, from 0 to 1, says where in
    /// the interval this one does.
    fn ticks(self, phase: f64) -> Option<Interval> {
        let Self::Every(every) = self else {
            return None;
        };
        let mut ticks = interval_at(Instant::now() + every.mul_f64(phase), every);
        // What was not measured in time is not measured later, either.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Some(ticks)
    }
}

/// A reading as it is sent.
#[derive(Serialize)]
struct Telemetry {
    measured_at: Timestamp,
    metrics: BTreeMap<&'static str, f64>,
}

/// A reading in the backlog.
#[derive(Debug)]
struct Reading {
    payload: Vec<u8>,
    taken: Instant,
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// All is said, and we have left.
    Finished,
    /// We are not let in, now or later.
    Refused(String),
    /// It broke, or could not be made.
    Lost { why: String, was_of_use: bool },
}

/// A simulated device.
pub(super) struct Device {
    topic: String,
    appliance: Appliance,
    pace: Pace,
    phase: f64,
    clock: Clock,
    last_measured: Timestamp,
    backlog: Backlog<Reading>,
    was_connected: bool,
    tally: Arc<SharedTally>,
}

impl Device {
    /// A device that has not measured anything yet.
    pub(super) fn new(
        registered: &Registered,
        seed: u64,
        pace: Pace,
        clock: Clock,
        tally: Arc<SharedTally>,
    ) -> Self {
        let planned = &registered.planned;
        let (own, _) = planned.id.as_uuid().as_u64_pair();
        let seed = seed ^ own;
        let now = clock.now();
        Self {
            topic: registered.mqtt.topic.clone(),
            appliance: Appliance::new(planned.kind, seed, planned.offset_s, now),
            pace,
            phase: Xoshiro256PlusPlus::seed_from_u64(seed).random(),
            last_measured: now,
            clock,
            backlog: Backlog::default(),
            was_connected: false,
            tally,
        }
    }

    /// Plays the device until `stop`, and then until all its readings are acknowledged.
    pub(super) async fn run(mut self, options: MqttOptions, stop: Shutdown) {
        let policy = RetryPolicy {
            first_wait: FIRST_WAIT,
            longest_wait: LONGEST_WAIT,
            ..RetryPolicy::default()
        };
        let mut ticks = self.pace.ticks(self.phase);
        let mut failures = 0;
        while !(stop.is_triggered() && self.backlog.is_empty()) {
            // Both are made anew for each connection: see `backlog` for what they forget.
            let (client, events) = AsyncClient::new(options.clone(), MAX_IN_FLIGHT);
            let mut connection = Connection {
                client,
                events,
                is_up: false,
                was_of_use: false,
            };
            let end = Box::pin(self.converse(&mut connection, &mut ticks, &stop)).await;
            if connection.is_up {
                self.tally.disconnected();
            }
            self.backlog.connection_lost();
            match end {
                End::Finished => return,
                End::Refused(why) => return self.tally.refused(why),
                End::Lost { why, was_of_use } => {
                    self.tally.lost(why);
                    failures = if was_of_use { 0 } else { failures + 1 };
                }
            }
            let pause = sleep(policy.wait(failures));
            self.measuring_while(pause, None, &mut ticks, &stop).await;
        }
    }

    /// One connection, from the first attempt to its end.
    async fn converse(
        &mut self,
        connection: &mut Connection,
        ticks: &mut Option<Interval>,
        stop: &Shutdown,
    ) -> End {
        loop {
            let client = connection.is_up.then_some(&connection.client);
            let poll = connection.events.poll();
            let Some(event) = self.measuring_while(poll, client, ticks, stop).await else {
                return connection.leave().await;
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    connection.is_up = true;
                    self.count_connection();
                    self.send(&connection.client, stop);
                }
                Ok(Event::Outgoing(Outgoing::Publish(packet_id))) => {
                    if self.backlog.sent(packet_id) {
                        self.tally.sent_again();
                    }
                }
                Ok(Event::Incoming(Packet::PubAck(ack))) => {
                    connection.was_of_use = true;
                    if let Some(reading) = self.backlog.acknowledged(ack.pkid) {
                        self.tally.acknowledged(reading.taken.elapsed());
                    }
                    self.send(&connection.client, stop);
                    if stop.is_triggered() && self.backlog.is_empty() {
                        return connection.leave().await;
                    }
                }
                Ok(_) => {}
                Err(error) => return connection.ended_by(&error),
            }
        }
    }

    /// Waits for `what` and measures meanwhile. `None` when it is time to leave: the device is to
    /// stop and has nothing left to say.
    ///
    /// `what` is never dropped before its end for another reason: a packet half sent would be lost.
    async fn measuring_while<F: Future>(
        &mut self,
        what: F,
        client: Option<&AsyncClient>,
        ticks: &mut Option<Interval>,
        stop: &Shutdown,
    ) -> Option<F::Output> {
        let mut what = pin!(what);
        let mut stopping = stop.is_triggered();
        loop {
            tokio::select! {
                output = &mut what => return Some(output),
                () = stop.triggered(), if !stopping => {
                    stopping = true;
                    if self.backlog.is_empty() {
                        return None;
                    }
                }
                () = next(ticks), if !stopping => {
                    if self.backlog.has_room() {
                        self.measure();
                    } else {
                        self.tally.skipped();
                    }
                    if let Some(client) = client {
                        self.send(client, stop);
                    }
                }
            }
        }
    }

    fn count_connection(&mut self) {
        if std::mem::replace(&mut self.was_connected, true) {
            self.tally.reconnected();
        } else {
            self.tally.connected();
        }
    }

    /// Gives the client as much as may be on its way.
    fn send(&mut self, client: &AsyncClient, stop: &Shutdown) {
        loop {
            let measures_now = self.pace == Pace::Unbounded
                && !stop.is_triggered()
                && self.backlog.may_send()
                && !self.backlog.has_waiting();
            if measures_now {
                self.measure();
            }
            let Some(reading) = self.backlog.hand_over() else {
                return;
            };
            let payload = reading.payload.clone();
            client
                .try_publish(&self.topic, QoS::AtLeastOnce, false, payload)
                .expect("the client's queue has room for all that may be on its way");
        }
    }

    fn measure(&mut self) {
        // Two readings of a device never have the same time, or they would be the same reading.
        let next = self.last_measured.plus(Duration::from_micros(1));
        let now = self.clock.now().max(next);
        self.last_measured = now;
        let telemetry = Telemetry {
            measured_at: now,
            metrics: self.appliance.read(now).into(),
        };
        let payload = serde_json::to_vec(&telemetry).expect("times and numbers can be written");
        let taken = Instant::now();
        self.backlog.push(Reading { payload, taken });
        self.tally.published();
    }
}

/// The next moment to measure, if there are any.
async fn next(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// A connection to the broker, or an attempt at one.
struct Connection {
    client: AsyncClient,
    events: EventLoop,
    is_up: bool,
    /// Whether anything was acknowledged on it.
    was_of_use: bool,
}

impl Connection {
    /// Says good-bye, so that the broker does not take it for a failure.
    async fn leave(&mut self) -> End {
        if self.is_up && self.client.try_disconnect().is_ok() {
            let farewell = async {
                while let Ok(event) = self.events.poll().await {
                    if event == Event::Outgoing(Outgoing::Disconnect) {
                        break;
                    }
                }
            };
            // A broker that does not listen notices our end all the same.
            let _in_time = timeout(FAREWELL_TIMEOUT, farewell).await;
        }
        End::Finished
    }

    fn ended_by(&self, error: &ConnectionError) -> End {
        let why = error.to_string();
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword
                | ConnectReturnCode::NotAuthorized
                | ConnectReturnCode::BadClientId
                | ConnectReturnCode::RefusedProtocolVersion,
            ) => End::Refused(why),
            _ => End::Lost {
                why,
                was_of_use: self.was_of_use,
            },
        }
    }
}
