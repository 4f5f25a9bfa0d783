//! A table with ruled lines, aligned by what cells take of a terminal: a letter of China or Japan takes two columns.

use unicode_width::UnicodeWidthStr as _;

/// The table, each line ended.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.chain([head[column].width()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
    let line = |cells: &mut dyn Iterator<Item = (usize, &str)>, is_head: bool| {
        let mut text = String::new();
        for (width, cell) in cells {
            let spare = width.saturating_sub(cell.width());
            let before = if is_head { spare / 2 } else { spare };
            text.push_str(&format!("| {}{cell}{} ", " ".repeat(before), " ".repeat(spare - before)));
        }
        text + "|\n"
    };
    let mut text = rule.clone() + &line(&mut widths.iter().copied().zip(head.iter().copied()), true) + &rule;
    for row in rows {
        text.push_str(&line(&mut widths.iter().copied().zip(row.iter().map(String::as_str)), false));
    }
    if rows.is_empty() { text } else { text + &rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = table(&["ID", "NAME"], &[vec!["1".to_owned(), "длинное".to_owned()]]);
        let expected = "+----+---------+\n| ID |  NAME   |\n+----+---------+\n|  1 | длинное |\n+----+---------+\n";
        assert_eq!(text, expected);
        let text = table(&["NAME"], &[vec!["日本".to_owned()], vec!["abcdef".to_owned()]]);
        assert_eq!(text, "+--------+\n|  NAME  |\n+--------+\n|   日本 |\n| abcdef |\n+--------+\n");
    }
}
