//! Inputs that nobody thought of: seeds that are changed at random, as long as is asked. Not led by coverage, which would
//! need a nightly compiler; in exchange the seeds are whole and valid, and run wherever the tests run.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Tries `check` with inputs made from `seeds`, after all that ever failed it. `TASQ_FUZZ_SECONDS` says how long; without
/// it, `short` inputs are tried, the same ones each time. An input that fails is kept in `tests/regressions/fuzz/`.
pub fn fuzz(name: &str, short: u32, seeds: &[Vec<u8>], check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions/fuzz").join(name);
    for known in fs::read_dir(&folder).into_iter().flatten() {
        check(&fs::read(known.expect("a file").path()).expect("a file"));
    }
    seeds.iter().for_each(|seed| check(seed));
    let seconds = std::env::var("TASQ_FUZZ_SECONDS").ok();
    let time = seconds.map(|seconds| Duration::from_secs(seconds.parse().expect("TASQ_FUZZ_SECONDS is a number")));
    let mut dice = Dice::from(if time.is_some() { since_1970() } else { 1 });
    let (began, mut tried) = (Instant::now(), 0u32);
    while time.map_or(tried < short, |time| began.elapsed() < time) {
        let input = changed(seeds, &mut dice);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&input))) {
            eprintln!("{name} fails with {}", keep(&folder, &input).display());
            resume_unwind(panic);
        }
        tried += 1;
    }
    println!("{name}: {tried} inputs in {:?}", began.elapsed());
}

fn since_1970() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64
}

fn keep(folder: &Path, input: &[u8]) -> PathBuf {
    let digest = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let file = folder.join(format!("{digest:016x}"));
    fs::create_dir_all(folder).and_then(|()| fs::write(&file, input)).expect("it can be kept");
    file
}

/// A generator of numbers (xorshift64*): what matters is that a run can be repeated.
pub struct Dice(u64);

impl From<u64> for Dice {
    /// The number that all others follow from; anything but 0.
    fn from(seed: u64) -> Dice {
        Dice(seed)
    }
}

impl Dice {
    /// Below `sides`, which is at least 1.
    pub fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % sides
    }
}

/// Numbers that stand at a border, as bytes.
const BORDERS: [&[u8]; 8] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff; 4],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff; 9],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
];

/// A seed with one to eight changes.
fn changed(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = seeds[dice.throw(seeds.len())].clone();
    for _ in 0..=dice.throw(8) {
        let at = dice.throw(input.len() + 1);
        let end = at + dice.throw(input.len() - at + 1).min(1 + dice.throw(64));
        match dice.throw(7) {
            0 if at < input.len() => input[at] ^= 1 << dice.throw(8),
            1 if at < input.len() => input[at] = dice.throw(256) as u8,
            2 => drop(input.drain(at..end)),
            3 => input.extend_from_within(at..end),
            4 => {
                let piece = input[at..end].to_vec();
                let to = dice.throw(input.len() + 1);
                drop(input.splice(to..to, piece));
            }
            5 => {
                let border = BORDERS[dice.throw(BORDERS.len())];
                drop(input.splice(at..(at + border.len()).min(input.len()), border.iter().copied()));
            }
            _ => {
                let other = &seeds[dice.throw(seeds.len())];
                let from = dice.throw(other.len() + 1);
                let piece = other[from..(from + 1 + dice.throw(64)).min(other.len())].to_vec();
                drop(input.splice(at..at, piece));
            }
        }
    }
    input
}
