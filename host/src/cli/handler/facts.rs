//! What `handler check` and `handler inspect` both say of a file.

use std::path::Path;

use serde::Serialize;

use super::super::output;
use tasq_host::sandbox::{Access, Import, Inspection};

/// An import, and what would change what becomes of it.
#[derive(Serialize)]
pub(super) struct ImportView<'a> {
    interface: &'a str,
    access: &'static str,
    /// The manifest's line that would grant it.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl ImportView<'_> {
    pub(super) fn of(import: &Import) -> ImportView<'_> {
        let access = match import.access {
            Access::Granted => "granted",
            Access::Inert => "inert",
            Access::Refused => "refused",
        };
        let grant = import.grant().map(|entry| format!("[grants] {entry}"));
        ImportView { interface: &import.interface, access, grant, hint: import.advice() }
    }
}

/// The line above everything else.
pub(super) fn head(file: &Path, seen: &Inspection) -> String {
    let file = output::one_line(&file.display().to_string());
    format!("{file}  {}  {}", bytesize::ByteSize(seen.bytes), seen.digest)
}

/// Every import; none where there is none.
pub(super) fn imports(imports: &[Import]) -> Option<String> {
    let row = |import: &Import| {
        let view = ImportView::of(import);
        let change = view.grant.as_deref().or(view.hint).unwrap_or_default();
        vec![output::one_line(view.interface), view.access.into(), change.into()]
    };
    let head = ["IMPORT", "ACCESS", "WHAT WOULD CHANGE IT"].map(String::from).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(imports.iter().map(row)).collect();
    (rows.len() > 1).then(|| output::table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_every_import() {
        let import = |interface: &str, access| Import { interface: interface.into(), access };
        let table = imports(&[
            import("tasq:handler/log@0.1.0", Access::Granted),
            import("tasq:handler/producer@0.1.0", Access::Inert),
            import("evil\u{1b}[2J", Access::Refused),
        ]);
        let expected = "\
            IMPORT                       ACCESS   WHAT WOULD CHANGE IT\n\
            tasq:handler/log@0.1.0       granted\n\
            tasq:handler/producer@0.1.0  inert    [grants] enqueue = [\"HANDLER\"]\n\
            evil\\u{1b}[2J                refused  leave it out: no manifest grants it";
        assert_eq!(table.as_deref(), Some(expected));
        assert_eq!(imports(&[]), None);
    }
}
