//! Bytes in, the same bytes out: for tests that look at what reaches a handler, and what comes back.

tasq_sdk::handler!(echo);

fn echo(payload: Vec<u8>) -> Vec<u8> {
    payload
}
