//! The table of the saga: its steps, what follows each, and what undoes them.

/// A step forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Hold the stock.
    Reserve,
    /// Set the money aside.
    Authorize,
    /// Consume the held stock.
    Commit,
    /// Take the money.
    Capture,
}

/// A step back. Repeating one changes nothing, and it is valid whatever happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Undo {
    /// Give held stock back.
    Release,
    /// Let go of set-aside money, or refund it when it was taken.
    Void,
    /// Give consumed stock back.
    Restock,
}

impl Action {
    pub(crate) const ALL: [Self; 4] = [Self::Reserve, Self::Authorize, Self::Commit, Self::Capture];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Authorize => "authorize",
            Self::Commit => "commit",
            Self::Capture => "capture",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// The step after this one; `None` confirms the order.
    pub(super) const fn next(self, free: bool) -> Option<Self> {
        match (self, free) {
            (Self::Reserve, false) => Some(Self::Authorize),
            (Self::Reserve, true) | (Self::Authorize, _) => Some(Self::Commit),
            (Self::Commit, false) => Some(Self::Capture),
            (Self::Commit, true) | (Self::Capture, _) => None,
        }
    }

    /// Steps whose intents are written together.
    pub(super) const fn run(self) -> u8 {
        match self {
            Self::Reserve | Self::Authorize => 1,
            Self::Commit | Self::Capture => 2,
        }
    }

    /// What to undo when this step certainly had no effect: the steps before it.
    pub(super) const fn undo_of_earlier(self) -> &'static [Undo] {
        match self {
            Self::Reserve => &[],
            Self::Authorize => &[Undo::Release],
            Self::Commit => &[Undo::Void, Undo::Release],
            Self::Capture => &[Undo::Void, Undo::Restock],
        }
    }

    /// What to undo when this step itself may have had its effect. `Release` of a reservation that
    /// turns out to be committed becomes `Restock`.
    pub(super) const fn undo_of_all(self) -> &'static [Undo] {
        match self {
            Self::Reserve => &[Undo::Release],
            Self::Authorize | Self::Commit => &[Undo::Void, Undo::Release],
            Self::Capture => &[Undo::Void, Undo::Restock],
        }
    }

    /// What to undo when any step of this one's run may have had its effect. The held stock may have
    /// run out after the money was set aside, so not even a refused first step clears the second.
    pub(super) const fn undo_of_run(self) -> &'static [Undo] {
        match self {
            Self::Reserve | Self::Authorize => Self::Authorize.undo_of_all(),
            Self::Commit => Self::Commit.undo_of_all(),
            Self::Capture => Self::Capture.undo_of_all(),
        }
    }

    /// Why an order is cancelled whose step nobody answers.
    pub(crate) const fn unavailable(self) -> CancelReason {
        match self {
            Self::Reserve | Self::Commit => CancelReason::InventoryUnavailable,
            Self::Authorize | Self::Capture => CancelReason::PaymentUnavailable,
        }
    }
}

impl Undo {
    pub(crate) const ALL: [Self; 3] = [Self::Release, Self::Void, Self::Restock];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Void => "void",
            Self::Restock => "restock",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|undo| undo.as_str() == text)
    }
}

/// Why a saga turned back, as a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CancelReason {
    /// The store has too little of something.
    OutOfStock,
    /// The provider refused the payment.
    PaymentDeclined,
    /// The payment service gave no clear answer in time.
    PaymentUnavailable,
    /// The inventory service gave no clear answer in time.
    InventoryUnavailable,
    /// The stock was not held long enough.
    ReservationExpired,
    /// The money had been set aside but could not be taken.
    PaymentFailed,
}

impl CancelReason {
    const ALL: [Self; 6] = [
        Self::OutOfStock,
        Self::PaymentDeclined,
        Self::PaymentUnavailable,
        Self::InventoryUnavailable,
        Self::ReservationExpired,
        Self::PaymentFailed,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentUnavailable => "payment_unavailable",
            Self::InventoryUnavailable => "inventory_unavailable",
            Self::ReservationExpired => "reservation_expired",
            Self::PaymentFailed => "payment_failed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// What one attempt at a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The effect is there.
    Done,
    /// The effect is certainly not there and will not be.
    Refused(CancelReason),
    /// The neighbour will never do this, for a reason that the protocol does not foresee.
    Rejected,
    /// Nobody knows, or nobody answers.
    Unclear,
    /// `Release` only: the stock is consumed already.
    AlreadyCommitted,
}

impl Verdict {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Rejected => "rejected",
            Self::Unclear => "unclear",
            Self::AlreadyCommitted => "already_committed",
        }
    }
}
