//! What holds for every command: where the members are, who asks, how long it may take, and in which form it is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, ValueEnum};

/// What holds for every command.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Addresses of the members; the first that answers is used.
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:2379", value_name = "HOST:PORT,...")]
    pub(crate) endpoints: Vec<String>,
    /// The form of the output; table is for lists.
    #[arg(short = 'w', long, global = true, value_enum, default_value = "simple", value_name = "FORM")]
    pub(crate) write_out: Format,
    /// Print keys and values in hexadecimal.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", default_value = "false")]
    pub(crate) hex: bool,
    /// Colours in lists: auto is for terminals, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
    /// How long connecting to an endpoint may take.
    #[arg(long, global = true, default_value = "2s", value_parser = duration, value_name = "TIME")]
    pub(crate) dial_timeout: Duration,
    /// How long a request may take. Commands that run until they are stopped, such as watch, have no limit.
    #[arg(long, global = true, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub(crate) command_timeout: Duration,
    /// Time between pings on a busy connection; gRPC allows no less than 10s, which is used for anything shorter.
    #[arg(long, global = true, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) keepalive_time: Duration,
    /// A connection whose ping is not answered within this time is closed.
    #[arg(long, global = true, default_value = "6s", value_parser = duration, value_name = "TIME")]
    pub(crate) keepalive_timeout: Duration,
    /// User to log in as; on a terminal the password is asked for if it is not given.
    #[arg(long, global = true, value_name = "NAME[:PASSWORD]")]
    pub(crate) user: Option<String>,
    /// Password, if it is not given in --user.
    #[arg(long, global = true, hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// JSON Web Token to use instead of a login.
    #[arg(long, global = true, hide_env_values = true, value_name = "TOKEN", conflicts_with_all = ["user", "password"])]
    pub(crate) auth_jwt_token: Option<String>,
    /// Trust servers whose certificate is signed by a CA in this PEM file. Turns TLS on for endpoints without http:// or https://.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// PEM file with this client's certificate. Turns TLS on, as --cacert does.
    #[arg(long, global = true, value_name = "FILE", requires = "tls-key")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file with the private key of --cert.
    #[arg(id = "tls-key", long = "key", global = true, value_name = "FILE", requires = "cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Use no TLS for endpoints without http:// or https://, unless --cacert or --cert is given; =false turns TLS on.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", default_value = "true")]
    pub(crate) insecure_transport: bool,
    /// Do not check the server's certificate. For tests only: anybody can pretend to be the server.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", default_value = "false")]
    pub(crate) insecure_skip_tls_verify: bool,
    /// Tell on standard error what is connected to and called.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", default_value = "false")]
    pub(crate) debug: bool,
}

/// A time as Go writes it, such as 500ms, 1.5s or 1m30s, or as words, such as 1min 30s.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("{text:?} is not a time: write it as 500ms, 5s or 1m30s");
    let decimal =
        text.strip_suffix("ms").map(|number| (number, 0.001)).or(text.strip_suffix('s').map(|number| (number, 1.0)));
    match decimal.and_then(|(number, unit)| Some((number.parse::<f64>().ok()?, unit))) {
        Some((number, unit)) => {
            Duration::try_from_secs_f64(number * unit).map_err(|error| format!("{text:?}: {error}"))
        }
        None => humantime::parse_duration(text).map_err(wrong),
    }
}

/// When lists have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Also into a pipe or a file.
    Always,
    /// Nowhere.
    Never,
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
    /// Ruled; of lists.
    Table,
}

/// How long between two of something, which is some time.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval.is_zero() { Err("give an interval above 0".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        let read = |text: &str| duration(text).map(|time| time.as_millis());
        assert_eq!(
            ["500ms", "5s", "1.5s", "1m30s", "0s"].map(read),
            [Ok(500), Ok(5_000), Ok(1_500), Ok(90_000), Ok(0)]
        );
        assert!(["5", "-1s", "soon", "1e400s"].iter().all(|text| duration(text).is_err()));
    }
}
