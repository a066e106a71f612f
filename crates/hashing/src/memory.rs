//! The memory that hashes are computed in: as many buffers as hashes under way, kept while logins
//! come in and given back to the system when they stop.
//!
//! A fresh buffer costs a good part of a hash, because the system hands out its pages one by one. And
//! argon2 reads all over its buffer, more pages of 4 KiB than the processor remembers the addresses
//! of: Linux is asked for pages of 2 MiB, which make a hash some percent cheaper.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use argon2::Block;

/// From 32 MiB on, the GNU allocator gives a buffer a mapping of its own and returns it to the
/// system as soon as it is freed (`M_MMAP_THRESHOLD` in mallopt(3)); smaller ones it may keep for
/// ever, one for each thread. What is reserved beyond a buffer's length is never touched.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// Buffers of one size.
pub(super) struct MemoryPool {
    blocks: usize,
    idle: Mutex<Vec<Vec<Block>>>,
    used: AtomicBool,
}

impl MemoryPool {
    /// Buffers of `blocks` KiB.
    pub(super) const fn new(blocks: usize) -> Self {
        Self {
            blocks,
            idle: Mutex::new(Vec::new()),
            used: AtomicBool::new(false),
        }
    }

    /// Runs `work` with at least `blocks` KiB of memory, whose content is arbitrary.
    pub(super) fn with<T>(&self, blocks: usize, work: impl FnOnce(&mut Vec<Block>) -> T) -> T {
        if blocks > self.blocks {
            // A hash with larger parameters than today's; the next login replaces it.
            return work(&mut allocate(blocks));
        }
        let pooled = self.idle().pop();
        let mut memory = pooled.unwrap_or_else(|| allocate(self.blocks));
        let result = work(&mut memory);
        self.used.store(true, Ordering::Relaxed);
        self.idle().push(memory);
        result
    }

    /// Gives idle buffers back to the system unless one was used since the last call.
    pub(super) fn release_unused(&self) {
        if !self.used.swap(false, Ordering::Relaxed) {
            self.release();
        }
    }

    /// Gives all idle buffers back to the system.
    pub(super) fn release(&self) {
        *self.idle() = Vec::new();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.idle.lock().expect("no code panics while holding it")
    }
}

fn allocate(blocks: usize) -> Vec<Block> {
    let mut memory = Vec::<Block>::with_capacity(blocks.max(RESERVED_BLOCKS));
    // Before the first write, which is what the system hands out pages for.
    kevy_madvise::advise_hugepage(memory.as_ptr().cast(), blocks * Block::SIZE);
    memory.resize(blocks, Block::new());
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_buffer_asks_for_large_pages() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            println!("this system has none");
            return;
        }
        let memory = allocate(8 * 1024);
        let middle = memory.as_ptr().addr() + 4 * 1024 * Block::SIZE;
        let (mut is_ours, mut flags) = (false, None);
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            let parse = |address| usize::from_str_radix(address, 16).ok();
            let range = line.split(' ').next().and_then(|word| word.split_once('-'));
            if let Some((start, end)) = range.and_then(|(a, b)| parse(a).zip(parse(b))) {
                is_ours = (start..end).contains(&middle);
            } else if is_ours && let Some(found) = line.strip_prefix("VmFlags:") {
                flags = Some(found.to_owned());
            }
        }
        let flags = flags.unwrap();
        assert!(flags.split_whitespace().any(|flag| flag == "hg"), "{flags}");
    }

    #[test]
    fn a_buffer_is_used_again_until_nobody_needs_it() {
        let pool = MemoryPool::new(8);
        let idle = || pool.idle().len();
        pool.with(8, |memory| {
            assert_eq!(memory.len(), 8);
            pool.with(4, |second| assert_eq!(second.len(), 8));
            assert_eq!(idle(), 1);
        });
        assert_eq!(idle(), 2);
        pool.with(9, |larger| assert_eq!(larger.len(), 9));
        pool.release_unused();
        assert_eq!(idle(), 2, "used since the last call");
        pool.release_unused();
        assert_eq!(idle(), 0);
    }
}
