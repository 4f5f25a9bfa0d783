//! `docs/testing.md` names tests for each of the SDK's guarantees, and each of them exists.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{below, root};

const PAGE: &str = "docs/testing.md";
const HEADING: &str = "\n## The SDK's guarantees\n";
const GUARANTEES: usize = 17;

/// The tests that the page names, by guarantee.
fn named() -> BTreeMap<usize, Vec<String>> {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("the page is there");
    let section = page.split(HEADING).nth(1).expect("the page has the section");
    let lines = section.lines().take_while(|line| !line.starts_with("## "));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let number = cells.first()?.parse().ok()?;
        let tests = cells.last()?.split('`').skip(1).step_by(2).map(str::to_owned);
        Some((number, tests.collect()))
    };
    lines.filter_map(row).collect()
}

/// The functions that are called like the test of a guarantee.
fn there() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in below(root()) {
        for rest in source.text.split("fn g").skip(1) {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
            found.insert(format!("g{}", &rest[..end]));
        }
    }
    found
}

#[test]
fn each_guarantee_of_the_sdk_has_tests_that_exist() {
    let (named, there) = (named(), there());
    assert_eq!(named.keys().copied().collect::<Vec<_>>(), (1..=GUARANTEES).collect::<Vec<_>>());
    for (guarantee, tests) in named {
        let prefix = format!("g{guarantee:02}_");
        assert!(tests.iter().any(|test| test.starts_with(&prefix)), "{PAGE} names no test {prefix}...");
        for test in tests {
            assert!(there.contains(&test), "{PAGE} names {test}, which does not exist");
        }
    }
}
