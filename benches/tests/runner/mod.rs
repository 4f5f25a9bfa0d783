//! What runs the tests that start this program itself as the server: a file that uses it has `harness = false`.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use registry_bench::process::Program;

/// A test with its name.
pub(crate) type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

/// With a server's flags this program is `registry-server`; otherwise it runs its tests, those whose names have one of the
/// arguments in them.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--name") {
        return registry_server::server::program::main();
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, test) in tests.iter().filter(|(name, _)| wanted(name)) {
        println!("test {name} ...");
        // A panic ends the program with a failure, and says where.
        runtime.block_on(test());
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

/// This program as the server.
pub(crate) fn ours() -> Program {
    let path = std::env::current_exe().unwrap();
    Program { name: "ours".to_owned(), path, flags: vec!["--quota-backend-bytes=1073741824".to_owned()] }
}

pub(crate) fn is_empty(dir: &Path) -> bool {
    dir.read_dir().unwrap().next().is_none()
}
