//! The suites that hold every backend to the same laws, and what they need.

pub mod guests;
