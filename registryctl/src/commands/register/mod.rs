//! `register`: a registration is held for a process that has no SDK.
//!
//! `description` is what is registered, `check` how it is probed, `program` the process with its signals, `standing` the
//! registration as it fares. What always holds: all that can be wrong with the arguments is found before the program is
//! started, and the lease is revoked whatever ends this, but for SIGKILL, after which its TTL is the bound.

mod check;
mod description;
mod program;
mod standing;

use std::future::IntoFuture as _;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use registry_client::{Conflict, Error, Instance, Register as Registering, Registration, Registry, Shutdown, Status};
use rustix::process::Signal;

use self::check::Check;
use self::description::Description;
use self::program::{Program, Signals};
use super::registry::{Namespace, ttl};
use crate::error::CtlError;
use crate::global::{Format, Global};
use crate::output::{say, tell};
use crate::sdk;

const EXAMPLES: &str = "\
Examples:
  registryctl register pay --port 9000 -- ./run --fast
  registryctl register pay --port 9000 --zone a --tag stable --check http:/healthz -- ./run
  registryctl register pay --port 9000 --drain 5s --id pay-1 --on-conflict wait -- ./run
  registryctl register db --endpoint sql=tcp://10.0.0.7:5432 --metadata owner=ops

The program is started first and registered then, whether or not the registry is there yet. Signals are passed on to it,
and its exit code is this program's; 128 and the signal's number if one ended it. It finds its names in
REGISTRY_SERVICE and REGISTRY_INSTANCE. When the registration is refused for good (the id is another's, the user may
not, an operator removed it before it began) the program is told to end by SIGTERM, and the exit code is 1.
Without a program the registration is held until SIGTERM, SIGINT, SIGHUP or SIGQUIT.";

/// Holds a registration for a process: a program that it runs, or one that somebody else runs.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Register {
    /// The service's name.
    service: String,
    #[command(flatten)]
    description: Description,
    /// How long the registration outlives this program at most, in seconds or as in 1m; etcd gives no less than 2 s.
    #[arg(long, default_value = "15", value_parser = ttl)]
    ttl: Duration,
    /// Shown as up only while this passes: tcp, http, http:/PATH, grpc or grpc:NAME at the first endpoint, or an address
    /// as in http://127.0.0.1:9000/healthz, tcp://..., grpc://....
    #[arg(long, value_name = "CHECK")]
    check: Option<Check>,
    /// From one probe to the next.
    #[arg(long, default_value = "5s", value_parser = crate::global::interval, requires = "check", value_name = "TIME")]
    check_interval: Duration,
    /// At SIGTERM, SIGINT and SIGQUIT: show it as draining for so long before the signal is passed on, or the lease is revoked.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration, value_name = "TIME")]
    drain: Duration,
    /// What to do when the id is registered already: fail, wait until that has ended, or take it over.
    #[arg(long, value_enum, default_value = "fail")]
    on_conflict: OnConflict,
    #[command(flatten)]
    namespace: Namespace,
    /// The program, and its arguments.
    #[arg(last = true, value_name = "PROGRAM")]
    command: Vec<String>,
}

/// When the id is registered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    Fail,
    Wait,
    TakeOver,
}

impl From<OnConflict> for Conflict {
    fn from(chosen: OnConflict) -> Self {
        match chosen {
            OnConflict::Fail => Self::Fail,
            OnConflict::Wait => Self::WaitForExpiry,
            OnConflict::TakeOver => Self::TakeOver,
        }
    }
}

/// What all steps know.
struct Held<'a> {
    options: &'a Register,
    registry: Registry,
    instance: Instance,
    /// Of the last revoke.
    limit: Duration,
    is_json: bool,
}

/// How the beginning went.
enum Begun {
    /// The program has ended before it was registered.
    Ended(ExitStatus),
    /// Registered, or refused for good; with a signal that is still to be passed on.
    Answered(Result<Registration, Error>, Option<Signal>),
}

impl Register {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let registry = sdk::registry(global, self.namespace.prefix()).await?;
        let instance = self.description.instance(&self.service, &registry).await?;
        let mut register = registry.register(instance.clone()).ttl(self.ttl).on_conflict(self.on_conflict.into());
        if let Some(check) = &self.check {
            register = register.health(check.probe(&instance)?.interval(self.check_interval));
        }
        // Dropped last: it waits for revokes that were left to the SDK's thread.
        let _guard = registry.guard();
        let is_json = global.write_out == Format::Json;
        let held = Held { options: self, registry, instance, limit: global.command_timeout, is_json };
        let signals = Signals::catch()?;
        match self.command.split_first() {
            Some((program, arguments)) => {
                let program = Program::start(program, arguments, &held.instance)?;
                held.beside(program, register, signals).await
            }
            None => held.alone(register, signals).await,
        }
    }
}

