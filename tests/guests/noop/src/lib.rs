//! The least that a handler can do: bytes in, nothing out. What a benchmark measures with it is the host.

tasq_sdk::handler!(noop);

fn noop(_payload: Vec<u8>) {}
