//! Invariant 6: every saga ends: confirmed, compensated, or parked with an alert.

use anyhow::Result;
use contracts::services::ServiceName;
use store::Tx;
use uuid::Uuid;

use super::databases::Databases;
use super::verdict::Verdict;

/// Judges every saga, once the system came to rest.
///
/// # Errors
/// When a database cannot be read.
pub(super) async fn check(databases: &Databases) -> Result<Verdict> {
    let mut verdict = Verdict::new(6, "Sagas: every one ended or is parked");
    let mut tx = databases.read(ServiceName::Order).await?;
    positions(&mut tx, &mut verdict).await?;
    unended(&mut tx, &mut verdict).await?;
    contradictions(&mut tx, &mut verdict).await?;
    unclosed_cancellations(&mut tx, &mut verdict).await?;
    hasty_cancellations(&mut tx, &mut verdict).await?;
    open_operations(databases, &mut verdict).await?;
    Ok(verdict)
}

async fn positions(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let positions = store::fetch_all!(
        tx,
        (String, i64),
        "SELECT position, CAST(COUNT(*) AS bigint) FROM sagas \
         WHERE parked_at IS NULL GROUP BY position ORDER BY position"
    )?;
    for (position, count) in positions {
        verdict.named_figure(position, count);
    }
    let (parked,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS bigint) FROM sagas WHERE parked_at IS NOT NULL"
    )?;
    verdict.figure("parked", parked);
    Ok(())
}

async fn unended(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let unended = store::fetch_all!(
        tx,
        (Uuid, String),
        "SELECT order_id, position FROM sagas \
         WHERE position NOT IN ('confirmed', 'cancelled') AND parked_at IS NULL ORDER BY order_id"
    )?;
    for (order, position) in unended {
        verdict.fault(format!(
            "the saga of order {order} has not ended: {position}"
        ));
    }
    let without = store::fetch_all!(
        tx,
        (Uuid,),
        "SELECT o.id FROM orders o LEFT JOIN sagas s ON s.order_id = o.id \
         WHERE o.origin = 'live' AND s.order_id IS NULL"
    )?;
    for (order,) in without {
        verdict.fault(format!("order {order} has no saga"));
    }
    Ok(())
}

/// The order says something else than its saga.
async fn contradictions(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let rows = store::fetch_all!(
        tx,
        (Uuid, String, String),
        "SELECT o.id, o.status, s.position FROM orders o JOIN sagas s ON s.order_id = o.id \
         WHERE (s.position = 'confirmed' AND (o.status = 'pending' OR o.confirmed_at IS NULL)) \
            OR (s.position = 'cancelled' AND (o.status <> 'cancelled' OR o.confirmed_at IS NOT NULL)) \
            OR (s.position NOT IN ('confirmed', 'cancelled') AND o.status <> 'pending')"
    )?;
    for (order, status, position) in rows {
        verdict.fault(format!(
            "order {order} is {status}, but its saga is {position}"
        ));
    }
    Ok(())
}

/// Cancellations of confirmed orders, which refund and restock must close.
async fn unclosed_cancellations(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let open = store::fetch_all!(
        tx,
        (Uuid, bool, bool),
        "SELECT id, refunded_at IS NOT NULL, restocked_at IS NOT NULL FROM orders \
         WHERE status = 'cancelling'"
    )?;
    for (order, refunded, restocked) in open {
        let waits = match (refunded, restocked) {
            (false, false) => "refund and restock",
            (false, true) => "the refund",
            (true, false) => "the restock",
            (true, true) => "nothing",
        };
        verdict.fault(format!(
            "order {order} is being cancelled and waits for {waits}"
        ));
    }
    Ok(())
}

/// Cancellations that closed before both answers came.
async fn hasty_cancellations(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let hasty = store::fetch_all!(
        tx,
        (Uuid,),
        "SELECT id FROM orders WHERE status = 'cancelled' AND confirmed_at IS NOT NULL \
         AND (refunded_at IS NULL OR restocked_at IS NULL)"
    )?;
    for (order,) in hasty {
        verdict.fault(format!(
            "the cancellation of order {order} closed without refund and restock"
        ));
    }
    Ok(())
}

/// What the provider was asked without a known outcome.
async fn open_operations(databases: &Databases, verdict: &mut Verdict) -> Result<()> {
    let mut tx = databases.read(ServiceName::Payment).await?;
    let open = store::fetch_all!(
        tx,
        (Uuid, String, String),
        "SELECT intent_id, kind, state FROM operations WHERE settled_at IS NULL"
    )?;
    for (intent, kind, state) in open {
        verdict.fault(format!("the {kind} of intent {intent} is {state}"));
    }
    Ok(())
}
