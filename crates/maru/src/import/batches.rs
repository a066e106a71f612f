//! Orders in batches of a size that the server takes, cut the same way at every run.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::assemble::{Assembled, Assembler, OrderIn};
use super::catalogue::Catalogue;
use super::groups::{Groups, Ordered};
use super::keyed::Neighbours;
use super::plan::Plan;
use super::report::{Reject, Rejection};
use super::sequence::{KeyOrder, Survey};

/// Most orders that order-service takes at once.
pub(crate) const MAX_BATCH: usize = 500;
/// Largest body; services refuse more than 1 MiB.
const MAX_BATCH_BYTES: usize = 768 * 1024;
/// Rejections that wait for their batch at most; more go ahead of it.
const MAX_WAITING_REJECTIONS: usize = 1000;

/// A batch and the rejections that were found while it was read.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) batch: Option<Batch>,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) tally: Tally,
}

/// Orders to send.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Place among the batches of the whole import, from 0.
    pub(crate) index: u64,
    /// The orders as JSON objects, one after the other.
    text: Vec<u8>,
    pub(crate) orders: Vec<Sent>,
}

/// An order of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) external_id: String,
    /// Line of its head.
    pub(crate) line: u64,
    at: Range<usize>,
}

/// What the reading came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Orders found in the files.
    pub(crate) orders: u64,
    /// Of these left out by the map.
    pub(crate) skipped: u64,
    /// Of these rejected before they were sent.
    pub(crate) rejected: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.skipped += other.skipped;
        self.rejected += other.rejected;
    }
}

impl Batch {
    fn push(&mut self, order: OrderIn, line: u64) -> serde_json::Result<()> {
        let start = self.text.len();
        serde_json::to_writer(&mut self.text, &order)?;
        self.orders.push(Sent {
            external_id: order.external_id,
            line,
            at: start..self.text.len(),
        });
        Ok(())
    }

    /// The request body for some of the orders.
    pub(crate) fn body(&self, source: &str, orders: &[Sent]) -> Vec<u8> {
        // A source is made of letters that JSON takes as they are.
        let mut body = format!("{{\"source\":\"{source}\",\"orders\":[").into_bytes();
        for (index, order) in orders.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(self.text.get(order.at.clone()).unwrap_or_default());
        }
        body.extend_from_slice(b"]}");
        body
    }
}

/// How the two files are read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    order: KeyOrder,
    heads: Option<Survey>,
    lines: Survey,
}

impl Reading {
    /// Reads both files once, to find out how they are sorted.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn survey(plan: &Plan) -> anyhow::Result<Self> {
        let lines = &plan.lines;
        let lines = Survey::take(
            &plan.folder,
            &lines.source,
            &lines.order,
            Neighbours::Suspect,
        )?;
        let orders = &plan.orders;
        let heads = match plan.map.is_joined() {
            true => None,
            false => {
                let near = Neighbours::Independent;
                Some(Survey::take(
                    &plan.folder,
                    &orders.source,
                    &orders.key,
                    near,
                )?)
            }
        };
        let both: Vec<&Survey> = heads.iter().chain([&lines]).collect();
        Ok(Self {
            order: Survey::common_order(&both),
            lines,
            heads,
        })
    }

    /// How many orders there are, unless the rows of one order stand apart: then it is too much.
    pub(crate) fn orders(&self) -> u64 {
        self.heads
            .as_ref()
            .map_or(self.lines.runs, |heads| heads.runs)
    }

    /// Whether a file has to be sorted first.
    pub(crate) fn needs_sorting(&self) -> bool {
        let mut surveys = self.heads.iter().chain([&self.lines]);
        surveys.any(|survey| !survey.follows(self.order))
    }

    fn groups<'p>(&self, plan: &'p Plan, reject: Reject<'_>) -> anyhow::Result<Groups<'p>> {
        let lines = &plan.lines;
        let lines = Ordered::open(
            &plan.folder,
            (&lines.source, &lines.order),
            Neighbours::Suspect,
            (&self.lines, self.order),
            reject,
        )?;
        let orders = &plan.orders;
        let heads = match &self.heads {
            None => None,
            Some(survey) => Some(Ordered::open(
                &plan.folder,
                (&orders.source, &orders.key),
                Neighbours::Independent,
                (survey, self.order),
                reject,
            )?),
        };
        Ok(Groups::new(self.order, heads, lines))
    }
}

/// Reads the orders and sends them off in batches, until all are read or nobody takes them any
/// more.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn produce(
    plan: &Plan,
    catalogue: &Catalogue,
    reading: &Reading,
    batch_size: usize,
    parcels: &mpsc::Sender<Parcel>,
) -> anyhow::Result<()> {
    let assembler = Assembler::new(plan, catalogue)?;
    let mut outlet = Outlet {
        parcels,
        parcel: Parcel::default(),
        next_index: 0,
        is_closed: false,
    };
    let mut groups = reading.groups(plan, &mut |rejection| outlet.reject(rejection))?;
    while let Some(group) = groups.next(&mut |rejection| outlet.reject(rejection))? {
        let assembled = assembler.assemble(&group, &mut |rejection| outlet.reject(rejection));
        outlet.parcel.tally.orders += u64::from(assembled != Assembled::Orphans);
        match assembled {
            Assembled::Ready { order, line } => outlet.push(order, line, batch_size)?,
            Assembled::Skipped => outlet.parcel.tally.skipped += 1,
            Assembled::Rejected => outlet.parcel.tally.rejected += 1,
            Assembled::Orphans => {}
        }
        if outlet.is_closed {
            return Ok(());
        }
    }
    outlet.send();
    Ok(())
}

/// Fills parcels.
struct Outlet<'a> {
    parcels: &'a mpsc::Sender<Parcel>,
    parcel: Parcel,
    next_index: u64,
    is_closed: bool,
}

impl Outlet<'_> {
    fn reject(&mut self, rejection: Rejection) {
        self.parcel.rejections.push(rejection);
        if self.parcel.rejections.len() >= MAX_WAITING_REJECTIONS {
            // The batch goes on being filled: where it is cut depends on the orders alone.
            let batch = self.parcel.batch.take();
            self.send();
            self.parcel.batch = batch;
        }
    }

    fn push(&mut self, order: OrderIn, line: u64, batch_size: usize) -> serde_json::Result<()> {
        let index = self.next_index;
        let batch = self.parcel.batch.get_or_insert_with(|| Batch {
            index,
            ..Batch::default()
        });
        batch.push(order, line)?;
        if batch.orders.len() >= batch_size || batch.text.len() >= MAX_BATCH_BYTES {
            self.next_index += 1;
            self.send();
        }
        Ok(())
    }

    fn send(&mut self) {
        let parcel = std::mem::take(&mut self.parcel);
        self.is_closed |= self.parcels.blocking_send(parcel).is_err();
    }
}

/// A rejection by the server of an order that was sent.
pub(crate) fn refused(label: &Arc<str>, sent: &Sent, code: &str, detail: &str) -> Rejection {
    Rejection {
        file: Arc::clone(label),
        line: sent.line,
        order: sent.external_id.clone(),
        code: code.to_owned(),
        reason: detail.to_owned(),
    }
}
