//! Tables for people: columns as wide as their longest entry.

use serde_json::Value;

use crate::printable;

/// The `rows` as lines: each column has a heading and the name of the member that it shows.
pub(crate) fn table(columns: &[(&str, &str)], rows: &[Value]) -> String {
    let mut lines: Vec<Vec<String>> =
        vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, name)| text(&row[*name])).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

/// A member that is absent is `-`.
fn text(value: &Value) -> String {
    if value.is_null() { "-".to_owned() } else { printable::value(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [json!({ "id": "a", "count": 10 }), json!({ "id": "longer" })];
        let expected = "ID      COUNT\na       10\nlonger  -\n";
        assert_eq!(table(&[("ID", "id"), ("COUNT", "count")], &rows), expected);
    }
}
