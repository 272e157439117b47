//! Rows out of a stream of bytes, with bounded memory: CSV (RFC 4180) and lines (NDJSON).
//!
//! Unlike general CSV readers these recover: a row that is too long or whose quotes are wrong costs that row alone.
//! A quote that is never closed would otherwise swallow the rest of the file.

/// Longest row, bytes.
pub(crate) const ROW_BYTES_MAX: usize = 64 * 1024;

/// What is wrong with a row as such.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RowFault {
    /// Longer than [`ROW_BYTES_MAX`].
    TooLong,
    /// A quote is not closed, or something follows a closed one.
    BadQuotes,
    /// Not UTF-8.
    NotUtf8,
}

impl RowFault {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            RowFault::TooLong => "row_too_long",
            RowFault::BadQuotes => "bad_quotes",
            RowFault::NotUtf8 => "invalid_utf8",
        }
    }

    pub(crate) const fn detail(self) -> &'static str {
        match self {
            RowFault::TooLong => "a row may have at most 65536 bytes",
            RowFault::BadQuotes => "a quote is not closed, or text follows a closed one",
            RowFault::NotUtf8 => "expected UTF-8",
        }
    }
}

/// A row, as bytes, or what is wrong with it. Lines count from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RawRow {
    pub(crate) line: u64,
    pub(crate) text: Result<String, RowFault>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// At the beginning of a field.
    FieldStart,
    /// In a field without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes, or is the first of a doubled one.
    QuoteSeen,
    /// Quotes are wrong: on to the end of the line.
    Broken,
}

/// Cuts bytes into rows.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// `None`: quotes mean nothing (NDJSON).
    delimiter: Option<u8>,
    buffer: Vec<u8>,
    /// Where the row under way begins in `buffer`.
    start: usize,
    /// How far it was looked at.
    scanned: usize,
    place: Place,
    /// Line at `start`.
    line: u64,
    /// Passing over the rest of a row that is too long.
    skipping: bool,
    ended: bool,
}

impl Splitter {
    /// Of lines.
    pub(crate) fn lines() -> Self {
        Self::new(None)
    }

    /// Of CSV with this delimiter.
    pub(crate) fn csv(delimiter: u8) -> Self {
        Self::new(Some(delimiter))
    }

    fn new(delimiter: Option<u8>) -> Self {
        Splitter {
            delimiter,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            place: Place::FieldStart,
            line: 1,
            skipping: false,
            ended: false,
        }
    }

