//! A task queue whose handlers are WebAssembly components.
//!
//! # A task's life
//!
//! 1. A producer hands a [`NewTask`] to a [`Client`]: a handler's name, a payload, options. The client settles its
//!    queue, `codec` writes its envelope, and the broker accepts it durably under its id.
//! 2. A worker with a free slot reserves it: the task gets a new run, and the worker a lease on it.
//! 3. The worker decodes the envelope, finds the handler, and calls it in a fresh sandbox, under limits of time, memory
//!    and output. Meanwhile it extends the lease; when the lease is gone it stops the guest.
//! 4. Whatever happened is an `Outcome`: bytes, a failure, or no run at all. `retry` decides how that ends the task:
//!    done, again later, given back, waiting for a handler, or dead.
//! 5. The end and what follows from it are written together, by the holder of the current run alone. A record of it
//!    goes to the results, where the client finds it until its retention is over.
//!
//! If the worker vanishes anywhere in between, the lease runs out and the task comes back from 2: a crash repeats a
//! task, and never loses one.
//!
//! # The modules, in reading order
//!
//! | module | what is in it |
//! |---|---|
//! | [`task`] | plain values: names, tasks, outcomes, states |
//! | [`text`] | task options as text |
//! | [`keys`] | TOML files that people write |
//! | [`client`] | enqueue, wait, look: the way in for Rust producers |
//! | [`worker`] | reserve → attempt → settle, and the graceful stop |
//! | [`sandbox`] | loads `.wasm` files and calls one: outcome and receipt |
//! | [`retry`] | how an outcome ends a task |
//! | [`chain`] | tasks that follow one another |
//! | [`cron`] | tasks that come by the clock |
//! | [`group`] | tasks side by side, and what comes once all have succeeded |
//! | [`broker`] | the seams between all of these and whatever keeps the tasks |
//! | [`results`] | the seam behind which ended tasks are kept |
//! | [`schedules`] | the seam behind which cron schedules are kept |
//! | [`store`] | the seam behind which handlers keep what outlives a run |
//! | [`inbox`] | the seam behind which other programs leave tasks |
//! | [`request`] | tasks as other programs write them |
//! | [`backend`] | the seams' implementations, and the only place that names a server |
//! | [`codec`] | wire bytes ↔ task |
//! | [`mod@bench`] | load, and what came of it |
//! | [`clock`] | what time it is |
//! | [`error`] | what can go wrong with a server or a file |
//!
//! # Enqueue from Rust
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> tasq_host::error::Result<()> {
//! use tasq_host::{Client, Task};
//!
//! let broker = "memory:".parse().expect("a valid URL"); // or sqlite:tasq.db, redis://…, nats://…
//! let client = Client::open(&broker, None).await?;
//! let task = client.enqueue(Task::new("add", r#"{"arg1":5,"arg2":4}"#).max_retries(5)).await?;
//! println!("{}", task.id);
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::chain`], [`Client::group`] and [`Client::schedule`] enqueue more than one; [`Client::wait`], [`Client::result`],
//! [`Client::show`] and [`Client::cancel`] look after them. `examples/tasqueue` has client and worker in one program.

pub mod backend;
pub mod bench;
pub mod broker;
pub mod chain;
pub mod client;
pub mod clock;
pub mod codec;
pub mod cron;
pub mod error;
pub mod group;
pub mod inbox;
pub mod keys;
pub mod request;
pub mod results;
pub mod retry;
pub mod sandbox;
pub mod schedules;
pub mod store;
pub mod task;
pub mod text;
pub mod worker;

pub use client::{Client, NewTask, Task};
