//! A client in a simulation: it runs where and when it is told to, twice alike, and dies without a word.

use std::fmt::Write as _;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_client::simulation::{BoxFuture, Connector, Link, Spawn};
use registry_client::{Endpoint, Error, Instance, Registry};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Takes down who is dialled and when, and reaches nobody.
#[derive(Debug)]
struct Away {
    origin: Instant,
    dialled: Arc<Mutex<String>>,
}

impl Connector for Away {
    fn connect(&self, endpoint: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        writeln!(self.dialled.lock(), "{:?} {endpoint}", self.origin.elapsed()).expect("a text grows");
        Box::pin(async { Err("unplugged".to_owned()) })
    }
}

/// A simulated process.
struct Process {
    registry: Registry,
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
    dialled: Arc<Mutex<String>>,
}

impl Process {
    fn start() -> Self {
        fastrand::seed(7);
        let (tasks, dialled): (Arc<Mutex<Vec<AbortHandle>>>, Arc<Mutex<String>>) = Default::default();
        let connector = Arc::new(Away { origin: Instant::now(), dialled: Arc::clone(&dialled) });
        let spawned = Arc::clone(&tasks);
        let spawn: Spawn = Arc::new(move |task| spawned.lock().push(tokio::spawn(task).abort_handle()));
        let registry = Registry::builder(["http://a:1", "http://b:1"])
            .build_simulated(connector, spawn)
            .expect("the settings make sense");
        Self { registry, tasks, dialled }
    }

    fn kill(&self) {
        self.tasks.lock().iter().for_each(AbortHandle::abort);
    }
}

async fn minute() -> String {
    let process = Process::start();
    let registered = process.registry.register(Instance::builder("pay").build().expect("it is one")).into_future();
    assert!(tokio::time::timeout(Duration::from_secs(60), registered).await.is_err(), "nobody is there");
    process.kill();
    process.dialled.lock().clone()
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_one_seed_dial_at_the_same_moments() {
    let first = minute().await;
    assert!(first.lines().count() > 10, "{first}");
    assert_eq!(first, minute().await);
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_says_nothing_more_and_its_handles_are_closed() {
    let process = Process::start();
    let guard = process.registry.guard();
    let registered =
        tokio::spawn(process.registry.register(Instance::builder("pay").build().expect("it is one")).into_future());
    tokio::time::sleep(Duration::from_secs(5)).await;
    process.kill();
    assert!(matches!(registered.await.unwrap(), Err(Error::Closed)));
    let said = process.dialled.lock().clone();
    drop((guard, process.registry));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*process.dialled.lock(), said);
}
