//! YAML as far as files of settings need it: a mapping of scalars and lists, with sections of the same one level deep.
//!
//! Everything else, aliases above all, is an error with its line. Values stay texts; what they mean is decided by whoever
//! knows the key.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its key stands, from 1.
    pub(super) line: usize,
    /// The key above it.
    pub(super) section: Option<String>,
    pub(super) key: String,
    pub(super) value: Value,
}

/// A setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing behind the colon, `~` or `null`.
    Null,
    One(String),
    Many(Vec<String>),
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It cannot be read at all.
    #[error("line {line}: {reason}; it must be YAML")]
    Syntax {
        /// Where.
        line: usize,
        /// As the library says it.
        reason: String,
    },
    /// It is YAML and not as files of settings are.
    #[error("line {line}: {found}; write `key: value` a line")]
    Shape {
        /// Where.
        line: usize,
        /// What stands there.
        found: &'static str,
    },
    /// Only one of the values could count.
    #[error("line {line}: {key:?} is given a second time; leave one out")]
    Twice {
        /// Where.
        line: usize,
        /// Which.
        key: String,
    },
}

impl Entry {
    /// The key with its section.
    pub(super) fn path(&self) -> String {
        self.section.as_ref().map_or_else(|| self.key.clone(), |section| format!("{section}.{}", self.key))
    }
}

/// Reads all settings, in their order.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, YamlError> {
    let mut reader = Reader { events: Parser::new_from_str(text), entries: Vec::new() };
    let (mut event, mut line) = reader.next()?;
    while matches!(event, Event::StreamStart | Event::DocumentStart(_)) {
        (event, line) = reader.next()?;
    }
    match event {
        Event::MappingStart(..) => reader.mapping(None)?,
        Event::StreamEnd => return Ok(Vec::new()),
        // Comments only.
        Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty() || text == "~" => {}
        _ => return Err(YamlError::Shape { line, found: "this is no mapping" }),
    }
    match reader.next()? {
        (Event::DocumentEnd | Event::StreamEnd, _) => {}
        (_, line) => return Err(YamlError::Shape { line, found: "something follows the settings" }),
    }
    match reader.next() {
        Ok((Event::DocumentStart(_), line)) => Err(YamlError::Shape { line, found: "a second document begins" }),
        _ => Ok(reader.entries),
    }
}

struct Reader<'input> {
    events: Parser<'input, StrInput<'input>>,
    entries: Vec<Entry>,
}

impl<'input> Reader<'input> {
    /// The next event, and its line.
    fn next(&mut self) -> Result<(Event<'input>, usize), YamlError> {
        let Some(next) = self.events.next() else { return Ok((Event::StreamEnd, 0)) };
        let (event, Span { start, .. }) =
            next.map_err(|error| YamlError::Syntax { line: error.marker().line(), reason: error.info().to_owned() })?;
        if let Event::Alias(_) = event {
            return Err(YamlError::Shape { line: start.line(), found: "an alias stands here" });
        }
        Ok((event, start.line()))
    }

    /// What stands between a mapping's start, which was read, and its end.
    fn mapping(&mut self, section: Option<&str>) -> Result<(), YamlError> {
        loop {
            let (event, line) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(()),
                Event::Scalar(key, ..) => key.into_owned(),
                _ => return Err(YamlError::Shape { line, found: "a key is no text" }),
            };
            let (event, at) = self.next()?;
            let value = match event {
                Event::Scalar(text, style, ..) => scalar(&text, style),
                Event::SequenceStart(..) => Value::Many(self.list()?),
                Event::MappingStart(..) if section.is_none() => {
                    self.mapping(Some(&key))?;
                    continue;
                }
                _ => return Err(YamlError::Shape { line: at, found: "a section stands in a section" }),
            };
            self.add(Entry { line, section: section.map(str::to_owned), key, value })?;
        }
    }

    /// What stands between a list's start, which was read, and its end.
    fn list(&mut self) -> Result<Vec<String>, YamlError> {
        let mut values = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(values),
                (Event::Scalar(text, ..), _) => values.push(text.into_owned()),
                (_, line) => {
                    return Err(YamlError::Shape { line, found: "a list has something else than values in it" });
                }
            }
        }
    }

    fn add(&mut self, entry: Entry) -> Result<(), YamlError> {
        let is_same = |other: &Entry| (&other.section, &other.key) == (&entry.section, &entry.key);
        if self.entries.iter().any(is_same) {
            return Err(YamlError::Twice { line: entry.line, key: entry.path() });
        }
        self.entries.push(entry);
        Ok(())
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        _ => Value::One(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: usize, section: Option<&str>, key: &str, value: Value) -> Entry {
        Entry { line, section: section.map(str::to_owned), key: key.to_owned(), value }
    }

    fn one(text: &str) -> Value {
        Value::One(text.to_owned())
    }

    #[test]
    fn settings_are_read_with_their_lines() {
        let text =
            "# first\na: 1\nb: 'null'\nc:\nd: [x, \"y\"]\ns:\n  a: http://h:1\n  e: null\nf: |\n  two\n  lines\n";
        assert_eq!(
            read(text).unwrap(),
            [
                entry(2, None, "a", one("1")),
                entry(3, None, "b", one("null")),
                entry(4, None, "c", Value::Null),
                entry(5, None, "d", Value::Many(vec!["x".into(), "y".into()])),
                entry(7, Some("s"), "a", one("http://h:1")),
                entry(8, Some("s"), "e", Value::Null),
                entry(9, None, "f", one("two\nlines\n")),
            ]
        );
        for nothing in ["", "# only this\n", "---\n", "{}", "--- {}\n"] {
            assert_eq!(read(nothing).unwrap(), [], "{nothing:?}");
        }
    }

    #[test]
    fn what_is_not_a_file_of_settings_is_told_with_its_line() {
        for (text, words) in [
            ("a: 1\na: 2\n", "line 2: \"a\" is given a second time"),
            ("just text", "no mapping"),
            ("- a\n- b\n", "no mapping"),
            ("a: 1\nb: [1, {c: 2}]\n", "line 2: a list has something else"),
            ("a:\n  b:\n    c: 1\n", "line 3: a section stands in a section"),
            ("a: &x 1\nb: *x\n", "line 2: an alias stands here"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: [1\nb: 2\n", "must be YAML"),
            ("a: \"1\n", "must be YAML"),
            ("[a]: 1\n", "a key is no text"),
        ] {
            let line = read(text).unwrap_err().to_string();
            assert!(line.contains(words), "{text:?}: {line}");
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_hang() {
        let pieces =
            ["a", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "'", "\"", "&x", "*x", "!!t", "|", "%", "#", "\t", "---"];
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let text: String = (0..rng.usize(..24)).map(|_| pieces[rng.usize(..pieces.len())]).collect();
            drop(read(&text));
        }
        drop(read(&"[".repeat(100_000)));
        drop(read(&"{a: ".repeat(100_000)));
    }
}
