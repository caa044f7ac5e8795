// SPDX-License-Identifier: BSD-2-Clause
//! What random numbers are made from: the processor's own source where it has one (Intel SDM volume 1, section 7.3.17),
//! and what time has to offer otherwise.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step};

use crate::clock::{Clock, count};

/// Words of a seed.
const WORDS: usize = 4;
/// How often a source is asked that has nothing yet.
const PATIENCE: u32 = 100;
/// How often it is looked how long the timer's driver takes to answer: each time that differs by what nobody can
/// foresee, caches and interrupts, is a bit or less.
const ANSWERS: usize = 64;

/// Where random bits come from, in the order in which they are preferred.
#[derive(Clone, Copy)]
enum Source {
    Seed,
    Numbers,
}

impl Source {
    fn best() -> Option<Self> {
        if __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 << 18 != 0 {
            Some(Self::Seed)
        } else if __cpuid(1).ecx & 1 << 30 != 0 {
            Some(Self::Numbers)
        } else {
            None
        }
    }

    fn word(self) -> Option<u64> {
        (0..PATIENCE).find_map(|_| {
            // SAFETY: `best` has seen that the processor has the instruction.
            let (done, word) = unsafe {
                match self {
                    Self::Seed => from_seed(),
                    Self::Numbers => from_numbers(),
                }
            };
            (done != 0).then_some(word)
        })
    }
}

#[target_feature(enable = "rdseed")]
fn from_seed() -> (i32, u64) {
    let mut word = 0;
    (_rdseed64_step(&mut word), word)
}

#[target_feature(enable = "rdrand")]
fn from_numbers() -> (i32, u64) {
    let mut word = 0;
    (_rdrand64_step(&mut word), word)
}

/// A seed for a generator that hides what it is made from.
pub fn seed(clock: &Clock) -> [u8; 8 * WORDS] {
    let source = Source::best();
    let mut seed = [0u64; WORDS];
    let mut put = |at: usize, word: u64| {
        let place = &mut seed[at % WORDS];
        // The step of SplitMix64 (Steele, Lea, Flood 2014): it loses nothing, and each bit depends on all.
        let mut z = (*place ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *place = z ^ (z >> 31);
    };
    put(0, clock.epoch());
    for at in 0..ANSWERS {
        put(at, count());
        let _ = xos::timer::now();
    }
    if let Some(source) = source {
        for at in 0..WORDS {
            if let Some(word) = source.word() {
                put(at, word);
            }
        }
    }
    let mut bytes = [0; 8 * WORDS];
    for (to, word) in bytes.chunks_exact_mut(8).zip(seed) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
