//! `docs/COMPATIBILITY.md` tells of everything there is and of nothing else, and each test that it names exists.
//!
//! What there is is read where the server has it: the `.proto` files and the table of methods, the tables of paths, the
//! help and the table of etcd's other flags, the table of errors. A row is a line of a table that begins with a name in
//! backticks; its last cell holds tests in backticks, as `binary::module::function`, or says `not tested`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::sources::root;

const PAGE: &str = "docs/COMPATIBILITY.md";
const UNTESTED: &str = "not tested";

/// One line of a table.
#[derive(Debug)]
struct Row {
    name: String,
    /// Without the name and the tests.
    cells: Vec<String>,
    tests: Vec<String>,
    is_tested: bool,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What stands between quotation marks.
fn strings(code: &str) -> Vec<&str> {
    code.split('"').skip(1).step_by(2).collect()
}

/// The rows below a heading, up to the next one of any kind.
fn rows(heading: &str) -> Vec<Row> {
    let page = read(PAGE);
    let below = page.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("{PAGE} has no {heading}"));
    let lines = below.lines().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = lines.map(row).collect();
    assert!(!rows.is_empty(), "no rows below {heading}");
    rows
}

fn row(line: &str) -> Row {
    let mut cells: Vec<_> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    assert!(cells.len() > 2, "too few cells: {line}");
    let (tests, name) = (cells.pop().unwrap_or_default(), cells.remove(0));
    let name = quoted(&name).remove(0);
    Row { name, cells, is_tested: !tests.starts_with(UNTESTED), tests: quoted(&tests) }
}

fn names(rows: &[Row]) -> BTreeSet<String> {
    let names: BTreeSet<_> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names.len(), rows.len(), "a row stands twice");
    names
}

/// Compares what the page names with what there is.
fn assert_same(what: &str, told: &BTreeSet<String>, there: &BTreeSet<String>) {
    let missing: Vec<_> = there.difference(told).collect();
    let unknown: Vec<_> = told.difference(there).collect();
    assert!(missing.is_empty(), "{PAGE} lacks {what}: {missing:?}");
    assert!(unknown.is_empty(), "{PAGE} has {what} that do not exist: {unknown:?}");
}

/// The file of a test, and the name of its function.
fn file_of(test: &str) -> Option<(String, String)> {
    let (module, function) = test.rsplit_once("::")?;
    let path = match module.strip_prefix("registry-server::") {
        Some(module) => format!("registry-server/src/{}", module.replace("::", "/")),
        None => format!("tests/tests/{}", module.replace("::", "/")),
    };
    let files = [format!("{path}.rs"), format!("{path}/mod.rs")];
    files.into_iter().find(|file| root().join(file).is_file()).map(|file| (file, function.to_owned()))
}

/// Whether the file has a function with this name that is a test.
fn has_test(file: &str, function: &str) -> bool {
    let text = read(file);
    let mut attributes = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if let Some(rest) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
            let is_test = attributes.iter().any(|it| it.starts_with("#[test]") || it.starts_with("#[tokio::test"));
            if is_test && rest.starts_with(&format!("{function}(")) {
                return true;
            }
            attributes.clear();
        } else if !line.starts_with("//") {
            attributes.clear();
        }
    }
    false
}

/// The methods of the `.proto` files that clients call.
fn methods_of_protos() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let protos = std::fs::read_dir(root().join("registry-proto/proto")).expect("the directory can be listed");
    for proto in protos.map(|entry| entry.expect("the directory can be listed").path()) {
        let text = std::fs::read_to_string(&proto).expect("a proto file is text");
        let after = |line: &str, word: &str| {
            let rest = line.trim().strip_prefix(word)?;
            rest.split([' ', ';', '(']).next().map(str::to_owned)
        };
        let package = text.lines().find_map(|line| after(line, "package ")).expect("a proto file has a package");
        if package.starts_with("registry.") {
            continue;
        }
        let mut service = String::new();
        for line in text.lines() {
            if let Some(name) = after(line, "service ") {
                service = name;
            } else if let Some(method) = after(line, "rpc ") {
                found.insert(format!("{package}.{service}/{method}"));
            }
        }
    }
    found
}

