//! Tables in Markdown.

/// The rows of every table in `markdown`, as trimmed cells; without the lines of dashes.
pub(super) fn rows(markdown: &str) -> Vec<Vec<&str>> {
    let lines = markdown.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|cells| !cells.iter().all(|cell| cell.starts_with("---"))).collect()
}
