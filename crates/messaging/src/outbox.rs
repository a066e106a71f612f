//! Where events wait from the commit of their cause until everybody acknowledged them.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::clock::Clock;
use common::ids::EventId;
use common::settings::EventsSettings;
use common::time::Timestamp;
use contracts::EventPayload;
use contracts::services::ServiceName;
use secrecy::ExposeSecret;
use store::{StoreError, Tx};
use tokio::sync::Notify;

use crate::Envelope;
use crate::envelope::source_of;

/// The destination of rows for the broker, which knows the subscribers itself.
pub(crate) const BUS: &str = "bus";
/// Largest event; it must fit into one delivery with room to spare.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Takes the events of one service. Clones are the same outbox.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: String,
    has_broker: bool,
    clock: Clock,
    last_seq: AtomicI64,
    wake: Arc<Notify>,
}

/// An event that is ready to be told, see [`Outbox::prepare`].
#[derive(Clone, Debug)]
pub struct PreparedEvent {
    event_id: EventId,
    event_type: &'static str,
    subscribers: &'static [&'static str],
    seq: i64,
    body: Arc<str>,
    created_at: Timestamp,
}

struct Row<'a> {
    event: &'a PreparedEvent,
    destination: &'static str,
}

impl Outbox {
    /// The outbox of `service`; `settings` say whether there is a broker.
    #[must_use]
    pub fn new(service: ServiceName, settings: &EventsSettings, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            source: source_of(service.as_str()),
            has_broker: !settings.amqp_url.expose_secret().is_empty(),
            clock,
            last_seq: AtomicI64::new(0),
            wake: Arc::default(),
        }))
    }

    /// Promises to tell `event` about `subject` once `tx` is committed.
    ///
    /// # Errors
    /// Those of the database, and [`StoreError::Database`] for an event over 1 MiB.
    pub async fn append<E: EventPayload>(
        &self,
        tx: &mut Tx,
        subject: impl Display + Send,
        event: &E,
    ) -> Result<EventId, StoreError> {
        let prepared = self.prepare(&subject, event)?;
        let id = prepared.event_id;
        self.append_prepared(tx, &[prepared]).await?;
        Ok(id)
    }

    /// [`Outbox::append`] for many events of one type, in this order.
    ///
    /// # Errors
    /// Those of [`Outbox::append`].
    pub async fn append_many<E: EventPayload, S: Display + Sync>(
        &self,
        tx: &mut Tx,
        events: &[(S, E)],
    ) -> Result<(), StoreError> {
        let events = events.iter();
        let prepared: Result<Vec<_>, _> = events
            .map(|(about, event)| self.prepare(about, event))
            .collect();
        self.append_prepared(tx, &prepared?).await
    }

    /// Makes an event ready for [`Outbox::append_prepared`], as one of the request being served: so
    /// it keeps that request's trace when a transaction for many requests takes it along.
    ///
    /// # Errors
    /// [`StoreError::Database`] for an event over 1 MiB.
    pub fn prepare<E: EventPayload>(
        &self,
        subject: &impl Display,
        event: &E,
    ) -> Result<PreparedEvent, StoreError> {
        let now = self.0.clock.now();
        let event_id = EventId::new(&self.0.clock);
        let envelope = Envelope::of((event_id, now), &self.0.source, subject.to_string(), event);
        let body = envelope
            .and_then(|envelope| serde_json::to_string(&envelope))
            .map_err(unfit)?;
        if body.len() > MAX_EVENT_BYTES {
            return Err(unfit(format!(
                "{} exceeds {MAX_EVENT_BYTES} bytes",
                E::TYPE
            )));
        }
        Ok(PreparedEvent {
            event_id,
            event_type: E::TYPE,
            subscribers: E::subscribers(),
            seq: self.next_seq(now),
            body: body.into(),
            created_at: now,
        })
    }

    /// Promises to tell these events, in this order, once `tx` is committed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn append_prepared(
        &self,
        tx: &mut Tx,
        events: &[PreparedEvent],
    ) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = events.iter().flat_map(|event| self.rows(event)).collect();
        self.insert(tx, &rows).await
    }

    /// Forgets the events of a type that were handed over, before their usual time: for what must
    /// not lie about, such as links that let their holder in. Returns how many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_sent<E: EventPayload>(&self, tx: &mut Tx) -> Result<u64, StoreError> {
        let sql = "DELETE FROM outbox WHERE type = $1 AND published_at IS NOT NULL";
        store::execute!(tx, sql, E::TYPE)
    }

    pub(crate) fn sleeper(&self) -> &Arc<Notify> {
        &self.0.wake
    }

    /// One row for the broker, or one for each subscriber.
    fn rows<'a>(&self, event: &'a PreparedEvent) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let destinations = if self.0.has_broker {
            &[BUS]
        } else {
            event.subscribers
        };
        destinations
            .iter()
            .map(move |destination| Row { event, destination })
    }

    async fn insert(&self, tx: &mut Tx, rows: &[Row<'_>]) -> Result<(), StoreError> {
        store::insert_many!(
            tx,
            "INSERT INTO outbox (event_id, destination, seq, type, body, created_at)",
            rows,
            |row| [
                row.event.event_id,
                row.destination,
                row.event.seq,
                row.event.event_type,
                &*row.event.body,
                row.event.created_at
            ]
        )?;
        tx.wake_on_commit(&self.0.wake);
        Ok(())
    }

    /// Microseconds since the epoch, but always more than the last: rises across restarts without
    /// asking the database, and orders the events of several replicas by time.
    fn next_seq(&self, now: Timestamp) -> i64 {
        let next = |last: i64| now.as_micros().max(last + 1);
        let last = self
            .0
            .last_seq
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        last.map_or_else(next, next)
    }
}

fn unfit(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Database(sqlx::Error::Encode(cause.into()))
}
