//! Clients that put keys, each waiting for its answer before it puts the next, and what came of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::etcdserverpb::PutRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;

/// Clients that share a connection.
const SHARING: usize = 10;

/// Keys to be put are given here; whoever gives them waits while all clients are busy.
pub(super) struct Writers {
    pub(super) keys: async_queue::Sender,
    results: mpsc::Receiver<Put>,
    clients: JoinSet<()>,
}

/// A queue of which several take.
mod async_queue {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::{Mutex, mpsc};

    pub(in crate::commands::check) type Sender = mpsc::Sender<Bytes>;

    #[derive(Clone)]
    pub(super) struct Receiver(Arc<Mutex<mpsc::Receiver<Bytes>>>);

    pub(super) fn queue(bound: usize) -> (Sender, Receiver) {
        let (sender, receiver) = mpsc::channel(bound);
        (sender, Receiver(Arc::new(Mutex::new(receiver))))
    }

    impl Receiver {
        pub(super) async fn take(&self) -> Option<Bytes> {
            self.0.lock().await.recv().await
        }
    }
}

/// How one put went.
type Put = Result<Duration, String>;

impl Writers {
    /// So many clients, which put `value_bytes` of zeros under each key.
    pub(super) async fn start(global: &Global, clients: usize, value_bytes: usize) -> Result<Self, CtlError> {
        let value = Bytes::from(vec![0; value_bytes]);
        let (keys, queue) = async_queue::queue(clients);
        let (told, results) = mpsc::channel(clients);
        let mut tasks = JoinSet::new();
        let mut connection = connect::any(global).await?;
        for number in 0..clients {
            if number > 0 && number % SHARING == 0 {
                connection = connect::any(global).await?;
            }
            tasks.spawn(client(connection.clone(), queue.clone(), value.clone(), told.clone()));
        }
        Ok(Self { keys, results, clients: tasks })
    }

    /// Puts what `give` sends until it ends; `each` is called for every answer.
    pub(super) async fn measure<F: Future<Output = ()>>(
        self,
        give: impl FnOnce(async_queue::Sender) -> F,
        mut each: impl FnMut(),
    ) -> Measured {
        let Self { keys, mut results, mut clients } = self;
        let began = Instant::now();
        let mut measured = Measured::default();
        let gather = async {
            while let Some(result) = results.recv().await {
                each();
                measured.add(result);
            }
        };
        tokio::join!(give(keys), gather);
        measured.took = began.elapsed();
        while clients.join_next().await.is_some() {}
        measured
    }
}

async fn client(connection: Connection, keys: async_queue::Receiver, value: Bytes, told: mpsc::Sender<Put>) {
    let mut client = KvClient::new(connection);
    while let Some(key) = keys.take().await {
        let began = Instant::now();
        let request = PutRequest { key, value: value.clone(), ..PutRequest::default() };
        let result = client.put(request).await;
        let result = result.map(|_| began.elapsed()).map_err(|status| CtlError::from(status).to_string());
        if told.send(result).await.is_err() {
            return;
        }
    }
}

/// What came of all puts.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// From the first to the last.
    pub(super) took: Duration,
    /// Puts that succeeded.
    pub(super) puts: u64,
    /// How many failed, by reason.
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) slowest: Duration,
    /// Sum, and sum of squares, of the seconds that those that succeeded took.
    pub(super) sums: (f64, f64),
}

impl Measured {
    fn add(&mut self, result: Put) {
        match result {
            Ok(took) => {
                let seconds = took.as_secs_f64();
                self.puts += 1;
                self.slowest = self.slowest.max(took);
                self.sums = (self.sums.0 + seconds, self.sums.1 + seconds * seconds);
            }
            Err(why) => *self.errors.entry(why).or_default() += 1,
        }
    }

    /// Puts a second.
    pub(super) fn rate(&self) -> f64 {
        self.puts as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Standard deviation of the seconds that puts took.
    pub(super) fn deviation(&self) -> f64 {
        let count = (self.puts as f64).max(1.0);
        let mean = self.sums.0 / count;
        (self.sums.1 / count - mean * mean).max(0.0).sqrt()
    }
}

/// A key of so many bytes after the prefix, its first ones random.
pub(super) fn key(prefix: &str, bytes: usize) -> Bytes {
    let mut key = Vec::with_capacity(prefix.len() + bytes);
    key.extend_from_slice(prefix.as_bytes());
    key.extend_from_slice(&fastrand::u64(..).to_be_bytes());
    key.resize(prefix.len() + bytes, 0);
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_rate_slowest_and_deviation() {
        let mut measured = Measured { took: Duration::from_secs(2), ..Measured::default() };
        for took in [100, 300] {
            measured.add(Ok(Duration::from_millis(took)));
        }
        measured.add(Err("gone".to_owned()));
        assert_eq!((measured.puts, measured.slowest, measured.errors["gone"]), (2, Duration::from_millis(300), 1));
        assert!((measured.rate() - 1.0).abs() < 1e-9 && (measured.deviation() - 0.1).abs() < 1e-9);
    }
}
