//! The hostile corpus: everything that we know a file or a guest can try, each a case with a test of its name, held to its
//! end and its time while others run. `docs/CORPUS.md` lists them; `make corpus` writes it from a run.
//!
//! A guest of a few lines is text, in `tests/corpus/NAME.wat`; one that needs a language is a behaviour of `misbehave`.
//! What no guest can do, such as a file that is a pipe, is a function here.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

mod bench;
mod cases;
mod load;
mod page;
mod special;

use bench::Bench;
use tasq_tests::heap::Counted;

#[global_allocator]
static HEAP: Counted = Counted;

/// What is tried, and how it has to end.
struct Case {
    name: &'static str,
    group: &'static str,
    trial: Trial,
    /// The beginnings of what [`bench::ended`] may say of it, or `refused: ` and the reason.
    ends: Vec<&'static str>,
    manifest: &'static str,
    /// Runs at once, in cores.
    per_core: usize,
}

enum Trial {
    /// `tests/corpus/NAME.wat`.
    Text,
    /// A behaviour of the guest `misbehave`, and what it does.
    Misbehave(&'static str, &'static str),
    /// Requests of the guest `fetch`, and what it does. `{web}` in them and in the manifest is a server on this machine.
    Fetch(&'static str, &'static str),
    /// An order for the program `command`, and what it does.
    Command(&'static str, &'static str),
    /// Code that tries it and tells how it ended, and what it does.
    Here(fn(&Bench) -> String, &'static str),
}

/// Makes a test of each case and a list of all.
macro_rules! corpus {
    ($($group:literal: $($name:ident = $case:expr,)*)*) => {
        $($(
            #[test]
            fn $name() {
                crate::bench::hold(&all().into_iter().find(|case| case.name == stringify!($name)).unwrap());
            }
        )*)*

        /// Every case, in the order of the page.
        pub(crate) fn all() -> Vec<crate::Case> {
            vec![$($(crate::Case { name: stringify!($name), group: $group, ..$case },)*)*]
        }
    };
}
pub(crate) use corpus;
