//! One order from its due moment to its known end.

use std::sync::Arc;
use std::time::Duration;

use common::ids::{ItemId, OrderId, StoreId};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::acknowledged::Acknowledged;
use super::source::Replayed;
use super::tally::{Fate, SharedTally};
use crate::client::{ClientError, Gateway};

/// Waits between two questions for an order that is still pending: doubling between these.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What all orders of a run have in common.
#[derive(Debug)]
pub(super) struct Placing {
    pub(super) gateway: Arc<Gateway>,
    pub(super) run_id: String,
    pub(super) tokens: Vec<String>,
    pub(super) settle_timeout: Duration,
    pub(super) tally: SharedTally,
    pub(super) acknowledged: Acknowledged,
}

#[derive(Serialize)]
struct OrderIn<'a> {
    store_id: StoreId,
    channel: &'a str,
    lines: Vec<LineIn>,
    payment: PaymentIn<'a>,
}

#[derive(Serialize)]
struct LineIn {
    item_id: ItemId,
    quantity: i64,
}

#[derive(Serialize)]
struct PaymentIn<'a> {
    method: &'a str,
    token: &'a str,
}

#[derive(Debug, Deserialize)]
struct OrderOut {
    id: OrderId,
    status: Status,
    #[serde(default)]
    cancel_reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pending,
    Confirmed,
    Cancelling,
    Cancelled,
}

impl Status {
    /// The text on the wire.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }
}

impl OrderOut {
    fn fate(&self) -> Option<Fate> {
        match self.status {
            Status::Confirmed => Some(Fate::Confirmed),
            Status::Cancelled => {
                let reason = self.cancel_reason.clone();
                Some(Fate::Cancelled(
                    reason.unwrap_or_else(|| "unknown".to_owned()),
                ))
            }
            Status::Pending | Status::Cancelling => None,
        }
    }
}

impl Placing {
    /// Places the order and follows it to its end, or to the time limit.
    pub(super) async fn run(&self, order: &Replayed, number: u64, due: Instant) {
        let deadline = due + self.settle_timeout;
        self.tally.due();
        let fate = match self.place(order, number, deadline).await {
            Ok(placed) => {
                self.tally.placed(due.elapsed());
                self.follow(&placed, deadline).await
            }
            Err(fate) => fate,
        };
        self.tally.ended(&fate, due.elapsed());
    }

    /// Asks with the same key until the server says whether there is an order.
    async fn place(
        &self,
        order: &Replayed,
        number: u64,
        deadline: Instant,
    ) -> Result<OrderOut, Fate> {
        let key = format!("replay-{}-{}-{}", self.run_id, order.round, order.id);
        let body = self.body(order, number);
        let mut wait = FIRST_WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let call = self.gateway.post("/api/orders").key(&key).patience(left);
            let error = match call.json(&body).send().await {
                Ok(answer) => {
                    self.acknowledge(&answer.body);
                    return Ok(answer.body);
                }
                Err(error) => error,
            };
            if let ClientError::Refused { problem, .. } = &error
                && !error.is_ambiguous()
            {
                let code = problem.code.as_str();
                let code = if code.is_empty() { "unknown" } else { code };
                return Err(Fate::Refused(code.to_owned()));
            }
            if Instant::now() + wait > deadline {
                return Err(Fate::Unresolved(format!("order with key {key}: {error}")));
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn acknowledge(&self, order: &OrderOut) {
        self.acknowledged.record(order.id, order.status.as_str());
    }

    fn body<'a>(&'a self, order: &'a Replayed, number: u64) -> OrderIn<'a> {
        let turn = usize::try_from(number).unwrap_or(0) % self.tokens.len().max(1);
        let token = self.tokens.get(turn).map_or("tok_ok", String::as_str);
        let lines = order.items.iter();
        let line = |(&item_id, &quantity)| LineIn { item_id, quantity };
        OrderIn {
            store_id: order.store_id,
            channel: &order.channel,
            lines: lines.map(line).collect(),
            payment: PaymentIn {
                method: "card",
                token,
            },
        }
    }

    /// Asks for the order until it has ended.
    async fn follow(&self, placed: &OrderOut, deadline: Instant) -> Fate {
        if let Some(fate) = placed.fate() {
            return fate;
        }
        let mut wait = FIRST_WAIT;
        let mut last = "still pending".to_owned();
        while Instant::now() + wait <= deadline {
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            let left = deadline.saturating_duration_since(Instant::now());
            let path = format!("/api/orders/{}", placed.id);
            match self
                .gateway
                .get(path)
                .patience(left)
                .send::<OrderOut>()
                .await
            {
                Ok(answer) => match answer.body.fate() {
                    Some(fate) => {
                        self.acknowledge(&answer.body);
                        return fate;
                    }
                    None => "still pending".clone_into(&mut last),
                },
                // Even a 404 is asked again: an order that was acknowledged must be there.
                Err(error) => last = error.to_string(),
            }
        }
        Fate::Unresolved(format!("order {}: {last}", placed.id))
    }
}
