//! Tasks that come by the clock: when, against another implementation, and how often, over a day of faults.

mod day;
mod file;
mod table;
