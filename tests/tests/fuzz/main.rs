//! What strangers write and this program reads: no bytes may make it panic, hang or say more than a line. The tests try a
//! few thousand inputs each; `make fuzz SECONDS=600` so long.
//!
//! A further target is a line in the list below and a function with its seeds.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

mod files;
mod guests;
mod stored;

/// Makes a test of each target: how many inputs its short form tries, its seeds, and what has to hold.
macro_rules! targets {
    ($($name:ident = $short:literal, $seeds:expr, $check:expr;)*) => {
        $(#[test]
        fn $name() {
            tasq_tests::fuzz::fuzz(stringify!($name), $short, &$seeds, $check);
        })*
    };
}

targets! {
    envelope = 20_000, stored::envelopes(), stored::read_envelope;
    record = 20_000, stored::records(), stored::read_record;
    text = 20_000, stored::texts(), stored::read_text;
    manifest = 1_500, files::manifests(), files::read_manifest;
    component = 400, files::components(), files::check_component;
    guest = 150, guests::seeds(), guests::run_guest;
    request = 20_000, stored::requests(), stored::read_request;
    options = 10_000, stored::options(), stored::read_options;
    // Cron expressions belong here, too.
}
