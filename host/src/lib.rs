//! A task queue whose handlers are WebAssembly components.

pub mod backend;
pub mod bench;
pub mod broker;
pub mod clock;
pub mod codec;
pub mod error;
pub mod results;
pub mod retry;
pub mod sandbox;
pub mod task;
pub mod worker;
