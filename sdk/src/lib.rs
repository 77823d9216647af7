//! Write tasq-host handlers in Rust: a handler is one function, and the same function runs in a native test.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tasq_sdk::{Failure, Json, Task, info};
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     customer: String,
//!     cents: u64,
//! }
//!
//! #[derive(Serialize)]
//! struct Receipt {
//!     charged: u64,
//! }
//!
//! fn charge(Json(order): Json<Order>, task: &Task) -> Result<Json<Receipt>, Failure> {
//!     if order.cents == 0 {
//!         return Err(Failure::discard("nothing to charge").with_code("empty-order"));
//!     }
//!     let fee: u64 = tasq_sdk::config::require("fee")?.parse()?; // any error by `?`: tried again later
//!     info!(customer = order.customer, attempt = task.attempt, "charging {} cents", order.cents);
//!     Ok(Json(Receipt { charged: order.cents + fee }))
//! }
//!
//! tasq_sdk::handler!(charge);
//! # fn main() {}
//! ```
//!
//! In `Cargo.toml`: `crate-type = ["cdylib", "rlib"]`, so that there is a `.wasm` for the host and a library for tests.
//! `cargo build --target wasm32-wasip2 --release` makes the component, `cargo component build --release` does too, and
//! `cargo test` tests it.
//!
//! - [`Handler`]: what such a function may take and return; [`Json`] for typed payloads and results, `Vec<u8>` for raw ones.
//! - [`Failure`]: how a run fails: an ordinary error is tried again, `discard` gives up, `snooze` comes back later.
//! - [`Task`]: the facts about the task. [`context`]: about this run. [`mod@log`], [`config`]: the host's logs and settings.
//! - [`producer`], [`store`]: follow-up tasks and a small store, where the handler's manifest grants them.
//! - `testing` (native targets only): a host that a test sets up, and what the handler asked of it.
//!
//! **A panic** ends the run as a trap: its message goes to stderr, of which the host keeps the end, and the task is tried
//! again unless the manifest says `on_trap = "discard"`. Return a [`Failure`] for what can be foreseen.
//!
//! **Nothing outlives a run**: each has a sandbox of its own, so a `static` is always as it was at the beginning.
//!
//! **What isn't called isn't imported**: a component asks the host only for the functions that its code reaches.
//!
//! **Memory**: every growth of a guest's memory costs the host a system call that all its threads feel. With
//! `-C link-arg=--initial-memory=2097152` (in `.cargo/config.toml`, `[target.wasm32-wasip2] rustflags`) the first
//! mebibyte of heap is there from the start; pages that aren't touched cost nothing.

mod failure;
mod handler;
mod host;
mod task;

pub mod config;
pub mod context;
pub mod log;
pub mod producer;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod export;

pub use bindings::tasq::handler::types::{FailureKind, Task};
pub use failure::{Failure, OrFail};
pub use handler::{Answer, Handler, Json, Payload};
pub use host::{HostError, HostErrorKind};

/// Makes a function the handler of this component. Once per component, with the function's name.
///
/// ```
/// fn shout(text: String) -> String {
///     text.to_uppercase()
/// }
///
/// tasq_sdk::handler!(shout);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! handler {
    ($function:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;
            impl $crate::export::Guest for Exported {
                fn handle(
                    payload: ::std::vec::Vec<u8>,
                    task: $crate::Task,
                ) -> ::std::result::Result<::std::vec::Vec<u8>, $crate::export::WireFailure> {
                    $crate::export::run(&$function, payload, &task)
                }
            }
    $crate::bindings::__export!(Exported with_types_in $crate::bindings);
        };
        // A native library can't have the export (no linker takes its name), but the function is checked all the same.
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            #[allow(dead_code, reason = "for its types only")]
            fn checked(payload: ::std::vec::Vec<u8>, task: &$crate::Task) {
                let _ = $crate::export::run(&$function, payload, task);
            }
        };
    };
}