/// The methods that the server answers.
fn methods_served() -> BTreeSet<String> {
    let table = read("registry-server/src/server/methods.rs");
    let table = between(&table, "const METHODS", "];");
    strings(table).into_iter().map(|path| path.trim_start_matches('/').to_owned()).collect()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let rest = text.split(begin).nth(1).unwrap_or_else(|| panic!("{begin} is not to be found"));
    rest.split(end).next().unwrap_or_default()
}

/// The paths of the gateway, of the checks, and the others.
fn paths_served() -> BTreeSet<String> {
    let gateway = read("registry-server/src/http/gateway/routes.rs");
    let gateway = between(&gateway, "const PATHS", "];");
    let mut paths: BTreeSet<_> =
        strings(gateway).into_iter().filter(|path| path.starts_with("/v3/")).map(str::to_owned).collect();
    let checks = read("registry-server/src/http/checks.rs");
    for check in between(&checks, "const CHECKS", "];").lines().filter(|line| line.contains("Check::")) {
        let root = strings(check)[0];
        let name = between(check, "Check::", ")");
        paths.extend([format!("/{root}"), format!("/{root}/{}", snake(name))]);
    }
    let others = read("registry-server/src/http/mod.rs");
    let answered = between(&others, "match path {", "_ =>");
    paths.extend(strings(answered).into_iter().filter(|path| path.starts_with('/')).map(str::to_owned));
    paths
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Each flag, and what becomes of it.
fn flags() -> BTreeMap<String, &'static str> {
    let etcds = read("registry-server/src/server/flags_tests.rs");
    let etcds: BTreeSet<_> = ["const ETCD_VALUES", "const ETCD_BOOLEANS"]
        .iter()
        .flat_map(|table| strings(between(&etcds, table, "];")))
        .map(str::to_owned)
        .collect();
    let mut flags: BTreeMap<_, _> = flags_of_the_help()
        .into_iter()
        .map(|name| {
            let fate = if etcds.contains(&name) { "kept" } else { "own" };
            (name, fate)
        })
        .collect();
    let foreign = read("registry-server/src/server/foreign_flags.rs");
    for flag in between(&foreign, "const FLAGS", "\n];").split("), ").flat_map(|part| part.split("),\n")) {
        let Some(name) = strings(flag).first().copied() else { continue };
        let fate = if flag.contains("Fate::Tunes") { "no effect" } else { "refused" };
        assert_eq!(flags.insert(name.to_owned(), fate), None, "--{name} is known twice");
    }
    let unknown: Vec<_> = etcds.iter().filter(|name| !flags.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "flags of etcd that are not known: {unknown:?}");
    flags
}

/// The flags as `registry-server --help` tells them.
fn flags_of_the_help() -> Vec<String> {
    let help = registry_server::server::flags::parse(["--help".to_owned()], []);
    let help = help.expect_err("help is no setting").to_string();
    let told = help.lines().filter_map(|line| line.trim().trim_start_matches("-h, ").strip_prefix("--"));
    let names = told.filter_map(|rest| rest.split([' ', '[', '=']).next());
    let not_ours = ["help", "version"];
    let mut names: Vec<_> = names.filter(|name| !not_ours.contains(name)).map(str::to_owned).collect();
    // The help's examples name flags as well.
    names.sort();
    names.dedup();
    assert!(names.len() > 50, "the flags were not found: {names:?}");
    names
}

