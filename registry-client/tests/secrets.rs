//! No password and no token is ever in a log, whatever its level and whoever writes it.
//!
//! In a process of its own, as what listens to the log listens to all of the process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, unused_imports, reason = "other suites use the rest")]
#[path = "kit/mod.rs"]
mod kit;

use std::future::IntoFuture;
use std::io::{Result, Write};
use std::sync::{Arc, Mutex};

use kit::{Calls, PASSWORD, instance, own_server_with, soon};
use registry_client::Registry;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_password_and_no_token_is_logged_at_any_level() {
    let Some(server) = own_server_with(&["--bcrypt-cost=4"]) else { return };
    let mut calls = Calls::connect(&server.endpoint).await;
    calls.add_users("/prod").await;
    calls.enable_auth().await;
    let made_elsewhere = calls.token_of("pay").await;

    let log = Log::default();
    let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    all.init();
    let builder = Registry::builder([server.endpoint.clone()]).namespace("/prod");
    let right = builder.clone().auth("pay", PASSWORD).build().unwrap();
    let registration = soon("it registers", right.register(instance("1")).into_future()).await.unwrap();
    let wrong = builder.clone().auth("pay", "wrong-horse").build().unwrap();
    let error = soon("connecting fails", wrong.connect()).await.unwrap_err();
    let token = made_elsewhere.clone();
    let source = move || std::future::ready(Ok::<_, std::io::Error>(token.clone()));
    let elsewhere = builder.auth_with(source).build().unwrap();
    soon("it connects", elsewhere.connect()).await.unwrap();
    tracing::info!(?right, ?registration, ?wrong, ?error, "shown");

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("registry_client::channel") && text.contains("shown"), "something is logged");
    for secret in [PASSWORD, "wrong-horse", &made_elsewhere] {
        assert!(!text.contains(secret), "{secret:?} is in the log");
    }
}
