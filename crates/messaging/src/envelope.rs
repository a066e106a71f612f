//! What every event is wrapped in: CloudEvents 1.0, JSON, structured mode.

use common::context::RequestContext;
use common::ids::EventId;
use common::time::Timestamp;
use contracts::EventPayload;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ConsumeError;

const SPEC_VERSION: &str = "1.0";
const JSON: &str = "application/json";

/// What stands as the source of a service's events.
pub(crate) fn source_of(service: &str) -> String {
    format!("/services/{service}")
}

/// An event on its way (CloudEvents 1.0.2, sections 3 and 3.2 of the JSON format).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Envelope {
    specversion: String,
    /// Unique for each event; the inbox remembers it.
    pub id: EventId,
    /// The service that emitted it, such as `/services/order`.
    pub source: String,
    /// Noun, past participle, version: `order.confirmed.v1`.
    pub r#type: String,
    /// What it is about: an order's id, for example.
    pub subject: String,
    /// When it was emitted.
    pub time: Timestamp,
    datacontenttype: String,
    /// W3C trace context of the request that caused it (CloudEvents' distributed tracing extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The payload, as it was sent.
    #[schema(value_type = serde_json::Value)]
    pub data: Box<RawValue>,
}

impl Envelope {
    pub(crate) fn of<E: EventPayload>(
        (id, time): (EventId, Timestamp),
        source: &str,
        subject: String,
        event: &E,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            specversion: SPEC_VERSION.to_owned(),
            id,
            source: source.to_owned(),
            r#type: E::TYPE.to_owned(),
            subject,
            time,
            datacontenttype: JSON.to_owned(),
            traceparent: RequestContext::current().map(|context| context.traceparent),
            data: serde_json::value::to_raw_value(event)?,
        })
    }

    /// The payload.
    ///
    /// # Errors
    /// [`ConsumeError::Reject`] when it is not an `E`: trying again would not make it one.
    pub fn payload<E: EventPayload>(&self) -> Result<E, ConsumeError> {
        serde_json::from_str(self.data.get())
            .map_err(|error| ConsumeError::Reject(format!("not a {}: {error}", E::TYPE)))
    }

    /// The context to consume it in: a request id of its own, the emitter's trace.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        let context = RequestContext::background();
        match &self.traceparent {
            Some(traceparent) => RequestContext {
                traceparent: traceparent.clone(),
                ..context
            },
            None => context,
        }
    }
}

#[cfg(test)]
mod tests {
    use common::clock::Clock;
    use common::ids::{OrderId, StoreId};
    use contracts::events::{InventoryRestocked, OrderCancelled};

    use super::*;

    #[test]
    fn an_envelope_is_a_cloud_event_and_reads_back() {
        let clock = Clock::manual("2026-03-01T09:30:00Z".parse().unwrap());
        let id = "019ca8a3-0000-7000-8000-000000000000".parse().unwrap();
        let event = InventoryRestocked {
            order_id: OrderId::from_uuid(uuid::Uuid::nil()),
            store_id: StoreId::from_uuid(uuid::Uuid::nil()),
            restocked_at: clock.now(),
        };
        let source = "/services/inventory";
        let sent = Envelope::of((id, clock.now()), source, "order 7".to_owned(), &event).unwrap();
        let text = serde_json::to_string(&sent).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"specversion":"1.0","id":"019ca8a3-0000-7000-8000-000000000000","#,
                r#""source":"/services/inventory","type":"inventory.restocked.v1","#,
                r#""subject":"order 7","time":"2026-03-01T09:30:00Z","#,
                r#""datacontenttype":"application/json","data":{"#,
                r#""order_id":"00000000-0000-0000-0000-000000000000","#,
                r#""store_id":"00000000-0000-0000-0000-000000000000","#,
                r#""restocked_at":"2026-03-01T09:30:00Z"}}"#
            )
        );
        let received: Envelope = serde_json::from_str(&text).unwrap();
        assert_eq!(received.payload::<InventoryRestocked>().unwrap(), event);
        assert!(matches!(
            received.payload::<OrderCancelled>(),
            Err(ConsumeError::Reject(_))
        ));
    }
}
