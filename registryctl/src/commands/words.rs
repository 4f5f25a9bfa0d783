//! A line as words, as a shell splits it: spaces part them, quotes hold them together, a backslash takes the next
//! letter as it is.

/// The words of a line; what is wrong with it otherwise.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => quoted(&mut letters, '\'', word.get_or_insert_default(), line)?,
            '"' => quoted(&mut letters, '"', word.get_or_insert_default(), line)?,
            '\\' => word.get_or_insert_default().extend(letters.next()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Up to the quote that ends it. In double quotes a backslash means what it means in Go and C.
fn quoted(letters: &mut std::str::Chars<'_>, quote: char, word: &mut String, line: &str) -> Result<(), String> {
    loop {
        match letters.next() {
            None => return Err(format!("a quote is not ended: {line}")),
            Some(letter) if letter == quote => return Ok(()),
            Some('\\') if quote == '"' => match letters.next() {
                Some('n') => word.push('\n'),
                Some('t') => word.push('\t'),
                Some('r') => word.push('\r'),
                Some(letter) => word.push(letter),
                None => return Err(format!("a quote is not ended: {line}")),
            },
            Some(letter) => word.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(words(r#"put key1  "some extra key""#).unwrap(), ["put", "key1", "some extra key"]);
        assert_eq!(words(r#"a'b c'"d\"e"\ f ''"#).unwrap(), ["ab cd\"e f", ""]);
        assert_eq!(words("  ").unwrap(), [""; 0]);
        assert!(words("put 'a").unwrap_err().contains("put 'a"));
    }
}
