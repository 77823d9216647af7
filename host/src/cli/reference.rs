//! `docs/CLI.md`: the help of every command on one page, held fresh by a test.
//!
//! `SNAPSHOTS=overwrite cargo test -p tasq-host --bin tasq-host reference` writes it.

use clap::{Command, CommandFactory};
use snapbox::{Assert, Data};

const HEAD: &str = "\
# The command line

What `--help` says of every command. A test writes this page; it is not to be edited. The options under \"Global options\" belong to
every command and are listed only here. Settings may come from `tasq.toml` and the environment as well: [tasq.toml](tasq.toml).
";

#[test]
fn the_reference_is_what_help_says() {
    let mut page = HEAD.to_owned();
    let mut root = super::Cli::command().term_width(100);
    root.build();
    section(&mut page, &root, "tasq-host");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CLI.md");
    Assert::new().normalize_paths(false).action_env("SNAPSHOTS").eq(page, Data::read_from(file.as_ref(), None));
}

/// The command and those under it; `path` is how it is called.
fn section(page: &mut String, command: &Command, path: &str) {
    let is_root = !path.contains(' ');
    // Elsewhere they would be half of each section.
    let shown = command.clone().mut_args(|arg| if is_root || !arg.is_global_set() { arg } else { arg.hide(true) });
    let help = shown.bin_name(path).term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        section(page, inner, &format!("{path} {}", inner.get_name()));
    }
}

/// What a page of help owes its reader.
#[test]
fn every_command_says_what_it_is_for_and_has_an_example() {
    fn look(command: &Command, path: &str, poor: &mut Vec<String>) {
        let example = command.get_after_help().is_some_and(|help| help.to_string().contains("tasq-host "));
        if command.get_about().is_none() || !example {
            poor.push(path.to_owned());
        }
        for argument in command.get_arguments().filter(|argument| argument.get_help().is_none()) {
            poor.push(format!("{path} {}", argument.get_id()));
        }
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            look(inner, &format!("{path} {}", inner.get_name()), poor);
        }
    }
    let mut poor = Vec::new();
    look(&super::Cli::command(), "tasq-host", &mut poor);
    assert!(poor.is_empty(), "without a purpose or an example: {poor:?}");
}
