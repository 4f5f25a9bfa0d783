//! Reading the output of a tool that is left running.

use std::io::{BufRead, BufReader, Read};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use registry_tests::budget::SOON;
use registry_tests::etcdctl::{self, Left};

/// Lines that may wait to be read.
const LINES: usize = 1_000;

/// A tool that runs, its output as lines.
pub(crate) struct Reading {
    left: Left,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Reading {
    pub(crate) fn start(address: &str, arguments: &[&str]) -> Self {
        let mut left = etcdctl::leave(address, arguments);
        let lines = read(left.0.stdout.take().expect("it is piped"));
        let errors = read(left.0.stderr.take().expect("it is piped"));
        Self { left, lines, errors }
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        match self.lines.recv_timeout(SOON) {
            Ok(line) => line,
            Err(error) => {
                panic!("no line: {error}; on standard error: {:?}", self.errors.try_iter().collect::<Vec<_>>())
            }
        }
    }

    /// Checks the next lines.
    #[track_caller]
    pub(crate) fn lines(&self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.line(), *expected);
        }
    }

    /// What it reads.
    pub(crate) fn stdin(&mut self) -> &mut ChildStdin {
        self.left.0.stdin.as_mut().expect("it is piped")
    }

    /// The lines until it ends by itself.
    pub(crate) fn to_end(&self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => lines.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return lines,
                Err(error) => panic!("it does not end: {error}; it said {lines:?}"),
            }
        }
    }
}

fn read(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = sync_channel(LINES);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
