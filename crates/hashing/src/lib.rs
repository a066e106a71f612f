//! Password hashes: argon2id in PHC string format, so many at a time and no more.
//!
//! Every hash takes its parameters' memory (19 MiB at OWASP's floor) and a processor for tens of
//! milliseconds. A semaphore bounds how many are computed at once, a second one how many logins wait
//! for a turn; whoever comes later is answered at once that the service is busy.

mod memory;
mod rounds;
mod threads;

use std::sync::Arc;
use std::time::Instant;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};
use ring::rand::{self, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::memory::MemoryPool;
use self::rounds::Rounds;
pub use self::threads::Lost;
use self::threads::Threads;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Cost of a password hash, and how many are computed at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashingSettings {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes of the memory.
    pub lanes: u32,
    /// Hashes at the same time; 0 is one per processor.
    pub parallel: usize,
    /// Logins that may wait for their turn.
    pub queue: usize,
}

impl HashingSettings {
    /// What is out of bounds, in words.
    pub fn faults(&self) -> impl Iterator<Item = &'static str> {
        let bounds = [
            (
                (1..=64).contains(&self.lanes)
                    && (8_192..=1_048_576).contains(&self.memory_kib)
                    && (1..=64).contains(&self.passes),
                "hashing.memory_kib must be from 8192 to 1048576, hashing.passes and hashing.lanes \
                 from 1 to 64",
            ),
            (
                self.parallel <= 256 && self.queue <= 10_000,
                "hashing.parallel must be at most 256 and hashing.queue at most 10000",
            ),
        ];
        bounds
            .into_iter()
            .filter_map(|(holds, fault)| (!holds).then_some(fault))
    }
}

/// Too many logins wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait to be checked")]
pub struct Busy;

