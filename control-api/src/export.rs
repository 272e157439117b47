//! Rows as CSV and NDJSON.

use serde_json::Value;

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// RFC 4180, with a line of names first.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    pub(crate) fn from_name(name: &str) -> Option<Format> {
        match name {
            "csv" => Some(Format::Csv),
            "ndjson" => Some(Format::Ndjson),
            _ => None,
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Ndjson => "application/x-ndjson",
        }
    }

    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
        }
    }

    /// The line of names, where there is one.
    pub(crate) fn head(self, columns: &[&str], out: &mut Vec<u8>) {
        if self == Format::Csv {
            line(columns.iter().map(|name| (*name).to_owned()), out);
        }
    }

    /// One row. A column is a path of keys with dots between: `disposition.code`.
    pub(crate) fn row(self, columns: &[&str], value: &Value, out: &mut Vec<u8>) {
        match self {
            Format::Csv => line(columns.iter().map(|path| cell(value, path)), out),
            Format::Ndjson => {
                serde_json::to_writer(&mut *out, value).expect("memory takes all that is written");
                out.push(b'\n');
            }
        }
    }
}

fn cell(value: &Value, path: &str) -> String {
    let mut at = value;
    for key in path.split('.') {
        at = &at[key];
    }
    match at {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// RFC 4180 §2: quotes around what holds a comma, a quote or a line end; quotes within are doubled.
fn line(cells: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    for (at, text) in cells.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if text.contains([',', '"', '\r', '\n']) {
            out.push(b'"');
            out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn csv_reads_back() {
        let columns = ["a", "b.c", "d"];
        let row = json!({"a": "x, \"y\"\nz", "b": {"c": 7}, "d": null});
        let mut out = vec![];
        Format::Csv.head(&columns, &mut out);
        Format::Csv.row(&columns, &row, &mut out);
        let mut reader = csv::Reader::from_reader(out.as_slice());
        assert_eq!(reader.headers().unwrap(), &csv::StringRecord::from(columns.to_vec()));
        let read = reader.records().next().unwrap().unwrap();
        assert_eq!(read, csv::StringRecord::from(vec!["x, \"y\"\nz", "7", ""]));
    }

    #[test]
    fn ndjson_is_one_object_a_line() {
        let mut out = vec![];
        Format::Ndjson.head(&["a"], &mut out);
        Format::Ndjson.row(&["a"], &json!({"a": 1, "b": 2}), &mut out);
        assert_eq!(out, b"{\"a\":1,\"b\":2}\n");
    }
}
