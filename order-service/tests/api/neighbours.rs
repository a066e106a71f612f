//! Stand-ins for inventory-service and payment-service: they keep the books of every order as the
//! protocol says, and fail where a test tells them to.

mod inventory;
mod payment;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::inventory_v1::inventory_commands_server::InventoryCommandsServer;
use contracts::payment_v1::payment_commands_server::PaymentCommandsServer;
use resilience::grpc::{Guarded, serve_grpc, server_builder};
use testkit::{TestIdentity, wait_until};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;

/// One way in which a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// `UNAVAILABLE`, and nothing was done.
    FailBefore,
    /// `UNAVAILABLE`, although it was done.
    FailAfter,
    /// No answer in time, and nothing was done.
    TimeoutBefore,
    /// No answer in time, although it was done.
    TimeoutAfter,
    /// The protocol's refusal: out of stock, declined, expired, failed.
    Refuse,
    /// `INVALID_ARGUMENT`: never, for a reason outside the protocol.
    Reject,
    /// Payment only: the provider's answer is unknown, although it was done.
    Unknown,
    /// Waits until the test goes on, then does it and answers.
    HoldBefore,
    /// Does it, waits until the test goes on, then answers.
    HoldAfter,
}

/// What an order has in stock and money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) held: bool,
    pub(crate) committed: bool,
    pub(crate) released: bool,
    pub(crate) restocked: bool,
    pub(crate) expired: bool,
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) declined: bool,
    pub(crate) voided: bool,
    pub(crate) token: String,
    pub(crate) method: String,
    /// How often each effect was made; more than once is a defect of the stand-in.
    pub(crate) reserved_lines: Vec<(String, i64)>,
    /// The date at the store by which stock was asked for.
    pub(crate) store_date: String,
}

impl Books {
    /// Neither stock nor money is kept.
    pub(crate) fn is_clean(&self) -> bool {
        !self.held && !self.committed && self.authorized == 0 && self.captured == self.refunded
    }
}

#[derive(Default)]
struct State {
    books: HashMap<String, Books>,
    /// Step → what goes wrong with its next calls, one each.
    troubles: HashMap<&'static str, VecDeque<Trouble>>,
    /// Step → what goes wrong with every call that has no trouble of its own.
    lasting: HashMap<&'static str, Trouble>,
    /// Every command as it came: step and command id.
    commands: Vec<(&'static str, String)>,
    /// Each command is handled this many times more, as a network that repeats would have it.
    repeats: usize,
}

/// What both stand-ins share with the test.
#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    held_calls: watch::Sender<usize>,
    go_on: watch::Sender<u64>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            held_calls: watch::Sender::new(0),
            go_on: watch::Sender::new(0),
        }
    }

    /// The next calls of `step` go wrong like this, one after the other.
    pub(crate) fn trouble(&self, step: &'static str, troubles: &[Trouble]) {
        let mut state = self.state();
        state.troubles.entry(step).or_default().extend(troubles);
    }

    /// Every call of `step` goes wrong like this from now on.
    pub(crate) fn lasting_trouble(&self, step: &'static str, trouble: Trouble) {
        self.state().lasting.insert(step, trouble);
    }

    /// Ends all trouble.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.troubles.clear();
        state.lasting.clear();
    }

    /// Handles each command this many times more.
    pub(crate) fn repeat_commands(&self, times: usize) {
        self.state().repeats = times;
    }

    /// Waits until a call is held.
    pub(crate) async fn wait_for_held_call(&self) {
        let mut held = self.held_calls.subscribe();
        wait_until("a call that is held", || {
            let held = *held.borrow_and_update() > 0;
            std::future::ready(held)
        })
        .await;
    }

    /// Lets every held call go on.
    pub(crate) fn go_on(&self) {
        self.go_on.send_modify(|round| *round += 1);
    }

    /// Everything held falls back to the stock.
    pub(crate) fn expire_holds(&self) {
        for books in self.state().books.values_mut().filter(|books| books.held) {
            (books.held, books.expired) = (false, true);
        }
    }

    pub(crate) fn books(&self, order: &str) -> Books {
        self.state().books.get(order).cloned().unwrap_or_default()
    }

    /// The steps that were commanded, in order of arrival, questions included.
    pub(crate) fn steps(&self) -> Vec<&'static str> {
        self.state()
            .commands
            .iter()
            .map(|(step, _)| *step)
            .collect()
    }

    /// How often a step was commanded.
    pub(crate) fn count(&self, step: &str) -> usize {
        self.steps()
            .into_iter()
            .filter(|known| *known == step)
            .count()
    }

    /// Steps and command ids, in order of arrival.
    pub(crate) fn commands(&self) -> Vec<(&'static str, String)> {
        self.state().commands.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles one call: notes it, and does what `handle` says, or what the trouble is.
    async fn call<T>(
        &self,
        (step, command_id): (&'static str, &str),
        order: &str,
        handle: impl Fn(&mut Books, Option<Trouble>) -> T,
    ) -> Result<T, Status> {
        let (trouble, repeats) = {
            let mut state = self.state();
            state.commands.push((step, command_id.to_owned()));
            let next = state.troubles.get_mut(step).and_then(VecDeque::pop_front);
            let trouble = next.or_else(|| state.lasting.get(step).copied());
            (trouble, state.repeats)
        };
        let perform = || {
            let mut state = self.state();
            let books = state.books.entry(order.to_owned()).or_default();
            for _ in 0..repeats {
                handle(books, trouble);
            }
            handle(books, trouble)
        };
        match trouble {
            None | Some(Trouble::Refuse | Trouble::Unknown) => Ok(perform()),
            Some(Trouble::FailBefore) => Err(Status::unavailable("told to fail")),
            Some(Trouble::FailAfter) => {
                perform();
                Err(Status::unavailable("told to fail afterwards"))
            }
            Some(Trouble::Reject) => Err(Status::invalid_argument("told to reject")),
            Some(Trouble::TimeoutBefore) => never().await,
            Some(Trouble::TimeoutAfter) => {
                perform();
                never().await
            }
            Some(Trouble::HoldBefore) => {
                self.hold().await;
                Ok(perform())
            }
            Some(Trouble::HoldAfter) => {
                let reply = perform();
                self.hold().await;
                Ok(reply)
            }
        }
    }

    async fn hold(&self) {
        let mut rounds = self.go_on.subscribe();
        let before = *rounds.borrow_and_update();
        self.held_calls.send_modify(|held| *held += 1);
        let _ = rounds.wait_for(|round| *round > before).await;
        self.held_calls.send_modify(|held| *held -= 1);
    }

    /// Serves both stand-ins on a free port until the test ends; returns the address.
    pub(crate) async fn serve(&self, identity: &TestIdentity) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let guard = |_: &()| identity.verifier();
        let inventory = InventoryCommandsServer::new(inventory::Inventory(self.clone()));
        let payment = PaymentCommandsServer::new(payment::Payment(self.clone()));
        let router = server_builder()
            .add_service(Guarded::new(inventory, guard(&()), &["order"]))
            .add_service(Guarded::new(payment, guard(&()), &["order"]));
        tokio::spawn(serve_grpc(listener, router, std::future::pending()));
        format!("http://{address}")
    }
}

/// Longer than any caller waits.
async fn never<T>() -> Result<T, Status> {
    tokio::time::sleep(Duration::from_secs(60)).await;
    Err(Status::deadline_exceeded("told to be silent"))
}
