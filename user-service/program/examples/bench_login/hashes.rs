//! What `argon2` alone does: hashes at OWASP's floor on every processor, each in memory of its own
//! that is used again and again.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

/// OWASP's floor: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// Hashes per second of all processors together.
pub(crate) fn per_second(time: Duration) -> anyhow::Result<f64> {
    let processors = std::thread::available_parallelism()?.get();
    let started = Instant::now();
    let threads: Vec<_> = (0..processors)
        .map(|_| std::thread::spawn(move || hash_until(started + time)))
        .collect();
    let mut hashes = 0;
    for thread in threads {
        let counted = thread.join();
        hashes += counted.map_err(|_panic| anyhow::anyhow!("a hashing thread panicked"))??;
    }
    Ok(f64::from(hashes) / started.elapsed().as_secs_f64())
}

fn hash_until(end: Instant) -> anyhow::Result<u32> {
    let refused = |error: argon2::Error| anyhow::anyhow!("argon2: {error}");
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(refused)?;
    let mut memory = vec![Block::new(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; 32];
    let mut hashes = 0;
    while Instant::now() < end {
        argon2
            .hash_password_into_with_memory(
                b"the owner's long password",
                b"sixteen bytes of",
                &mut output,
                &mut memory,
            )
            .map_err(refused)?;
        hashes += 1;
    }
    Ok(hashes)
}
