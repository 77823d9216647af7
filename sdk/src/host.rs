//! The calls into the host: into the real one in a component, into a test's own on native targets. Both files have the
//! same functions; everything above them is the same code on both.

#[cfg_attr(target_family = "wasm", path = "host/component.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "host/native.rs")]
mod target;

pub(crate) use target::*;

/// Why a call into the host failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostError {
    /// What went wrong, for the program.
    pub kind: HostErrorKind,
    /// The same for people.
    pub message: String,
}

/// Classes of [`HostError`].
pub use crate::bindings::tasq::handler::types::ErrorKind as HostErrorKind;

impl std::fmt::Display for HostError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            HostErrorKind::Denied => "denied",
            HostErrorKind::Invalid => "invalid",
            HostErrorKind::TooLarge => "too large",
            HostErrorKind::TooMany => "too many",
            HostErrorKind::Conflict => "conflict",
            HostErrorKind::Unavailable => "unavailable",
            HostErrorKind::Other => "failed",
        };
        write!(out, "{kind}: {}", self.message)
    }
}

impl std::error::Error for HostError {}
