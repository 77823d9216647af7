//! What a file is, found out by looking.

use wasmparser::{ExternalKind, Parser, Payload};

/// What stands in a `.wasm` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A component, as far as its head tells.
    Component,
    /// A core module, as far as its head tells.
    Module,
    /// A core module that exports the contract's `handle`, by this version of the contract.
    Handler(String),
    /// Something that can't serve.
    Other {
        /// For messages.
        found: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

pub(super) fn of(bytes: &[u8]) -> Kind {
    match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Kind::Component,
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => match contract(bytes) {
            Some(version) => Kind::Handler(version.to_owned()),
            None => Kind::Module,
        },
        [b'\0', b'a', b's', b'm', ..] => other("found an unknown version of WebAssembly", None),
        [] => other("the file is empty", None),
        [0x7f, b'E', b'L', b'F', ..] => {
            other("found machine code", Some("compiled code (.cwasm) is never loaded from here: put the .wasm there"))
        }
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            other("found WebAssembly text", Some("translate it with `wasm-tools parse`"))
        }
        _ if std::str::from_utf8(&bytes[..bytes.len().min(64)]).is_ok() => other("found text", None),
        _ => other("found other data", None),
    }
}

/// The version in `tasq:handler/handler@0.1.0#handle`, where a core module exports that.
fn contract(module: &[u8]) -> Option<&str> {
    let exports = Parser::new(0).parse_all(module).map_while(Result::ok).find_map(|payload| match payload {
        Payload::ExportSection(exports) => Some(exports),
        _ => None,
    })?;
    exports.into_iter().map_while(Result::ok).filter(|export| export.kind == ExternalKind::Func).find_map(|export| {
        let version = export.name.strip_prefix("tasq:handler/handler@")?.strip_suffix("#handle")?;
        let patch = version.strip_prefix("0.1.")?;
        patch.parse::<u32>().is_ok().then_some(version)
    })
}

fn other(found: &str, hint: Option<&str>) -> Kind {
    Kind::Other { found: found.to_owned(), hint: hint.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_head() {
        assert_eq!(of(b"\0asm\x0d\0\x01\0"), Kind::Component);
        assert_eq!(of(b"\0asm\x01\0\0\0"), Kind::Module);
        for (bytes, want) in [
            (&b"\0asm\x02\0\0\0"[..], "unknown version"),
            (b"", "empty"),
            (b"hello", "text"),
            (b"  (component)", "WebAssembly text"),
            (b"\x7fELF", "machine code"),
            (b"\xff\xfe\xfd", "other data"),
        ] {
            assert!(matches!(of(bytes), Kind::Other { found, .. } if found.contains(want)), "{want}");
        }
    }
}
