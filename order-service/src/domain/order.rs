//! An order and the states that it goes through.
//!
//! ```text
//!   PENDING ──── the saga ends well ───▶ CONFIRMED ──── a cancellation ───▶ CANCELLING
//!      │                                                                        │
//!      └── the saga has undone everything ──▶ CANCELLED ◀── refund and restock ─┘
//! ```

use common::ids::{OrderId, StoreId};
use common::money::Money;
use common::time::{CivilDate, Timestamp};
use contracts::events::OrderOrigin;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::menu::ItemNames;
use super::payment::Method;

/// Where an order was taken; the text form is the same on the wire and in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Channel {
    /// At a table.
    DineIn,
    /// Taken away by the guest.
    Takeaway,
    /// Brought to the guest.
    Delivery,
    /// At a self-order terminal.
    Kiosk,
    /// With a code at the table.
    Qr,
    /// By telephone.
    Phone,
    /// On a web site or in an app.
    Online,
}

impl Channel {
    const ALL: [Self; 7] = [
        Self::DineIn,
        Self::Takeaway,
        Self::Delivery,
        Self::Kiosk,
        Self::Qr,
        Self::Phone,
        Self::Online,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::DineIn => "dine_in",
            Self::Takeaway => "takeaway",
            Self::Delivery => "delivery",
            Self::Kiosk => "kiosk",
            Self::Qr => "qr",
            Self::Phone => "phone",
            Self::Online => "online",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text)
    }
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Its saga is under way.
    Pending,
    /// Paid, and its stock is consumed.
    Confirmed,
    /// Was confirmed; refund and restock are under way.
    Cancelling,
    /// Holds neither money nor stock.
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Self; 4] = [
        Self::Pending,
        Self::Confirmed,
        Self::Cancelling,
        Self::Cancelled,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The whole state machine.
    pub(crate) const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Confirmed | Self::Cancelled)
                | (Self::Confirmed, Self::Cancelling)
                | (Self::Cancelling, Self::Cancelled)
        )
    }
}

/// An order with everything that was sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) store_id: StoreId,
    pub(crate) channel: Channel,
    pub(crate) status: Status,
    /// Why it is being or was cancelled.
    pub(crate) cancel_reason: Option<String>,
    pub(crate) origin: OrderOrigin,
    pub(crate) placed_at: Timestamp,
    /// `placed_at` on the clock of the store.
    pub(crate) local_time: DateTime,
    pub(crate) business_date: CivilDate,
    pub(crate) lines: Vec<Line>,
    /// The sum of the lines.
    pub(crate) total: Money,
    /// `None` for an imported order.
    pub(crate) method: Option<Method>,
    pub(crate) external: Option<External>,
    pub(crate) created_at: Timestamp,
    /// When it reached the final status it has now; `None` while something is under way.
    pub(crate) closed_at: Option<Timestamp>,
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) cancellation: Cancellation,
}

/// How far the cancellation of a confirmed order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cancellation {
    pub(crate) requested_at: Option<Timestamp>,
    /// When all the money was back.
    pub(crate) refunded_at: Option<Timestamp>,
    /// When the stock was back.
    pub(crate) restocked_at: Option<Timestamp>,
}

/// Where an imported order comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct External {
    pub(crate) source: String,
    /// Unique within the source.
    pub(crate) id: String,
}

/// One line, with the names it was sold under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) item: ItemNames,
    pub(crate) quantity: i64,
    /// Minor units of the order's currency for one.
    pub(crate) unit_price: i64,
    /// Minor units for all of them.
    pub(crate) net_amount: i64,
}

/// A change of state that the state machine does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {} cannot become {}", .from.as_str(), .to.as_str())]
pub(crate) struct IllegalTransition {
    pub(crate) from: Status,
    pub(crate) to: Status,
}

impl Order {
    /// Whether nothing has to be paid; such an order takes no step with the payment service.
    pub(crate) const fn is_free(&self) -> bool {
        self.total.amount == 0
    }

    /// Moves to the next status.
    ///
    /// # Errors
    /// When the state machine has no such transition; nothing changes then.
    pub(crate) fn become_status(
        &mut self,
        next: Status,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        if !self.status.may_become(next) {
            return Err(IllegalTransition {
                from: self.status,
                to: next,
            });
        }
        self.status = next;
        self.closed_at = match next {
            Status::Confirmed | Status::Cancelled => Some(now),
            Status::Pending | Status::Cancelling => None,
        };
        if next == Status::Confirmed {
            self.confirmed_at = Some(now);
        }
        Ok(())
    }

    /// Begins the cancellation of a confirmed order. What costs nothing needs no refund.
    ///
    /// # Errors
    /// When the order is not confirmed.
    pub(crate) fn begin_cancellation(
        &mut self,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        self.become_status(Status::Cancelling, now)?;
        self.cancel_reason = Some(reason.to_owned());
        self.cancellation.requested_at = Some(now);
        if self.is_free() {
            self.cancellation.refunded_at = Some(now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_reads_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for channel in Channel::ALL {
            assert_eq!(Channel::parse(channel.as_str()), Some(channel));
            assert_eq!(serde_json::to_value(channel).unwrap(), channel.as_str());
        }
        assert_eq!(Status::parse("eaten"), None);
    }

    #[test]
    fn only_four_transitions_exist() {
        let legal = Status::ALL
            .into_iter()
            .flat_map(|from| Status::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to));
        assert_eq!(legal.count(), 4);
        assert!(!Status::Pending.may_become(Status::Cancelling));
        assert!(!Status::Cancelled.may_become(Status::Confirmed));
    }
}