/// Each error's text with its code.
fn errors() -> BTreeMap<String, String> {
    let table = read("registry-server/src/api/status.rs");
    let table = between(&table, "wire_errors! {\n", "\n}");
    let errors = table.lines().filter_map(|line| {
        let (name_and_code, text) = line.trim().trim_end_matches(',').split_once('"')?;
        let code = name_and_code.split_whitespace().nth(1)?;
        Some((text.trim_end_matches('"').to_owned(), code.to_owned()))
    });
    errors.collect()
}

#[test]
fn every_rpc_has_a_row_and_every_row_is_an_rpc() {
    let served = methods_served();
    let of_protos = methods_of_protos();
    assert!(of_protos.len() > 40 && of_protos.is_subset(&served), "{of_protos:?}");
    assert_same("RPCs", &names(&rows("## gRPC")), &served);
}

#[test]
fn every_path_has_a_row_and_every_row_is_a_path() {
    let there = paths_served();
    assert!(there.len() > 60, "the paths were not found: {there:?}");
    let mut told = names(&rows("### The API in JSON"));
    told.extend(names(&rows("### Probes and figures")));
    assert_same("paths", &told, &there);
}

#[test]
fn every_flag_has_a_row_that_tells_what_becomes_of_it() {
    let flags = flags();
    let rows = rows("## Flags");
    let told: BTreeSet<_> = names(&rows).iter().map(|name| name.trim_start_matches("--").to_owned()).collect();
    assert_same("flags", &told, &flags.keys().cloned().collect());
    for row in rows {
        assert_eq!(row.cells[0], flags[row.name.trim_start_matches("--")], "{}", row.name);
    }
}

#[test]
fn every_error_has_a_row_with_its_code_and_tests_that_say_its_text() {
    let errors = errors();
    assert!(errors.len() > 60, "the errors were not found: {errors:?}");
    let provoked = rows("### Errors that a client gets");
    let others = rows("### Errors that no client gets");
    let mut told = names(&provoked);
    told.extend(names(&others));
    assert_eq!(told.len(), provoked.len() + others.len(), "an error stands in both tables");
    assert_same("errors", &told, &errors.keys().cloned().collect());
    for row in provoked.iter().chain(&others) {
        assert_eq!(row.cells[0], errors[&row.name], "{}", row.name);
    }
    for row in &provoked {
        assert!(!row.tests.is_empty(), "{} has no test", row.name);
        for test in &row.tests {
            let (file, _) = file_of(test).unwrap_or_else(|| panic!("{test} is in no file"));
            assert!(file.starts_with("tests/"), "{test} has no real client");
            let text = read(&file);
            assert!(text.contains(&row.name), "{file} does not say {:?}", row.name);
            assert!(text.contains(&row.cells[0]), "{file} does not say {}", row.cells[0]);
        }
    }
}

#[test]
fn every_test_that_a_row_names_exists() {
    let page = read(PAGE);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for row in page.lines().filter(|line| line.starts_with("| `")).map(row) {
        if row.is_tested == row.tests.is_empty() {
            wrong.push(format!("{}: no test, and it does not say {UNTESTED:?}, or both", row.name));
        }
        for test in row.tests {
            count += 1;
            if !file_of(&test).is_some_and(|(file, function)| has_test(&file, &function)) {
                wrong.push(format!("{}: {test}", row.name));
            }
        }
    }
    assert!(count > 100, "the tests were not found");
    assert!(wrong.is_empty(), "rows whose tests do not exist: {wrong:#?}");
}

#[test]
fn a_test_is_told_from_other_functions() {
    let file = Path::new(file!()).file_name().and_then(|name| name.to_str()).expect("it is text");
    let file = format!("tests/tests/rooms/{file}");
    assert!(has_test(&file, "a_test_is_told_from_other_functions"));
    assert!(!has_test(&file, "quoted"));
    assert!(!has_test(&file, "a_test"));
    assert_eq!(file_of("rooms::compatibility::quoted"), Some((file, "quoted".to_owned())));
    assert_eq!(file_of("rooms::nothing::quoted"), None);
}
