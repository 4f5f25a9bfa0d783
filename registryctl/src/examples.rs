//! Examples in the help of every command: its own, or those of the noun above it in which it stands.

use clap::Command;

/// How the examples of a command begin.
const HEAD: &str = "Example";

/// The command with examples in all of its subcommands.
pub(crate) fn everywhere(command: Command) -> Command {
    below(command, "", "")
}

/// `path` is how the command is called, behind the program's name; `above` are the examples that its noun has.
fn below(mut command: Command, path: &str, above: &str) -> Command {
    let own = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = if own.contains(HEAD) { own } else { of(path, above) };
    if !examples.is_empty() {
        command = command.after_help(examples.clone());
    }
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(name, |sub| below(sub, path.trim_start(), &examples));
    }
    command
}

/// The lines in which the command is called.
fn of(path: &str, above: &str) -> String {
    let calls =
        |line: &&str| line.starts_with("  ") && line.split_whitespace().collect::<Vec<_>>().join(" ").contains(path);
    let lines: Vec<_> = above.lines().filter(calls).collect();
    if lines.is_empty() { String::new() } else { format!("{HEAD}s:\n{}", lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_examples_has_those_of_its_noun_that_call_it() {
        let lease = Command::new("lease").subcommand(Command::new("grant")).subcommand(Command::new("list"));
        let lease = lease.after_help("Examples:\n  ctl lease grant 60\n  ctl lease list -w json\n\nA lease ends.");
        let all = everywhere(Command::new("ctl").subcommand(lease));
        let told = all.find_subcommand("lease").unwrap().find_subcommand("list").unwrap().get_after_help().unwrap();
        assert_eq!(told.to_string(), "Examples:\n  ctl lease list -w json");
    }
}
