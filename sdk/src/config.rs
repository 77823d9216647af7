//! Settings and secrets that the handler's manifest grants.

use crate::{Failure, host};

/// The setting's value; none for a name that isn't granted.
pub fn get(name: &str) -> Option<String> {
    host::config(name)
}

/// The setting's value, or a failure with the code `missing-config`. It is tried again, since whoever runs the host may
/// mend the manifest meanwhile.
pub fn require(name: &str) -> Result<String, Failure> {
    get(name).ok_or_else(|| Failure::retry(format!("the setting `{name}` isn't granted")).with_code("missing-config"))
}
