//! What a file is, found out by looking at its first bytes.

/// What stands in a `.wasm` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A component, as far as its head tells.
    Component,
    /// A core module, as far as its head tells.
    Module,
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
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Kind::Module,
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
