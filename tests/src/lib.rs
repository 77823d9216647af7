//! The suites that hold every backend to the same laws, and what they need.

pub mod chaos;
pub mod fixture;
pub mod guests;
pub mod laws;
pub mod model;
pub mod nouns;
pub mod processes;
pub mod projects;