/// A hash could not be computed: no memory, a damaged hash in the database, a fault of this program.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// Parameters that this build does not know.
    #[error("the parameters of a password hash cannot be read")]
    Params(#[from] argon2::password_hash::Error),
    /// No PHC string.
    #[error("a stored password hash cannot be read")]
    Stored(#[from] argon2::password_hash::phc::Error),
    /// Parameters out of bounds.
    #[error("argon2 refuses the parameters")]
    Argon2(#[from] argon2::Error),
    /// A PHC string without its last parts, which are optional there.
    #[error("a stored password hash lacks its salt or output")]
    Incomplete,
    /// The thread that computed it panicked.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The system allows no more threads.
    #[error("no thread can be started to hash on")]
    Threads(#[from] std::io::Error),
    /// The system has no randomness for a salt.
    #[error("there is no randomness for a salt")]
    NoRandomness,
}

/// Hashes and verifies passwords. Clones share the limits.
#[derive(Clone, Debug)]
pub struct Hasher(Arc<Inner>);

struct Inner {
    params: Params,
    memory: MemoryPool,
    threads: Threads,
    /// One permit per hash under way.
    turns: Arc<Semaphore>,
    /// One permit per login at the front of the line, which prepares for its turn.
    front: Arc<Semaphore>,
    /// One permit per login under way or waiting.
    places: Arc<Semaphore>,
    /// Where logins wait for each other that are done hashing.
    rounds: Rounds,
    /// Verified when there is no account, so that the answer takes as long.
    dummy: String,
}

/// The right to wait.
#[derive(Debug)]
pub struct Place {
    inner: Arc<Inner>,
    place: OwnedSemaphorePermit,
}

/// The right to prepare for a turn, which is near.
#[derive(Debug)]
pub struct Front {
    inner: Arc<Inner>,
    front: OwnedSemaphorePermit,
    place: OwnedSemaphorePermit,
}

/// The right to compute hashes one after the other.
#[derive(Debug)]
pub struct Turn {
    inner: Arc<Inner>,
    turn: OwnedSemaphorePermit,
    front: OwnedSemaphorePermit,
    place: OwnedSemaphorePermit,
}

/// What a stored hash says of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    /// It is the password's.
    pub matches: bool,
    /// Made with other parameters than today's.
    pub outdated: bool,
}

impl Hasher {
    /// A hasher with these limits, and its threads.
    ///
    /// # Errors
    /// When argon2 refuses the parameters, or the system a thread or randomness.
    pub fn new(settings: &HashingSettings) -> Result<Self, HashingError> {
        let params = Params::new(
            settings.memory_kib,
            settings.passes,
            settings.lanes,
            Some(HASH_BYTES),
        )?;
        let parallel = match settings.parallel {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        let dummy = dummy_hash(&params)?;
        Ok(Self(Arc::new(Inner {
            memory: MemoryPool::new(params.block_count()),
            threads: Threads::start(parallel)?,
            params,
            turns: Arc::new(Semaphore::new(parallel)),
            // Those who hash, as many who are ready to, and those who are done and wait for others.
            front: Arc::new(Semaphore::new(2 * parallel + rounds::ROUND)),
            places: Arc::new(Semaphore::new(parallel.saturating_add(settings.queue))),
            rounds: Rounds::default(),
            dummy,
        })))
    }

    /// Takes a place in the line.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn place(&self) -> Result<Place, Busy> {
        let inner = Arc::clone(&self.0);
        let place = Arc::clone(&inner.places).try_acquire_owned();
        let place = place.map_err(|_full| Busy)?;
        Ok(Place { inner, place })
    }

    /// Takes a place in the line and waits for its turn.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn turn(&self) -> Result<Turn, Busy> {
        Ok(self.place()?.front().await.turn().await)
    }

    /// A hash that no password matches.
    #[must_use]
    pub fn unmatched(&self) -> &str {
        &self.0.dummy
    }

    /// Gives memory back to the system that no hash has needed since the last call.
    pub fn release_unused_memory(&self) {
        self.0.memory.release_unused();
    }

    /// Gives all memory back to the system that no hash needs now.
    pub fn release_memory(&self) {
        self.0.memory.release();
    }
}

impl Place {
    /// Waits until the turn is near. Whoever waits here should hold little memory: there are many.
    pub async fn front(self) -> Front {
        let Self { inner, place } = self;
        let front = acquire(&inner.front).await;
        Front {
            inner,
            front,
            place,
        }
    }
}

impl Front {
    /// Waits for the turn. What can be done before is best done before: a turn without a hash under way
    /// leaves a processor without work.
    pub async fn turn(self) -> Turn {
        let Self {
            inner,
            front,
            place,
        } = self;
        let turn = acquire(&inner.turns).await;
        Turn {
            inner,
            turn,
            front,
            place,
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    permit.expect("the semaphores are never closed")
}

impl Turn {
    /// Compares `password` with a stored hash or, when there is none, with one that nothing matches.
    ///
    /// # Errors
    /// When the stored hash cannot be read, or the thread was lost.
    pub async fn verify(
        self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<(Self, Verification), HashingError> {
        self.blocking(move |inner| {
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(&inner.dummy))?;
            let equal = inner.matches(&password, &hash)?;
            Ok(Verification {
                matches: equal && stored.is_some(),
                outdated: is_outdated(&hash, &inner.params),
            })
        })
        .await
    }

    /// A hash of `password` with today's parameters and a new salt, in PHC string format.
    ///
    /// # Errors
    /// When there is no randomness, or the thread was lost.
    pub async fn hash(self, password: SecretString) -> Result<(Self, String), HashingError> {
        self.blocking(move |inner| {
            let salt = Salt::new(&random::<[u8; SALT_BYTES]>()?)?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, inner.params.clone());
            let output = inner.compute(&argon2, &password, &salt)?;
            Ok(to_phc(&inner.params, salt, output)?.to_string())
        })
        .await
    }

    /// Gives the turn up and, when others wait for it, goes on with a few who are done as well, after
    /// 50 ms at the latest: what is left to do of a login is cheaper done for several at once.
    pub async fn end(self) {
        let Self {
            inner,
            turn,
            front,
            place,
        } = self;
        drop(turn);
        // A turn that somebody waited for is theirs by now.
        let nobody_waits = inner.turns.available_permits() > 0;
        inner.rounds.join(nobody_waits).await;
        drop((front, place));
    }

    /// The permits go along, so that a caller who gives up does not let another hash start early.
    async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(&Inner) -> Result<T, HashingError> + Send + 'static,
    ) -> Result<(Self, T), HashingError> {
        let inner = Arc::clone(&self.inner);
        let task = inner.threads.run(move || {
            let started = Instant::now();
            let result = work(&self.inner);
            metrics::histogram!("user_password_hash_seconds")
                .record(started.elapsed().as_secs_f64());
            (self, result)
        });
        let (turn, result) = task.await?;
        Ok((turn, result?))
    }
}

impl Inner {
    fn matches(&self, password: &SecretString, hash: &PasswordHash) -> Result<bool, HashingError> {
        let algorithm = Algorithm::try_from(hash.algorithm.as_str())?;
        let version = hash.version.map(Version::try_from).transpose()?;
        let params = Params::try_from(hash)?;
        let argon2 = Argon2::new(algorithm, version.unwrap_or_default(), params);
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
            return Err(HashingError::Incomplete);
        };
        let output = self.compute(&argon2, password, salt)?;
        // Outputs are compared in constant time.
        Ok(output == *expected)
    }

    fn compute(
        &self,
        argon2: &Argon2<'_>,
        password: &SecretString,
        salt: &Salt,
    ) -> Result<Output, HashingError> {
        let params = argon2.params();
        let length = params.output_len().unwrap_or(HASH_BYTES);
        let password = password.expose_secret().as_bytes();
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length).ok_or(HashingError::Incomplete)?;
        self.memory.with(params.block_count(), |memory| {
            argon2.hash_password_into_with_memory(password, salt, output, memory)
        })?;
        Ok(Output::new(output)?)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher")
            .field("params", &self.params)
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

fn is_outdated(hash: &PasswordHash, params: &Params) -> bool {
    let version: u32 = Version::V0x13.into();
    hash.algorithm != ARGON2ID_IDENT
        || hash.version != Some(version)
        || Params::try_from(hash).ok().as_ref() != Some(params)
}

fn random<T: rand::RandomlyConstructable>() -> Result<T, HashingError> {
    let random = rand::generate(&SystemRandom::new());
    Ok(random
        .map_err(|_unspecified| HashingError::NoRandomness)?
        .expose())
}

/// A hash with these parameters that was never computed, so that no password is known to match.
fn dummy_hash(params: &Params) -> Result<String, HashingError> {
    let salt = Salt::new(&random::<[u8; SALT_BYTES]>()?)?;
    let output = Output::new(&random::<[u8; HASH_BYTES]>()?)?;
    Ok(to_phc(params, salt, output)?.to_string())
}

fn to_phc(params: &Params, salt: Salt, output: Output) -> Result<PasswordHash, HashingError> {
    Ok(PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(salt),
        hash: Some(output),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(passes: u32, parallel: usize, queue: usize) -> Hasher {
        let settings = HashingSettings {
            memory_kib: 8_192,
            passes,
            lanes: 1,
            parallel,
            queue,
        };
        Hasher::new(&settings).unwrap()
    }

    async fn verify(hasher: &Hasher, password: &str, stored: Option<&str>) -> Verification {
        let turn = hasher.turn().await.unwrap();
        let stored = stored.map(str::to_owned);
        turn.verify(password.into(), stored).await.unwrap().1
    }

    #[test]
    fn settings_have_bounds() {
        let settings = |memory_kib, parallel, queue| HashingSettings {
            memory_kib,
            passes: 1,
            lanes: 1,
            parallel,
            queue,
        };
        assert_eq!(settings(8_192, 256, 10_000).faults().count(), 0);
        let fault = |settings: HashingSettings| settings.faults().collect::<Vec<_>>().concat();
        assert!(fault(settings(8_191, 0, 0)).starts_with("hashing.memory_kib"));
        assert!(fault(settings(8_192, 257, 0)).starts_with("hashing.parallel"));
        assert!(fault(settings(8_192, 0, 10_001)).contains("hashing.queue"));
    }

    #[tokio::test]
    async fn a_hash_names_its_parameters_and_matches_its_password_alone() {
        let hasher = hasher(1, 1, 0);
        let turn = hasher.turn().await.unwrap();
        let (turn, hash) = turn.hash("correct horse".into()).await.unwrap();
        let (turn, other) = turn.hash("correct horse".into()).await.unwrap();
        drop(turn);
        assert!(hash.starts_with("$argon2id$v=19$m=8192,t=1,p=1$"), "{hash}");
        assert_ne!(hash, other, "each hash has its own salt");
        let check = async |password, stored, expected| {
            let verification = verify(&hasher, password, stored).await;
            assert_eq!(verification.matches, expected, "{password} {stored:?}");
            assert!(!verification.outdated, "{password} {stored:?}");
        };
        check("correct horse", Some(hash.as_str()), true).await;
        check("correct horsf", Some(&hash), false).await;
        check("", Some(&hash), false).await;
        check("correct horse", None, false).await;
    }

    #[tokio::test]
    async fn a_hash_is_the_one_that_others_compute() {
        use argon2::PasswordVerifier as _;
        let hasher = hasher(2, 1, 0);
        for password in ["correct horse", "battery staple"] {
            let turn = hasher.turn().await.unwrap();
            let (_turn, hash) = turn.hash(password.into()).await.unwrap();
            let hash = PasswordHash::new(&hash).unwrap();
            let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
            assert!(verified.is_ok(), "{password}");
        }
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_still_matches_and_is_outdated() {
        let turn = hasher(1, 1, 0).turn().await.unwrap();
        let (_turn, hash) = turn.hash("correct horse".into()).await.unwrap();
        let verification = verify(&hasher(2, 1, 0), "correct horse", Some(&hash)).await;
        assert_eq!(
            verification,
            Verification {
                matches: true,
                outdated: true
            }
        );
    }

    #[tokio::test]
    async fn whoever_finds_the_queue_full_is_told_at_once() {
        let hasher = hasher(1, 1, 1);
        let first = hasher.turn().await.unwrap();
        let mut second = Box::pin(hasher.turn());
        // Poll it once, so that it takes its place in the queue.
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        assert_eq!(hasher.turn().await.unwrap_err(), Busy);
        drop(first);
        drop(second.await.unwrap());
        assert!(hasher.turn().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_done_waits_for_others_only_while_there_are_some_in_line() {
        let hasher = hasher(1, 1, 1);
        let first = hasher.turn().await.unwrap();
        let mut second = Box::pin(hasher.turn());
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        let mut first = Box::pin(first.end());
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let mut second = Box::pin(second.await.unwrap().end());
        assert!(futures_util::poll!(second.as_mut()).is_ready());
        assert!(futures_util::poll!(first.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn few_prepare_for_their_turn_however_many_wait() {
        let hasher = hasher(1, 1, 20);
        let mut at_the_front = Vec::new();
        loop {
            let mut next = Box::pin(hasher.place().unwrap().front());
            match futures_util::poll!(next.as_mut()) {
                std::task::Poll::Ready(front) => at_the_front.push(front),
                std::task::Poll::Pending => break,
            }
        }
        assert_eq!(at_the_front.len(), 2 + rounds::ROUND);
        at_the_front.pop();
        drop(hasher.place().unwrap().front().await);
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_frees_the_turn_only_when_the_hash_is_done() {
        let hasher = hasher(50, 1, 0);
        let turn = hasher.turn().await.unwrap();
        let mut hashing = Box::pin(turn.hash("correct horse".into()));
        assert!(futures_util::poll!(hashing.as_mut()).is_pending());
        drop(hashing);
        // The permit comes back with the end of the hash, never before.
        assert_eq!(hasher.0.turns.available_permits(), 0);
        let next = Arc::clone(&hasher.0.turns).acquire_owned().await;
        assert!(next.is_ok());
    }
}
