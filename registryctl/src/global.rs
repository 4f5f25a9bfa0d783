//! What holds for every command: where the members are, who asks, how long it may take, and in which form it is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, ValueEnum};

/// What holds for every command.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Global {
    /// The members' addresses; the first that answers is used.
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:2379", value_name = "HOST:PORT,...")]
    pub(crate) endpoints: Vec<String>,
    /// In which form to print: simple, fields, json, protobuf or table.
    #[arg(short = 'w', long, global = true, value_enum, default_value = "simple")]
    pub(crate) write_out: Format,
    /// Print keys and values in hexadecimal.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) hex: bool,
    /// How long connecting to an endpoint may take.
    #[arg(long, global = true, default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) dial_timeout: Duration,
    /// How long a request may take; commands that go on, as watch, are not bounded.
    #[arg(long, global = true, default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) command_timeout: Duration,
    /// A name, or name:password.
    #[arg(long, global = true, value_name = "NAME[:PASSWORD]")]
    pub(crate) user: Option<String>,
    /// The password, if it is not given with the name.
    #[arg(long, global = true, hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// A file of certificates; who signed the server's is believed. TLS is used if it is given, or with https endpoints.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// The client's certificate.
    #[arg(long, global = true, value_name = "FILE", requires = "tls-key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key.
    #[arg(id = "tls-key", long = "key", global = true, value_name = "FILE", requires = "cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// Forms of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Simple,
    /// A field a line.
    Fields,
    /// One line.
    Json,
    /// The answer's message, encoded.
    Protobuf,
    /// Ruled; of lists of endpoints and members.
    Table,
}