impl Held<'_> {
    /// Until a signal, or until the registration is lost for good.
    async fn alone(&self, register: Registering, mut signals: Signals) -> Result<(), CtlError> {
        let mut registering = pin!(register.into_future());
        let mut away = pin!(standing::away(&self.registry, &self.instance));
        let registration = loop {
            tokio::select! {
                registered = &mut registering => break registered.map_err(sdk::failed)?,
                () = &mut away => {}
                signal = signals.next() => if is_end(signal) { return Ok(()) },
            }
        };
        let name = format!("{}/{}", self.instance.service(), self.instance.id());
        say(&if self.is_json { self.as_json() } else { format!("{name} is registered") })?;
        let mut lost = pin!(standing::lost(registration.state(), &name));
        loop {
            tokio::select! {
                error = &mut lost => return Err(sdk::failed(error)),
                signal = signals.next() => if is_end(signal) { break },
            }
        }
        let drain = self.options.drain;
        let end = Shutdown::new().drain(drain).deadline(drain.saturating_add(self.limit));
        registration.shutdown(end).await.map_err(|error| self.not_revoked(&error))
    }

    /// As long as the program runs.
    async fn beside(&self, mut program: Program, register: Registering, mut signals: Signals) -> Result<(), CtlError> {
        let (registered, mut early) = match self.begin(&mut program, register, &mut signals).await? {
            Begun::Answered(registered, early) => (registered, early),
            Begun::Ended(status) => return passed_on(status),
        };
        let registration = match registered {
            Ok(registration) => registration,
            Err(error) => {
                program.end(&mut signals).await?;
                return Err(sdk::failed(error));
            }
        };
        let name = format!("{}/{}", self.instance.service(), self.instance.id());
        let mut lost = pin!(standing::lost(registration.state(), &name));
        let mut drained = false;
        loop {
            let signal = async {
                match early.take() {
                    Some(early) => early,
                    None => signals.next().await,
                }
            };
            let signal = tokio::select! {
                status = program.ended() => {
                    self.give_back(registration).await;
                    return passed_on(status?);
                }
                error = &mut lost => {
                    program.end(&mut signals).await?;
                    return Err(sdk::failed(error));
                }
                signal = signal => signal,
            };
            if self.drains_at(signal) && !std::mem::replace(&mut drained, true) {
                self.drain(&registration, &mut program, &mut signals).await;
            }
            program.pass_on(signal);
        }
    }

    /// Until it is registered, or never will be.
    async fn begin(
        &self,
        program: &mut Program,
        register: Registering,
        signals: &mut Signals,
    ) -> Result<Begun, CtlError> {
        let mut registering = pin!(register.into_future());
        let mut away = pin!(standing::away(&self.registry, &self.instance));
        loop {
            let signal = tokio::select! {
                status = program.ended() => return Ok(Begun::Ended(status?)),
                registered = &mut registering => return Ok(Begun::Answered(registered, None)),
                () = &mut away => continue,
                signal = signals.next() => signal,
            };
            if self.drains_at(signal) {
                // Others may see it before the answer is here, and are to see it drain then.
                tokio::select! {
                    registered = &mut registering => return Ok(Begun::Answered(registered, Some(signal))),
                    () = tokio::time::sleep(self.options.drain) => {}
                    _ = program.ended() => {}
                }
            }
            program.pass_on(signal);
        }
    }

    /// It is shown as draining before that signal is passed on.
    fn drains_at(&self, signal: Signal) -> bool {
        is_end(signal) && signal != Signal::HUP && !self.options.drain.is_zero()
    }

    /// Shows it as draining for its time; another signal, or the program's end, cuts that short.
    async fn drain(&self, registration: &Registration, program: &mut Program, signals: &mut Signals) {
        let draining = async {
            // A registry that is away is told when it is back.
            drop(registration.set_status(Status::Draining).await);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = draining => {}
            () = tokio::time::sleep(self.options.drain) => {}
            _ = program.ended() => {}
            signal = signals.next() => program.pass_on(signal),
        }
    }

    /// Revokes the lease at once: what it stood for has ended.
    async fn give_back(&self, registration: Registration) {
        let end = Shutdown::new().drain(Duration::ZERO).deadline(self.limit);
        if let Err(error) = registration.shutdown(end).await {
            tell(&self.not_revoked(&error).to_string());
        }
    }

    fn not_revoked(&self, error: &Error) -> CtlError {
        let text = sdk::told(error);
        let ttl = humantime::format_duration(self.options.ttl);
        CtlError::Registry(format!("the lease is not known to be revoked ({text}): it ends by itself within {ttl}"))
    }

    fn as_json(&self) -> String {
        super::registry::instance_json(&self.instance).to_string()
    }
}

/// A signal that ends programs, unlike those that only tell them something.
fn is_end(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal)
}

fn passed_on(status: ExitStatus) -> Result<(), CtlError> {
    if status.success() { Ok(()) } else { Err(CtlError::Ended(status)) }
}