    /// Another delimiter from here on; for after the header told it.
    pub(crate) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = Some(delimiter);
        self.scanned = self.start;
        self.place = Place::FieldStart;
    }

    /// Takes bytes in; give out all rows before the next, so that little is held.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// No more bytes will come.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next row that is complete; empty lines are passed over.
    pub(crate) fn next(&mut self) -> Option<RawRow> {
        loop {
            let row = if self.skipping { self.skip()? } else { self.scan()? };
            if row.text.as_deref() != Ok("") {
                return Some(row);
            }
        }
    }

    fn scan(&mut self) -> Option<RawRow> {
        while self.scanned < self.buffer.len() {
            let byte = self.buffer[self.scanned];
            self.scanned += 1;
            if byte == b'\n' && self.place != Place::Quoted {
                let broken = self.place == Place::Broken;
                return Some(if broken {
                    self.cut_line(RowFault::BadQuotes)
                } else {
                    self.cut(self.scanned, None)
                });
            }
            self.place = self.step(byte);
            if self.scanned - self.start > ROW_BYTES_MAX {
                return Some(self.give_up());
            }
        }
        if !self.ended || self.start == self.buffer.len() {
            return None;
        }
        if matches!(self.place, Place::Quoted | Place::Broken) {
            return Some(self.cut_line(RowFault::BadQuotes));
        }
        Some(self.cut(self.buffer.len(), None))
    }

    fn step(&self, byte: u8) -> Place {
        let Some(delimiter) = self.delimiter else {
            return Place::Plain;
        };
        match (self.place, byte) {
            (Place::FieldStart, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::QuoteSeen,
            (Place::Quoted, _) | (Place::QuoteSeen, b'"') => Place::Quoted,
            (Place::Broken, _) => Place::Broken,
            (_, byte) if byte == delimiter => Place::FieldStart,
            (Place::QuoteSeen, b'\r') => Place::QuoteSeen,
            (Place::QuoteSeen, _) => Place::Broken,
            (Place::FieldStart | Place::Plain, _) => Place::Plain,
        }
    }

    /// The row under way is too long. If that is because of a quote, only its first line is given up.
    fn give_up(&mut self) -> RawRow {
        let is_quote = matches!(self.place, Place::Quoted | Place::Broken);
        if is_quote && self.buffer[self.start..self.scanned].contains(&b'\n') {
            return self.cut_line(RowFault::BadQuotes);
        }
        let row = RawRow { line: self.line, text: Err(RowFault::TooLong) };
        self.skipping = true;
        self.start = self.scanned;
        row
    }

    /// Passes over bytes up to the end of the line; an empty row stands for what was passed over.
    fn skip(&mut self) -> Option<RawRow> {
        let rest = &self.buffer[self.start..];
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                self.start += at + 1;
                self.scanned = self.start;
                self.skipping = false;
                self.place = Place::FieldStart;
                self.line += 1;
                Some(RawRow { line: self.line - 1, text: Ok(String::new()) })
            }
            None => {
                self.start = self.buffer.len();
                self.scanned = self.start;
                None
            }
        }
    }

    /// Ends the row at the end of its first line, with a fault; what follows is looked at anew.
    fn cut_line(&mut self, fault: RowFault) -> RawRow {
        let rest = &self.buffer[self.start..];
        let end =
            rest.iter().position(|byte| *byte == b'\n').map_or(self.buffer.len(), |at| self.start + at + 1);
        self.cut(end, Some(fault))
    }

    fn cut(&mut self, end: usize, fault: Option<RowFault>) -> RawRow {
        let bytes = &self.buffer[self.start..end];
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let bytes =
            if self.line == 1 { bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes) } else { bytes };
        let text = match (fault, std::str::from_utf8(bytes)) {
            (Some(fault), _) => Err(fault),
            (None, Ok(text)) => Ok(text.to_owned()),
            (None, Err(_)) => Err(RowFault::NotUtf8),
        };
        let row = RawRow { line: self.line, text };
        self.line += lines;
        self.start = end;
        self.scanned = end;
        self.place = Place::FieldStart;
        row
    }
}

