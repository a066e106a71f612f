//! Notes that the money or the stock of an order came back, and closes the order when both have.

use ::store::Tx;
use common::ids::OrderId;
use common::time::Timestamp;

use crate::domain::order::{Order, Status};
use crate::error::UseCaseError;
use crate::store::orders;

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// All the money.
    Money,
    /// The stock.
    Stock,
}

/// Notes it, in any order and any number of times. A full refund may come before the cancellation
/// that it then already satisfies.
pub(crate) async fn note_returned(
    tx: &mut Tx,
    id: OrderId,
    (returned, at): (Returned, Timestamp),
    now: Timestamp,
) -> Result<Order, UseCaseError> {
    let order = orders::find_order_locked(tx, id).await?;
    let mut order = order.ok_or(UseCaseError::UnknownOrder(id))?;
    let from = order.status;
    let noted = match returned {
        Returned::Money => &mut order.cancellation.refunded_at,
        Returned::Stock => &mut order.cancellation.restocked_at,
    };
    noted.get_or_insert(at);
    let complete =
        order.cancellation.refunded_at.is_some() && order.cancellation.restocked_at.is_some();
    if order.status == Status::Cancelling && complete {
        order.become_status(Status::Cancelled, now)?;
    }
    if orders::update_status(tx, &[&order], from).await? != 1 {
        return Err(UseCaseError::Inconsistent(format!(
            "order {id} changed while it was locked"
        )));
    }
    Ok(order)
}
