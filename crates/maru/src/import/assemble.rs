//! From the rows of one order to the order that is sent, or to the reasons why not.
//!
//! An order is imported whole or not at all: one rejected line rejects it, and the report says so.

use std::sync::Arc;

use common::ids::{ItemId, StoreId};
use common::money::Money;
use csv::StringRecord;
use serde::Serialize;

use super::amount::{parse_money, parse_quantity, split_total};
use super::catalogue::{Catalogue, Store};
use super::groups::{Group, MAX_LINES, Piece};
use super::keyed::Body;
use super::moment::MomentReader;
use super::plan::{BoundPrice, Plan};
use super::report::{Reject, Rejection};

/// A historical order as order-service takes it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OrderIn {
    pub(crate) external_id: String,
    pub(crate) store_id: StoreId,
    pub(crate) channel: String,
    /// ISO 8601 without an offset: the clock of the store.
    pub(crate) placed_at_local: String,
    pub(crate) lines: Vec<LineIn>,
}

/// One line of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LineIn {
    pub(crate) item_id: ItemId,
    pub(crate) quantity: i64,
    pub(crate) unit_price: Money,
}

/// What became of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assembled {
    /// It can be sent; the line is the one of its head.
    Ready { order: OrderIn, line: u64 },
    /// The map leaves it out.
    Skipped,
    /// It has been reported.
    Rejected,
    /// Lines that belong to no order have been reported.
    Orphans,
}

/// A code and a reason.
type Fault = (&'static str, String);

/// Makes orders.
pub(crate) struct Assembler<'p> {
    plan: &'p Plan,
    catalogue: &'p Catalogue,
    moments: MomentReader,
    only_store: Option<&'p Store>,
}

/// Store, channel and time of an order.
#[derive(PartialEq, Eq)]
struct Head {
    store_id: StoreId,
    channel: String,
    placed_at_local: String,
}

impl<'p> Assembler<'p> {
    /// An assembler for this map and catalogue.
    ///
    /// # Errors
    /// When the map's zone is not known.
    pub(crate) fn new(plan: &'p Plan, catalogue: &'p Catalogue) -> anyhow::Result<Self> {
        let mut stores = catalogue.stores.values();
        Ok(Self {
            plan,
            catalogue,
            moments: MomentReader::new(&plan.map.orders.placed_at)?,
            only_store: stores.next(),
        })
    }

    /// Makes one order.
    pub(crate) fn assemble(&self, group: &Group, reject: Reject<'_>) -> Assembled {
        let mut report = Reporter {
            assembler: self,
            key: &group.key,
            reject,
        };
        if self.plan.map.is_joined() {
            return self.assemble_rows(group, &mut report);
        }
        let Some(head) = group.heads.first() else {
            return report_orphans(group, &mut report);
        };
        if group.heads.iter().any(|piece| piece.body == Body::Broken) {
            return Assembled::Rejected;
        }
        if let [first, second, ..] = group.heads.as_slice() {
            let reason = format!(
                "the order comes again on line {} with other content",
                second.line
            );
            report.head(first.line, "duplicate_order", reason);
            let reason = format!("the order stands on line {} with other content", first.line);
            report.head(second.line, "duplicate_order", reason);
            return Assembled::Rejected;
        }
        let Body::Fields(fields) = &head.body else {
            return Assembled::Skipped;
        };
        let read = self.read_head(fields);
        self.complete(group, head.line, read, &mut report)
    }

    /// Makes an order whose every row says who, when and what.
    fn assemble_rows(&self, group: &Group, report: &mut Reporter<'_>) -> Assembled {
        let mut first: Option<(u64, Result<Head, Fault>)> = None;
        for piece in &group.lines {
            let Body::Fields(fields) = &piece.body else {
                continue;
            };
            let head = self.read_head(fields);
            match (&first, &head) {
                (None, _) => first = Some((piece.line, head)),
                (Some((_, Ok(known))), Ok(head)) if known == head => {}
                (Some((_, Err(_))), _) => {}
                (Some((line, Ok(_))), Err((code, reason))) => {
                    report.line(piece.line, code, reason.clone());
                    let reason = format!("its row on line {} is rejected", piece.line);
                    report.head(*line, "order_incomplete", whole(&reason));
                    return Assembled::Rejected;
                }
                (Some((line, Ok(_))), Ok(_)) => {
                    let reason = format!("says another store, channel or time than line {line}");
                    report.head(piece.line, "duplicate_order", reason);
                    let reason = format!("its row on line {} says something else", piece.line);
                    report.head(*line, "duplicate_order", whole(&reason));
                    return Assembled::Rejected;
                }
            }
        }
        match first {
            Some((line, head)) => self.complete(group, line, head, report),
            None if group.lines.iter().all(|piece| piece.body == Body::Skipped) => {
                Assembled::Skipped
            }
            None => Assembled::Rejected,
        }
    }

    /// Adds the lines; reports everything that is wrong with head and lines.
    fn complete(
        &self,
        group: &Group,
        head_line: u64,
        head: Result<Head, Fault>,
        report: &mut Reporter<'_>,
    ) -> Assembled {
        let mut lines = Vec::new();
        let mut faulty = None;
        for piece in &group.lines {
            match self.read_line(piece) {
                Ok(parts) => lines.extend(parts),
                Err(fault) => {
                    faulty = faulty.or(Some(piece.line));
                    if let Some((code, reason)) = fault {
                        report.line(piece.line, code, reason);
                    }
                }
            }
        }
        match head.and_then(|head| self.no_reason_against(group, faulty).map(|()| head)) {
            Err((code, reason)) => {
                report.head(head_line, code, reason);
                Assembled::Rejected
            }
            Ok(_) if lines.is_empty() => Assembled::Skipped,
            Ok(head) => Assembled::Ready {
                order: OrderIn {
                    external_id: group.key.clone(),
                    store_id: head.store_id,
                    channel: head.channel,
                    placed_at_local: head.placed_at_local,
                    lines,
                },
                line: head_line,
            },
        }
    }

