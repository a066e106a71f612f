//! One service: its instances, and what guards all of them together.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use metrics::SharedString;
use resilience::{Breaker, Bulkhead, RetryBudget};
use tokio::sync::Notify;

use super::address::Address;
use super::instance::{InFlight, Instance};
use super::policy::Policy;
use crate::balance::{Candidate, Chooser, Dice, Fault, Ring};
use crate::status::ServiceStatus;

/// The instance id of the address in the settings.
pub(crate) const SEED_ID: &str = "settings";

/// An instance as the registry has it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) address: Address,
    pub(crate) weight: u32,
    pub(crate) status: ServiceStatus,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Arc<Instance>>,
    ring: Ring,
}

impl Members {
    fn of(list: Vec<Arc<Instance>>) -> Self {
        let ring = Ring::of(list.iter().map(|one| (one.id(), one.weight())));
        Self { list, ring }
    }
}

/// A service behind the gateway.
#[derive(Debug)]
pub(crate) struct Service {
    name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) breaker: Breaker,
    pub(crate) bulkhead: Bulkhead,
    pub(crate) budget: RetryBudget,
    /// The address of the settings; it is used as long as no instance is registered.
    seed: Option<Arc<Instance>>,
    members: ArcSwap<Members>,
    /// Told of every instance that was not in the list before.
    arrival: Notify,
    chooser: Chooser,
    ejecting: Mutex<()>,
}

/// An instance that was chosen for a request, which counts as under way at it.
pub(crate) struct Selection {
    pub(crate) instance: Arc<Instance>,
    pub(crate) in_flight: InFlight,
}

/// How a request ended, as far as it is the instance's doing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// An answer to this request.
    Answered(Duration),
    /// "Too many requests": it works, and wants fewer of them.
    Refused(Option<Duration>),
    /// A fault of its own, which may be due to this request: it gets fewer of them, and is not left
    /// alone for what one client can bring about.
    Erred,
    /// It cannot work now, by its own word or silence.
    Failed(Fault, Option<Duration>),
}

impl Service {
    pub(super) fn new(name: &str, policy: Policy, seed: Option<Address>) -> Self {
        let checked = "policies are checked when they are read";
        let seed = seed.map(|address| {
            let label = SharedString::const_str(SEED_ID);
            Arc::new(Instance::new(SEED_ID, address, label, &policy))
        });
        let members = Members::of(seed.iter().cloned().collect());
        Self {
            name: name.into(),
            breaker: Breaker::try_new(name, policy.breaker).expect(checked),
            bulkhead: Bulkhead::try_new(policy.bulkhead).expect(checked),
            budget: RetryBudget::try_new(policy.budget).expect(checked),
            policy,
            seed,
            members: ArcSwap::from_pointee(members),
            arrival: Notify::new(),
            chooser: Chooser::new(Dice::from_entropy()),
            ejecting: Mutex::default(),
        }
    }

    /// The short name, such as `order`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its name as the label of a time series; the number of services is bounded.
    pub(crate) fn label(&self) -> SharedString {
        SharedString::from_shared(Arc::clone(&self.name))
    }

    /// Its instances: those that are registered, or the address of the settings when none is.
    pub(crate) fn instances(&self) -> Vec<Arc<Instance>> {
        self.members().list.clone()
    }

    /// The instance that is asked about the service itself: its health, its document.
    pub(crate) fn representative(&self) -> Option<Arc<Instance>> {
        let members = self.members();
        let usable = members.list.iter().find(|one| one.is_usable());
        usable.or_else(|| members.list.first()).cloned()
    }

    /// Whether it stands in the settings.
    pub(crate) const fn is_from_settings(&self) -> bool {
        self.seed.is_some()
    }

    /// Whether there is nowhere to find it.
    pub(crate) fn is_empty(&self) -> bool {
        self.members().list.is_empty()
    }

    /// Takes over the list of the registry. An instance that stands in both lists keeps all that is
    /// known of it.
    pub(super) fn replace(&self, members: &[Member], label: impl Fn(&str) -> SharedString) {
        let before = self.members();
        let kept = |member: &Member| {
            let same = before.list.iter().find(|known| {
                known.id() == member.id && known.address().authority() == member.address.authority()
            });
            same.cloned()
        };
        let mut list: Vec<Arc<Instance>> = Vec::with_capacity(members.len());
        let (mut back, mut came) = (false, false);
        for member in members {
            let instance = kept(member).unwrap_or_else(|| {
                came = true;
                let label = label(&member.id);
                let address = member.address.clone();
                Arc::new(Instance::new(&member.id, address, label, &self.policy))
            });
            instance.set_weight(member.weight);
            back |= instance.set_status(member.status);
            list.push(instance);
        }
        if list.is_empty() {
            list.extend(self.seed.clone());
        }
        self.members.store(Arc::new(Members::of(list)));
        if back {
            self.breaker.probe_now();
        }
        if came {
            self.arrival.notify_one();
        }
    }

    /// Comes back when an instance has been registered since the last call. For one waiter.
    pub(crate) async fn arrival(&self) {
        self.arrival.notified().await;
    }

