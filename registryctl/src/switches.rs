//! Switches as Go's programs take them: `--prefix` may be written `--prefix=true`, and `--prefix=false` as if it were not
//! there.
//!
//! Scripts for etcdctl do so. It is settled before the command line is parsed, so that help and completions show plain
//! switches.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// The line, its switches without values. What follows `--` belongs to somebody else, and stays.
pub(crate) fn plain(command: &Command, line: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut path = vec![command];
    let mut plain = Vec::new();
    let mut words = line.into_iter();
    for word in words.by_ref() {
        let Some(text) = word.to_str() else {
            plain.push(word);
            continue;
        };
        if text == "--" {
            plain.push(word);
            break;
        }
        if let Some(below) = path.last().and_then(|last| last.find_subcommand(text)) {
            path.push(below);
        }
        match text.split_once('=').and_then(|(flag, value)| Some((flag, said(value)?))) {
            Some((flag, is_on)) if path.iter().any(|command| has_switch(command, flag)) => {
                plain.extend(is_on.then(|| OsString::from(flag)));
            }
            _ => plain.push(word),
        }
    }
    plain.extend(words);
    plain
}

/// As Go reads it.
fn said(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn has_switch(command: &Command, flag: &str) -> bool {
    let is_named = |arg: &Arg| match (flag.strip_prefix("--"), flag.strip_prefix('-')) {
        (Some(long), _) => arg.get_long() == Some(long),
        (None, Some(short)) => short.chars().eq(arg.get_short()),
        (None, None) => false,
    };
    command.get_arguments().any(|arg| matches!(arg.get_action(), ArgAction::SetTrue) && is_named(arg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_may_have_the_values_of_go() {
        let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let get = Command::new("get").arg(switch("prefix").short('p')).arg(Arg::new("limit").long("limit"));
        let command = Command::new("ctl").arg(switch("hex").global(true)).subcommand(get);
        let plain = |line: &str| {
            let words = plain(&command, line.split(' ').map(OsString::from));
            words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(plain("ctl get --prefix=true a"), "ctl get --prefix a");
        assert_eq!(plain("ctl get --prefix=false a --hex=1 -p=T"), "ctl get a --hex -p");
        assert_eq!(plain("ctl get --limit=1 --prefix=maybe"), "ctl get --limit=1 --prefix=maybe");
        assert_eq!(plain("ctl --prefix=true get"), "ctl --prefix=true get", "it is no switch of ctl");
        assert_eq!(plain("ctl get -- --prefix=true"), "ctl get -- --prefix=true");
    }
}