    /// Whether the lines of an order allow it; `faulty` is the first one that is rejected.
    fn no_reason_against(&self, group: &Group, faulty: Option<u64>) -> Result<(), Fault> {
        if let Some(line) = faulty {
            let label = &self.plan.lines.source.label;
            let reason = whole(&format!("line {line} of {label} is rejected"));
            return Err(("order_incomplete", reason));
        }
        if group.lines_beyond > 0 {
            let count = u64::try_from(group.lines.len()).unwrap_or(0) + group.lines_beyond;
            return Err((
                "too_many_lines",
                format!("{count} lines; at most {MAX_LINES}"),
            ));
        }
        if group.lines.is_empty() {
            let reason = "no line belongs to this order".to_owned();
            return Err(("order_without_lines", reason));
        }
        Ok(())
    }

    fn read_head(&self, fields: &StringRecord) -> Result<Head, Fault> {
        let orders = &self.plan.orders;
        let rows = orders.source.join(fields).map_err(unknown_reference)?;
        let store = match &orders.store {
            None => self.only_store.ok_or_else(|| unknown_store("")),
            Some(store) => {
                let key = store.value(&rows).map_err(invalid)?;
                let known = self.catalogue.stores.get(key.as_ref());
                known.ok_or_else(|| unknown_store(&key))
            }
        }?;
        let placed_at = orders.placed_at.value(&rows).map_err(invalid)?;
        let local = self.moments.read(&placed_at, &store.zone);
        Ok(Head {
            store_id: store.id,
            channel: orders.channel.value(&rows).map_err(invalid)?.into_owned(),
            placed_at_local: local.map_err(|what| ("invalid_date", what))?.to_string(),
        })
    }

    /// The parts of one line: none when it is left out, two when its total does not divide evenly.
    ///
    /// The fault is `None` for a row that has been reported already.
    fn read_line(&self, piece: &Piece) -> Result<Vec<LineIn>, Option<Fault>> {
        match &piece.body {
            Body::Skipped => Ok(Vec::new()),
            Body::Broken => Err(None),
            Body::Fields(fields) => self.read_fields(fields).map_err(Some),
        }
    }

    fn read_fields(&self, fields: &StringRecord) -> Result<Vec<LineIn>, Fault> {
        let (lines, map) = (&self.plan.lines, &self.plan.map);
        let rows = lines.source.join(fields).map_err(unknown_reference)?;
        let key = lines.item.value(&rows).map_err(invalid)?;
        let item = self.catalogue.items.get(key.as_ref());
        let item = item.ok_or_else(|| ("unknown_item", format!("`{key}` is not on the menu")))?;
        let quantity = lines.quantity.value(&rows).map_err(invalid)?;
        let quantity = parse_quantity(&quantity).map_err(|what| ("invalid_quantity", what))?;
        let amount = |bound: &super::template::Bound| {
            let text = bound.value(&rows).map_err(invalid)?;
            parse_money(&text, &map.numbers, map.currency.exponent())
                .map_err(|what| ("invalid_price", what))
        };
        let parts = match &lines.price {
            BoundPrice::OfMenu => vec![(quantity, item.price.amount)],
            BoundPrice::Unit(price) => vec![(quantity, amount(price)?)],
            BoundPrice::Total(total) => split_total(amount(total)?, quantity),
        };
        let part = |(quantity, price)| LineIn {
            item_id: item.id,
            quantity,
            unit_price: Money::new(price, map.currency),
        };
        Ok(parts.into_iter().map(part).collect())
    }
}

fn whole(reason: &str) -> String {
    format!("the order is rejected as a whole: {reason}")
}

fn unknown_reference(what: String) -> Fault {
    ("unknown_reference", what)
}

fn unknown_store(key: &str) -> Fault {
    ("unknown_store", format!("no store `{key}`"))
}

fn invalid(error: super::template::NoValue) -> Fault {
    ("invalid_value", error.to_string())
}

fn report_orphans(group: &Group, report: &mut Reporter<'_>) -> Assembled {
    for piece in &group.lines {
        if matches!(piece.body, Body::Fields(_)) {
            let reason = format!("no order `{}`", group.key);
            report.line(piece.line, "line_without_order", reason);
        }
    }
    if let (Some(last), 1..) = (group.lines.last(), group.lines_beyond) {
        let reason = format!(
            "no order `{}`; {} more such lines",
            group.key, group.lines_beyond
        );
        report.line(last.line, "line_without_order", reason);
    }
    Assembled::Orphans
}

/// Reports the rows of one order.
struct Reporter<'a> {
    assembler: &'a Assembler<'a>,
    key: &'a str,
    reject: Reject<'a>,
}

impl Reporter<'_> {
    fn head(&mut self, line: u64, code: &str, reason: String) {
        let file = Arc::clone(&self.assembler.plan.orders.source.label);
        self.row(file, line, code, reason);
    }

    fn line(&mut self, line: u64, code: &str, reason: String) {
        let file = Arc::clone(&self.assembler.plan.lines.source.label);
        self.row(file, line, code, reason);
    }

    fn row(&mut self, file: Arc<str>, line: u64, code: &str, reason: String) {
        (self.reject)(Rejection {
            file,
            line,
            order: self.key.to_owned(),
            code: code.to_owned(),
            reason,
        });
    }
}
