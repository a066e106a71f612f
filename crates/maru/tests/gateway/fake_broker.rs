//! A broker for MQTT 3.1.1 devices that publish with QoS 1. It lets in the devices of the fake
//! gateway, remembers what they say, and can be told not to acknowledge and to hang up. It knows no
//! sessions, like a broker that has crashed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::BytesMut;
use rumqttc::{ConnAck, Connect, ConnectReturnCode, Error, Packet, PubAck, QoS};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fake_gateway::FakeGateway;

const MAX_PACKET_BYTES: usize = 10_000;

/// A publication: topic and payload.
pub(crate) type Heard = (String, Value);

#[derive(Default)]
struct State {
    heard: Mutex<Vec<Heard>>,
    refuses: AtomicBool,
    is_mute: AtomicBool,
    /// Connections on which something was published.
    used_connections: AtomicUsize,
}

/// A running broker; it stops with the test's runtime.
pub(crate) struct FakeBroker {
    pub(crate) url: String,
    state: Arc<State>,
    hang_ups: watch::Sender<u32>,
}

impl FakeBroker {
    pub(crate) async fn start(gateway: Arc<FakeGateway>) -> Self {
        let state = Arc::new(State::default());
        let (hang_ups, signal) = watch::channel(0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let session = Session {
                    gateway: Arc::clone(&gateway),
                    state: Arc::clone(&shared),
                    device: String::new(),
                    is_used: false,
                };
                let mut signal = signal.clone();
                signal.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ended = session.serve(socket) => {}
                        _ = signal.changed() => {}
                    }
                });
            }
        });
        Self {
            url,
            state,
            hang_ups,
        }
    }

    /// All publications, repeated ones as often as they came.
    pub(crate) fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.state.heard.lock().unwrap()
    }

    /// How many different ones there are.
    pub(crate) fn distinct(&self) -> usize {
        distinct(&self.heard())
    }

    /// How many came that had come before.
    pub(crate) fn repeated(&self) -> usize {
        let heard = self.heard();
        heard.len() - distinct(&heard)
    }

    /// On how many connections something was published until now.
    pub(crate) fn used_connections(&self) -> usize {
        self.state.used_connections.load(Ordering::Relaxed)
    }

    /// Lets nobody in any more.
    pub(crate) fn refuse(&self) {
        self.state.refuses.store(true, Ordering::Relaxed);
    }

    /// Listens without acknowledging.
    pub(crate) fn mute(&self) {
        self.state.is_mute.store(true, Ordering::Relaxed);
    }

    /// Ends all connections; what comes on new ones is acknowledged.
    pub(crate) fn hang_up(&self) {
        self.state.is_mute.store(false, Ordering::Relaxed);
        self.hang_ups.send_modify(|times| *times += 1);
    }
}

fn distinct(heard: &[Heard]) -> usize {
    let different: BTreeSet<_> = heard
        .iter()
        .map(|(topic, payload)| (topic, payload["measured_at"].as_str()))
        .collect();
    different.len()
}

/// A device's connection.
struct Session {
    gateway: Arc<FakeGateway>,
    state: Arc<State>,
    device: String,
    is_used: bool,
}

impl Session {
    /// `None` when it is over.
    async fn serve(mut self, mut socket: TcpStream) -> Option<()> {
        let mut input = BytesMut::new();
        loop {
            let packet = match Packet::read(&mut input, MAX_PACKET_BYTES) {
                Ok(packet) => packet,
                Err(Error::InsufficientBytes(_)) => {
                    let read = socket.read_buf(&mut input).await.ok()?;
                    if read == 0 {
                        return None;
                    }
                    continue;
                }
                Err(error) => panic!("a malformed packet: {error}"),
            };
            if let Some(answer) = self.answer(packet)? {
                let mut output = BytesMut::new();
                answer.write(&mut output, MAX_PACKET_BYTES).unwrap();
                socket.write_all(&output).await.ok()?;
            }
        }
    }

    fn answer(&mut self, packet: Packet) -> Option<Option<Packet>> {
        let answer = match packet {
            Packet::Connect(connect) => Packet::ConnAck(self.let_in(connect)),
            Packet::Publish(publish) => {
                assert_eq!(publish.qos, QoS::AtLeastOnce);
                let own = publish.topic.split('/').nth(2);
                assert_eq!(own, Some(self.device.as_str()), "somebody else's topic");
                let payload = serde_json::from_slice(&publish.payload).unwrap();
                let heard = (publish.topic, payload);
                self.state.heard.lock().unwrap().push(heard);
                if !std::mem::replace(&mut self.is_used, true) {
                    self.state.used_connections.fetch_add(1, Ordering::Relaxed);
                }
                if self.state.is_mute.load(Ordering::Relaxed) {
                    return Some(None);
                }
                Packet::PubAck(PubAck::new(publish.pkid))
            }
            Packet::PingReq => Packet::PingResp,
            Packet::Disconnect => return None,
            other => panic!("a device said {other:?}"),
        };
        Some(Some(answer))
    }

    fn let_in(&mut self, connect: Connect) -> ConnAck {
        let login = connect.login.expect("devices have a password");
        let world = self.gateway.world();
        let is_right = world.passwords.get(&login.username) == Some(&login.password);
        let code = if is_right
            && connect.client_id == login.username
            && !self.state.refuses.load(Ordering::Relaxed)
        {
            self.device.clone_from(&login.username);
            ConnectReturnCode::Success
        } else {
            ConnectReturnCode::BadUserNamePassword
        };
        ConnAck::new(code, false)
    }
}
