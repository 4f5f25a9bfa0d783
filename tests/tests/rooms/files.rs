//! What every source file of the project keeps to.

use crate::sources::{below, root};

const LINES: usize = 700;

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<_> = below(root()).into_iter().filter(|source| !source.text.starts_with("//!")).collect();
    assert!(silent.is_empty(), "without a //! opening: {:?}", silent.iter().map(|s| &s.path).collect::<Vec<_>>());
}

#[test]
fn no_file_is_above_700_lines() {
    let long: Vec<_> = below(root()).into_iter().filter(|source| source.text.lines().count() > LINES).collect();
    assert!(long.is_empty(), "too long: {:?}", long.iter().map(|source| &source.path).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unsafe_and_nothing_is_left_to_do() {
    for source in below(root()) {
        if source.path.starts_with("tests/tests/rooms") {
            continue;
        }
        for word in ["TODO", "FIXME", "todo!(", "unimplemented!(", "unsafe {", "unsafe fn", "#[allow("] {
            assert!(!source.text.contains(word), "{} has {word}", source.path.display());
        }
    }
}
