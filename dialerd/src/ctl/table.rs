//! Rows for people: columns as wide as they need to be.

use serde_json::Value;

/// A column: its head, and where in a row its text is (JSON pointers; the first that is there counts).
pub struct Column(pub &'static str, pub &'static [&'static str]);

/// The rows of a list as a table.
pub fn table(columns: &[Column], rows: &[Value]) -> String {
    let cell = |row: &Value, pointers: &[&str]| {
        let found = pointers.iter().find_map(|pointer| row.pointer(pointer).filter(|value| !value.is_null()));
        match found {
            None => "-".to_owned(),
            Some(Value::String(text)) => one_line(text),
            Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
            Some(Value::Array(items)) => {
                let items = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), one_line));
                items.collect::<Vec<_>>().join(",")
            }
            Some(other) => other.to_string(),
        }
    };
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| column.0.to_owned()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| cell(row, column.1)).collect()));
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// What others wrote must not move the cursor of a terminal.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_fit_what_is_in_them() {
        let rows = [json!({"a": "long text", "b": null}), json!({"a": "x\u{1b}[2J", "b": ["p", "q"]})];
        let told = table(&[Column("A", &["/a"]), Column("B", &["/missing", "/b"])], &rows);
        assert_eq!(told, "A          B\nlong text  -\nx?[2J      p,q\n");
    }
}
