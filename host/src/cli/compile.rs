//! The child in which a file is compiled: a command that this program gives itself, and no help shows.

use std::ffi::OsString;
use std::process::ExitCode;

use tasq_host::sandbox::compile::{Order, compile};

use super::error::Code;

/// Does what the parent orders. What it is told and tells is between the two.
pub(crate) fn main(typed: impl Iterator<Item = OsString>) -> ExitCode {
    let typed: Vec<String> = typed.filter_map(|text| text.into_string().ok()).collect();
    let order = match typed.as_slice() {
        [memory, cpu, reservation, what] => order([memory, cpu, reservation], what),
        _ => None,
    };
    match order {
        Some(order) => ExitCode::from(compile(&order)),
        None => Code::Usage.into(),
    }
}

fn order(numbers: [&String; 3], what: &str) -> Option<Order> {
    let [memory, cpu, reservation] = numbers.map(|text| text.parse().ok());
    Some(Order { memory: memory?, cpu: cpu?, reservation: reservation?, what: what.to_owned() })
}
