//! Reads the tables of `ARCHITECTURE.md`: that under "## Code map" for the host, and that under "## Around it".

/// A row of the host's table.
pub(crate) struct Row {
    /// Files, and folders with everything in them (`worker/*`), from the repository's root.
    pub(crate) patterns: Vec<String>,
    /// The modules that these files may import, as `backend/url`, with everything in them.
    pub(crate) imports: Vec<String>,
}

impl Row {
    pub(crate) fn covers(&self, file: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, file))
    }
}

/// The host's table. First cell: files from `host/src/`; last cell: modules.
pub(crate) fn host(text: &str) -> Vec<Row> {
    let rows: Vec<Row> = rows(text, "## Code map")
        .into_iter()
        .map(|cells| Row { patterns: quoted(&cells[0]), imports: quoted(cells.last().unwrap()) })
        .collect();
    assert!(rows.len() > 20, "the table under \"## Code map\" has {} rows", rows.len());
    rows
}

/// The patterns of the other table.
pub(crate) fn others(text: &str) -> Vec<String> {
    let patterns: Vec<String> = rows(text, "## Around it").iter().flat_map(|cells| quoted(&cells[0])).collect();
    assert!(patterns.len() > 5, "the table under \"## Around it\" has {} patterns", patterns.len());
    patterns
}

/// `folder/*` is everything in the folder, however deep; anything else is a file.
pub(crate) fn matches(pattern: &str, file: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(folder) => file.starts_with(folder),
        None => file == pattern,
    }
}

/// The cells of the rows under a heading, without the head of the table.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    let rows = section.filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.filter(|cells| cells[0].starts_with('`')).collect()
}

/// What stands in backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
