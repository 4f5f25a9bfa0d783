//! The examples that serve: found, called, and ended without a failed request or a lease left behind.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use registry_client::{Registry, Selector, Status, View};
use registry_testing::TestRegistry;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(20);

/// Killed if the test fails.
struct Service {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Service {
    fn start(program: &str, arguments: &[&str], registry: &TestRegistry) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env("REGISTRY", &registry.endpoints()[0]).env("POD_IP", "127.0.0.1");
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

fn view(registry: &TestRegistry, service: &str) -> View {
    let registry = Registry::builder(registry.endpoints()).build().unwrap();
    let all = [Status::Starting, Status::Up, Status::Draining];
    registry.watch(service).start().unwrap().select(Selector::endpoint("http").statuses(all))
}

fn status(view: &View) -> Option<Status> {
    view.snapshot().instances().first().map(|found| found.status())
}

/// A connection on which a request is under way.
fn asked(authority: &str, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(authority)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
    Ok(stream)
}

fn answer(mut stream: TcpStream) -> std::io::Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_terminated_finishes_what_is_under_way_and_leaves_no_lease() {
    let registry = TestRegistry::start().await.unwrap();
    let arguments = ["--port", "0", "--drain-ms", "2000", "--deadline-ms", "10000"];
    let mut service = Service::start(env!("CARGO_BIN_EXE_graceful_shutdown"), &arguments, &registry);
    let view = view(&registry, "sleeper");
    until("it is registered", || status(&view) == Some(Status::Up)).await;
    let authority = view.snapshot().instances()[0].endpoint("http").unwrap().authority();
    assert!(authority.starts_with("127.0.0.1:"), "{authority}: not every interface, but POD_IP");

    // It takes longer than clients have to see that the instance is draining.
    let slow = asked(&authority, "/sleep/3000").unwrap();
    service.terminate();
    until("it is seen to drain", || status(&view) == Some(Status::Draining)).await;
    let late = asked(&authority, "/sleep/0").and_then(answer).unwrap();
    assert!(late.contains("slept for 0 ms"), "who has not seen it is served: {late}");
    until("its instance is gone", || status(&view).is_none()).await;
    assert!(answer(slow).unwrap().contains("slept for 3000 ms"));
    assert!(service.process.wait().unwrap().success());
    assert!(service.lines.any(|line| line.unwrap() == "ended in order"));
    assert_eq!(registry.leases().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_axum_service_is_up_once_it_is_healthy_and_its_client_finds_it() {
    let registry = TestRegistry::start().await.unwrap();
    let mut service = Service::start(env!("CARGO_BIN_EXE_http_service"), &["serve"], &registry);
    let view = view(&registry, "hello");
    until("it is up", || status(&view) == Some(Status::Up)).await;
    let mut client = Service::start(env!("CARGO_BIN_EXE_http_service"), &["call", "--times", "3"], &registry);
    let answers: Vec<_> = client.lines.by_ref().map(Result::unwrap).collect();
    assert!(answers.len() == 3 && answers.iter().all(|answer| answer.contains("hello from")), "{answers:?}");
    service.terminate();
    assert!(service.process.wait().unwrap().success());
    assert_eq!(registry.leases().await.unwrap(), 0);
}