/// The fields of a CSV row that [`Splitter`] found to be well quoted.
pub(crate) fn csv_fields(row: &str, delimiter: u8) -> Vec<String> {
    let delimiter = char::from(delimiter);
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut characters = row.chars().peekable();
    let mut quoted = false;
    let mut at_start = true;
    while let Some(c) = characters.next() {
        if quoted {
            match (c, characters.peek()) {
                ('"', Some('"')) => {
                    characters.next();
                    field.push('"');
                }
                ('"', _) => quoted = false,
                (other, _) => field.push(other),
            }
        } else if c == '"' && at_start {
            quoted = true;
        } else if c == delimiter {
            fields.push(std::mem::take(&mut field));
            at_start = true;
            continue;
        } else {
            field.push(c);
        }
        at_start = false;
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(mut splitter: Splitter, chunks: &[&[u8]]) -> Vec<(u64, Result<String, RowFault>)> {
        let mut rows = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            rows.extend(std::iter::from_fn(|| splitter.next()).map(|row| (row.line, row.text)));
        }
        splitter.end();
        rows.extend(std::iter::from_fn(|| splitter.next()).map(|row| (row.line, row.text)));
        rows
    }

    fn ok(line: u64, text: &str) -> (u64, Result<String, RowFault>) {
        (line, Ok(text.to_owned()))
    }

    #[test]
    fn rows_and_lines() {
        let text = "\u{feff}a,b\r\n\r\n1,\"x\ny\"\n2,z";
        assert_eq!(
            split(Splitter::csv(b','), &[text.as_bytes()]),
            [ok(1, "a,b"), ok(3, "1,\"x\ny\""), ok(5, "2,z")]
        );
        assert_eq!(split(Splitter::lines(), &[b"{\"a\":\"\n", b"\"}\n\n", b"x"]).len(), 3);
        assert_eq!(split(Splitter::csv(b','), &[]), []);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_line() {
        let rows = split(Splitter::csv(b','), &[b"a,b\n1,\"open\n2,x\n3,y\n"]);
        assert_eq!(rows, [ok(1, "a,b"), (2, Err(RowFault::BadQuotes)), ok(3, "2,x"), ok(4, "3,y")]);
        let rows = split(Splitter::csv(b','), &[b"1,\"open\n2,\"x\"\n3,y\n"]);
        assert_eq!(rows, [(1, Err(RowFault::BadQuotes)), ok(2, "2,\"x\""), ok(3, "3,y")]);
        let rows = split(Splitter::csv(b','), &[b"1,\"x\"y\n3,y"]);
        assert_eq!(rows, [(1, Err(RowFault::BadQuotes)), ok(2, "3,y")]);
        // Far from its end.
        let mut text = b"1,\"open\n".to_vec();
        for _ in 0..20_000 {
            text.extend_from_slice(b"2,xyzxyz\n");
        }
        let rows = split(Splitter::csv(b','), &text.chunks(1_000).collect::<Vec<_>>());
        assert_eq!(rows.len(), 20_001);
        assert_eq!(rows[0], (1, Err(RowFault::BadQuotes)));
        assert!(rows[1..].iter().all(|(_, text)| text.is_ok()));
    }

    #[test]
    fn a_row_without_end_is_passed_over_without_being_held() {
        let mut splitter = Splitter::lines();
        splitter.push(b"first\n");
        assert!(splitter.next().is_some());
        let mut faults = 0;
        for _ in 0..1_000 {
            splitter.push(&[b'x'; 10_000]);
            while let Some(row) = splitter.next() {
                assert_eq!((row.line, row.text), (2, Err(RowFault::TooLong)));
                faults += 1;
            }
            assert!(splitter.buffer.len() <= ROW_BYTES_MAX + 10_000);
        }
        splitter.push(b"\nlast");
        splitter.end();
        assert_eq!(faults, 1);
        assert_eq!(splitter.next(), Some(RawRow { line: 3, text: Ok("last".into()) }));
        assert_eq!(splitter.next(), None);
    }

    #[test]
    fn bytes_that_are_no_text_cost_their_row() {
        let rows = split(Splitter::lines(), &[b"a\n\xff\xfe\nb\n"]);
        assert_eq!(rows, [ok(1, "a"), (2, Err(RowFault::NotUtf8)), ok(3, "b")]);
    }

    proptest! {
        /// Whatever a CSV writer of another hand writes is read back, however it is cut into chunks.
        #[test]
        fn what_others_write_is_read(
            rows in prop::collection::vec(prop::collection::vec("[a-z\",\r\n 王;]{0,8}", 2..4), 1..20),
            chunk in 1_usize..50,
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let chunks: Vec<&[u8]> = bytes.chunks(chunk).collect();
            let read: Vec<Vec<String>> = split(Splitter::csv(b','), &chunks)
                .into_iter()
                .map(|(_, text)| csv_fields(&text.unwrap(), b','))
                .collect();
            prop_assert_eq!(read, rows);
        }

        /// Arbitrary bytes give the same rows in one chunk as in many, and never panic.
        #[test]
        fn chunks_do_not_matter(bytes in prop::collection::vec(prop::sample::select(b"a\",\n\r\xff".to_vec()), 0..200), chunk in 1_usize..20) {
            let whole = split(Splitter::csv(b','), &[&bytes]);
            let parts = split(Splitter::csv(b','), &bytes.chunks(chunk).collect::<Vec<_>>());
            prop_assert_eq!(whole, parts);
        }
    }
}