    /// Chooses an instance that is not among `tried`; `None` when there is no usable one.
    pub(crate) fn select(&self, key: Option<u64>, tried: &[Arc<Instance>]) -> Option<Selection> {
        let members = self.members();
        let usable = members.list.iter().filter(|one| one.is_usable()).count();
        let total = members.list.len();
        let panics = usable * 100 < total * self.policy.panic_percent as usize;
        let untried = |one: &Arc<Instance>| !tried.iter().any(|other| Arc::ptr_eq(one, other));
        let candidates_of = |admits: &dyn Fn(&Arc<Instance>) -> bool| -> Vec<Candidate> {
            let eligible = members.list.iter().enumerate();
            eligible
                .filter(|(_, one)| admits(one))
                .map(|(place, one)| one.candidate(place, self.policy.slow_start))
                .collect()
        };
        let mut candidates = candidates_of(&|one| (panics || one.is_usable()) && untried(one));
        if candidates.is_empty() && tried.is_empty() {
            // Those that it was ejected beside have gone: one that failed is better than none.
            candidates = candidates_of(&|one| one.is_willing());
        }
        let chosen = self
            .chooser
            .choose(self.policy.balance, &candidates, &members.ring, key)?;
        let instance = Arc::clone(members.list.get(chosen)?);
        Some(Selection {
            in_flight: instance.begin(),
            instance,
        })
    }

    /// Takes into account how a request to an instance ended.
    pub(crate) fn settle(&self, instance: &Arc<Instance>, outcome: Outcome) {
        match outcome {
            Outcome::Answered(took) => instance.answered(took),
            Outcome::Refused(retry_after) => instance.refused(retry_after),
            Outcome::Erred => instance.refused(None),
            Outcome::Failed(fault, retry_after) => {
                if instance.failed(fault, retry_after, &self.policy) {
                    self.eject(instance);
                }
            }
        }
    }

    /// Leaves an instance alone for a while, unless too many are, or nobody would be left.
    fn eject(&self, instance: &Arc<Instance>) {
        // Two workers that counted at the same time could leave nobody.
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members();
        let ejected = members.list.iter().filter(|one| one.is_ejected()).count();
        let others = members
            .list
            .iter()
            .filter(|one| !Arc::ptr_eq(one, instance));
        let others = others.filter(|one| one.is_usable()).count();
        if instance.is_ejected()
            || others == 0
            || ejected >= self.policy.outlier.most_ejected(members.list.len())
        {
            return;
        }
        let length = instance.eject(&self.policy);
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        metrics::counter!("gateway_ejections_total", "service" => self.label()).increment(1);
        tracing::warn!(
            service = self.name(),
            instance.id = instance.id(),
            length_ms,
            "an instance that fails is left alone for a while"
        );
    }

    fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::balance::Balance;
    use crate::directory::policy::Policies;

    fn service(count: usize, change: impl FnOnce(&mut Policy)) -> Service {
        let loaded = common::settings::load::<crate::OwnSettings>("gateway", crate::DEFAULTS, []);
        let policies = Policies::load(&loaded.unwrap().own.resilience).unwrap();
        let mut policy = policies.of("test").clone();
        change(&mut policy);
        let service = Service::new("test", policy, None);
        service.replace(&members(count), |_| "x".into());
        service
    }

    fn members(count: usize) -> Vec<Member> {
        let member = |number: usize| Member {
            id: format!("i{number}"),
            address: Address::parse(&format!("http://127.0.0.1:{}", 1000 + number)).unwrap(),
            weight: 1,
            status: ServiceStatus::Unknown,
        };
        (0..count).map(member).collect()
    }

    fn chosen(service: &Service, calls: usize) -> Vec<String> {
        let choice = |_| {
            service
                .select(None, &[])
                .map(|chosen| chosen.instance.id().to_owned())
        };
        (0..calls).filter_map(choice).collect()
    }

    fn set_status(service: &Service, count: usize, unhealthy: &[usize]) {
        let mut list = members(count);
        for (number, member) in list.iter_mut().enumerate() {
            member.status = match unhealthy.contains(&number) {
                true => ServiceStatus::Unhealthy,
                false => ServiceStatus::Healthy,
            };
        }
        service.replace(&list, |_| "x".into());
    }

