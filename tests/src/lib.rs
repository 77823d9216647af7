//! The suites that hold every backend to the same laws, and what they need.

pub mod chaos;
pub mod fixture;
pub mod fuzz;
pub mod guests;
pub mod heap;
pub mod laws;
pub mod model;
pub mod nouns;
pub mod processes;
pub mod projects;
pub mod runs;
pub mod simulation;
pub mod soak;
pub mod texts;
pub mod web;
