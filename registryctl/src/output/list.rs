//! A list in all forms but protobuf: columns for people, a table, fields, and the JSON that its command makes of it.

use serde_json::Value;

use super::{Answer, Text};
use crate::error::CtlError;

/// Between two columns.
const GAP: &str = "  ";

/// Rows under a head, and the same as JSON.
pub(crate) struct List {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    json: Value,
}

impl List {
    /// Each row has as many cells as the head; `json` tells the same, and maybe more.
    pub(crate) fn new(head: &[&'static str], rows: Vec<Vec<String>>, json: Value) -> Self {
        let rows = rows.into_iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
        Self { head: head.to_vec(), rows, json }
    }
}

/// A text of somebody else's without what a terminal would take for orders, or for the end of a line.
pub(crate) fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut plain, letter| {
        if letter.is_control() {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
        plain
    })
}

impl Answer for List {
    fn simple(&self, text: &mut Text) {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<_> = cells.zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
            cells.join(GAP).trim_end().to_owned()
        };
        text.head(&line(&mut self.head.iter().copied()));
        for row in &self.rows {
            text.row(&line(&mut row.iter().map(String::as_str)));
        }
    }

    fn fields(&self, text: &mut Text) {
        for row in &self.rows {
            for (name, cell) in self.head.iter().zip(row) {
                match cell.parse::<i64>() {
                    Ok(number) => text.field(name, number),
                    Err(_) => text.quoted(name, cell.as_bytes()),
                }
            }
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        Ok(self.json.to_string())
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        Some((self.head.clone(), self.rows.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect();
        List::new(&["ID", "NAME", "N"], vec![row(&["1", "длинное", "3"]), row(&["22", "a\x1b[2J\n", ""])], Value::Null)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_cell_gives_orders() {
        let mut text = Text::new(false);
        list().simple(&mut text);
        let expected = "ID  NAME          N\n1   длинное       3\n22  a\\u{1b}[2J\\n\n";
        assert_eq!(String::from_utf8(text.bytes).unwrap(), expected);
    }

    #[test]
    fn a_field_is_a_number_or_quoted() {
        let mut text = Text::new(false);
        list().fields(&mut text);
        assert!(text.bytes.starts_with("\"ID\" : 1\n\"NAME\" : \"длинное\"\n\"N\" : 3\n".as_bytes()));
    }
}