    const REFUSED: Outcome = Outcome::Failed(Fault::Unreachable, None);

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_fails_is_left_alone_and_then_tried_again() {
        let service = service(4, |_| {});
        let dead = service.instances()[2].clone();
        service.settle(&dead, REFUSED);
        assert!(!chosen(&service, 200).contains(&"i2".to_owned()));
        tokio::time::advance(service.policy.outlier.base_ejection).await;
        assert!(!dead.is_ejected());
        // It starts over: beside others that are slower than what is assumed of it, it is asked.
        for other in service.instances().iter().filter(|one| one.id() != "i2") {
            service.settle(other, Outcome::Answered(Duration::from_millis(40)));
        }
        assert!(chosen(&service, 200).contains(&"i2".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn half_may_be_ejected_and_the_last_one_never() {
        let four = service(4, |_| {});
        for instance in four.instances() {
            four.settle(&instance, REFUSED);
        }
        let ejected = |service: &Service| {
            service
                .instances()
                .iter()
                .filter(|one| one.is_ejected())
                .count()
        };
        assert_eq!(ejected(&four), 2);
        let alone = service(1, |_| {});
        alone.settle(&alone.instances()[0], REFUSED);
        assert_eq!((ejected(&alone), chosen(&alone, 3).len()), (0, 3));
        // Of two, one is down by its check: the other is the last one.
        let two = service(2, |_| {});
        set_status(&two, 2, &[0]);
        two.settle(&two.instances()[1], REFUSED);
        assert_eq!(chosen(&two, 2), ["i1", "i1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ejected_instance_that_is_left_alone_is_asked_all_the_same() {
        // The other one leaves.
        let left = service(2, |_| {});
        left.settle(&left.instances()[0], REFUSED);
        assert_eq!(chosen(&left, 2), ["i1", "i1"]);
        left.replace(&members(1), |_| "x".into());
        assert!(left.instances()[0].is_ejected());
        assert_eq!(chosen(&left, 2), ["i0", "i0"]);
        // The other one is down by its check, or by its own word.
        let down = service(2, |_| {});
        down.settle(&down.instances()[0], REFUSED);
        set_status(&down, 2, &[1]);
        assert_eq!(chosen(&down, 2), ["i0", "i0"]);
        set_status(&down, 2, &[]);
        down.instances()[1].set_refuses_work(true);
        assert_eq!(chosen(&down, 2), ["i0", "i0"]);
        // What was tried is not tried again, and what cannot work is not asked.
        assert!(down.select(None, &[down.instances()[1].clone()]).is_none());
        set_status(&down, 2, &[0, 1]);
        assert!(down.select(None, &[]).is_none());
    }

    #[test]
    fn workers_that_eject_at_the_same_time_leave_one() {
        let service = service(2, |_| {});
        let instances = service.instances();
        for round in 0..500 {
            set_status(&service, 2, &[0, 1]);
            set_status(&service, 2, &[]);
            let ready = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for instance in &instances {
                    scope.spawn(|| {
                        ready.fetch_add(1, Ordering::SeqCst);
                        while ready.load(Ordering::SeqCst) < 2 {
                            std::thread::yield_now();
                        }
                        service.settle(instance, REFUSED);
                    });
                }
            });
            let ejected = instances.iter().filter(|one| one.is_ejected()).count();
            assert_eq!(ejected, 1, "round {round}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_an_instance_survives_changes_of_the_list() {
        let service = service(3, |_| {});
        let dead = service.instances()[0].clone();
        service.settle(&dead, REFUSED);
        service.replace(&members(4), |_| "x".into());
        assert!(Arc::ptr_eq(&dead, &service.instances()[0]) && dead.is_ejected());
        let mut moved = members(4);
        moved[0].address = Address::parse("http://127.0.0.1:9").unwrap();
        service.replace(&moved, |_| "x".into());
        assert!(
            !service.instances()[0].is_ejected(),
            "it is another one now"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn unhealthy_instances_are_asked_only_in_a_panic() {
        let calm = service(3, |_| {});
        let panicking = service(3, |policy| policy.panic_percent = 50);
        for service in [&calm, &panicking] {
            set_status(service, 3, &[0, 1]);
        }
        assert!(chosen(&calm, 50).iter().all(|id| id == "i2"));
        assert!(chosen(&panicking, 50).iter().any(|id| id != "i2"));
        set_status(&calm, 3, &[0, 1, 2]);
        assert!(calm.select(None, &[]).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_turns_good_ends_an_ejection() {
        let service = service(2, |_| {});
        let instance = service.instances()[0].clone();
        service.settle(&instance, REFUSED);
        set_status(&service, 2, &[0]);
        assert!(instance.is_ejected());
        set_status(&service, 2, &[]);
        assert!(!instance.is_ejected());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_tried_is_not_tried_again() {
        let service = service(2, |_| {});
        let first = service.select(None, &[]).unwrap().instance;
        let second = service
            .select(None, std::slice::from_ref(&first))
            .unwrap()
            .instance;
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(service.select(None, &[first, second]).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_instance_starts_with_a_tenth_of_its_share() {
        let slow_start = Duration::from_secs(10);
        let service = service(1, |policy| {
            policy.slow_start = slow_start;
            policy.balance = Balance::RoundRobin;
        });
        tokio::time::advance(slow_start).await;
        service.replace(&members(2), |_| "x".into());
        let share = |service: &Service| {
            chosen(service, 2_000)
                .iter()
                .filter(|id| *id == "i1")
                .count()
        };
        assert!((100..320).contains(&share(&service)));
        tokio::time::advance(slow_start).await;
        assert_eq!(share(&service), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_as_under_way_until_it_is_over() {
        let service = service(1, |_| {});
        let selection = service.select(None, &[]).unwrap();
        assert_eq!(selection.instance.in_flight(), 1);
        drop(selection.in_flight);
        assert_eq!(selection.instance.in_flight(), 0);
    }
}
