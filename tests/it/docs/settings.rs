//! `docs/settings.md`: its tables are made from what `--help` of the programs prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use clap::Args as _;

use super::tree::{read, root};

const DOCUMENT: &str = "docs/settings.md";
const BEGIN: &str = "<!-- Generated: UPDATE_DOCS=1 cargo test --workspace --test it docs:: -->\n";
const END: &str = "<!-- End of the generated part. -->\n";
/// What stands before a description below its flag.
const BELOW: &str = "          ";
/// Commands that take the settings of a service, whose tables come before, or none.
const WITHOUT_TABLE: [&str; 7] = ["dev", "doctor", "gateway", "core-service", "serve", "help", "version"];

#[test]
#[expect(clippy::disallowed_methods, reason = "asked by whoever runs the tests, not by the product")]
fn settings_are_those_of_the_programs() {
    let text = read(DOCUMENT);
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the generated part");
    let (_, after) = rest.split_once(END).expect("the end of the generated part");
    let expected = [before, BEGIN, "\n", &generated(), "\n", END, after].concat();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(DOCUMENT), expected).unwrap();
    } else {
        assert!(
            text == expected,
            "{DOCUMENT} differs from the programs' --help: write it anew with UPDATE_DOCS=1"
        );
    }
}

/// A setting in `--help`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    flag: String,
    /// Its value: `<ADDRESS>`.
    value: String,
    variable: Option<String>,
    /// As it is shown: a value in backticks, or words.
    default: Option<String>,
    meaning: String,
}

/// The default of `flag` as a text, where the programs have one.
pub(super) fn default_of(flag: &str) -> Option<String> {
    let both = settings(&[]);
    let default = both.into_iter().find(|setting| setting.flag == flag)?.default?;
    Some(default.trim_matches('`').to_owned())
}

fn generated() -> String {
    let (gateway, core) = (settings(&["gateway"]), settings(&["core-service"]));
    let athook = settings(&[]);
    let of_both = |setting: &Setting| gateway.contains(setting) && core.contains(setting);
    let own = |settings: &[Setting]| settings.iter().filter(|one| !of_both(one)).cloned().collect::<Vec<_>>();
    let both: Vec<_> = gateway.iter().filter(|setting| of_both(setting)).cloned().collect();
    let in_one: Vec<_> =
        athook.iter().filter(|one| !gateway.contains(one) && !core.contains(one)).cloned().collect();
    // `athook` takes every setting, but for the two of the same name.
    let of_athook: BTreeSet<_> = athook.iter().map(|one| &one.flag).collect();
    let left_out: Vec<_> = gateway.iter().chain(&core).filter(|one| !of_athook.contains(&one.flag)).collect();
    assert!(left_out.iter().all(|one| one.flag == "--listen"), "{left_out:#?}");

    let mut text = String::new();
    table(&mut text, "## gateway", &own(&gateway));
    table(&mut text, "## core-service", &own(&core));
    table(&mut text, "## Both services", &both);
    table(&mut text, "## athook", &in_one);
    text.push_str("## Commands\n");
    for (program, arguments) in [("athook", [].as_slice()), ("core-service", &["core-service"])] {
        for name in commands(arguments) {
            let arguments = [arguments, &[&name]].concat();
            let types = commands(&arguments);
            if types.is_empty() {
                table(&mut text, &format!("\n### {program} {name}"), &settings(&arguments));
            } else {
                tables_of_types(&mut text, &format!("{program} {name}"), &arguments, &types);
            }
        }
    }
    text.trim_end().to_owned() + "\n"
}

fn table(text: &mut String, title: &str, settings: &[Setting]) {
    let lists = lists();
    let _ = writeln!(text, "{title}\n\n| flag | variable | default | meaning |\n| --- | --- | --- | --- |");
    for Setting { flag, value, variable, default, meaning } in settings {
        let list = if lists.contains(flag) { " (list)" } else { "" };
        let variable = variable.as_ref().map_or("–".to_owned(), |name| format!("`{name}`{list}"));
        let default = default.as_deref().unwrap_or("none");
        let flag = [flag, value].map(String::as_str).join(" ");
        let _ = writeln!(text, "| `{}` | {variable} | {default} | {meaning} |", flag.trim_end());
    }
    text.push('\n');
}

/// The tables of a command that has commands itself: of what it has or all of these, and of what each has
/// besides.
fn tables_of_types(text: &mut String, command: &str, arguments: &[&str], types: &[String]) {
    let of_each = types.iter().map(|name| settings(&[arguments, &[name]].concat())).collect::<Vec<_>>();
    let is_shared = |setting: &Setting| of_each.iter().all(|settings| settings.contains(setting));
    let mut shared = settings(arguments);
    let of_all = of_each[0].iter().filter(|one| is_shared(one) && !shared.contains(one)).cloned();
    shared.extend(of_all.collect::<Vec<_>>());
    table(text, &format!("\n### {command}"), &shared);
    for (name, settings) in types.iter().zip(&of_each) {
        let own: Vec<_> = settings.iter().filter(|one| !is_shared(one)).cloned().collect();
        if !own.is_empty() {
            table(text, &format!("\n#### {command} {name}"), &own);
        }
    }
}

/// The flags that take several values, which `--help` does not tell.
fn lists() -> BTreeSet<String> {
    let command = gateway::config::RawGateway::augment_args(clap::Command::new("all"));
    let command = core_service::config::RawCoreArgs::augment_args(command);
    let command = process::settings::RawShared::augment_args(command);
    let lists = command.get_arguments().filter(|argument| argument.get_value_delimiter().is_some());
    lists.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

/// What `athook ARGUMENTS --help` prints.
fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athook"));
    let output = command.env_clear().args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands of `athook ARGUMENTS` that do their work and end.
fn commands(arguments: &[&str]) -> Vec<String> {
    let help = help(arguments);
    let lines =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| !WITHOUT_TABLE.contains(&name.as_str())).collect()
}

/// `help` with each description on the line of its flag. Where `-h` shows less than `--help`, clap sets it
/// below, with its variable and default apart.
fn on_one_line(help: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in help.lines() {
        match (line.strip_prefix(BELOW), lines.last_mut()) {
            _ if line.trim().is_empty() => {}
            (Some(more), Some(last)) if !more.starts_with(' ') => {
                let first = !last.trim_start().contains("  ");
                last.push_str(if first { "  " } else { " " });
                last.push_str(more.trim_end());
            }
            _ => {
                if !line.starts_with(' ') {
                    lines.push(String::new());
                }
                lines.push(line.to_owned());
            }
        }
    }
    lines.join("\n")
}

/// The settings of `athook ARGUMENTS`.
fn settings(arguments: &[&str]) -> Vec<Setting> {
    let found = parsed(&help(arguments));
    let names: BTreeMap<_, _> = found.iter().map(|setting| (&setting.flag, &setting.variable)).collect();
    assert!(names.len() == found.len() && !found.is_empty(), "{arguments:?}: {found:#?}");
    found
}

fn parsed(help: &str) -> Vec<Setting> {
    let help = on_one_line(help);
    let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap_or_default();
    let part = |heading: &'static str| help.lines().skip_while(move |line| *line != heading).skip(1);
    let arguments = part("Arguments:").take_while(|line| !line.is_empty()).filter_map(argument);
    let options = part("Options:").filter_map(option);
    let with_required = arguments.chain(options).map(|mut setting| {
        if usage.split(' ').any(|word| setting.flag.ends_with(word) && word.starts_with(['-', '<'])) {
            setting.default = Some("required".to_owned());
        }
        setting
    });
    with_required.collect()
}

/// `  <WEBHOOK>  The webhook's id`, or in brackets what may be left out.
fn argument(line: &str) -> Option<Setting> {
    let (name, rest) = line.trim_start().split_once("  ")?;
    Some(described(name.to_owned(), "", rest))
}

/// `      --core-url <URL>   The core-service`, perhaps with a short flag before: `  -v, --verbose`.
fn option(line: &str) -> Option<Setting> {
    let line = line.strip_prefix("      ").or_else(|| line.strip_prefix("  "))?;
    let (before, rest) =
        line.split_once("--").filter(|(before, _)| before.is_empty() || before.ends_with(", "))?;
    let (name, rest) = rest.split_once(' ')?;
    if ["help", "version"].contains(&name) {
        return None;
    }
    let rest = rest.trim_start();
    let (value, rest) = if rest.starts_with(['<', '[']) { rest.split_once("  ")? } else { ("", rest) };
    Some(described(format!("{before}--{name}"), value.trim_matches(['[', ']']), rest))
}

/// `The core-service [env: CORE_URL=] [default: http://127.0.0.1:50051]`; a default in words stands before
/// the variable.
fn described(flag: String, value: &str, rest: &str) -> Setting {
    let (meaning, rest) = rest.trim_start().split_once(" [").unwrap_or((rest.trim_start(), ""));
    let (mut variable, mut default) = (None, None);
    for part in rest.split(" [").filter_map(|part| part.strip_suffix(']')) {
        if let Some(name) = part.strip_prefix("env: ") {
            variable = Some(name.trim_end_matches('=').to_owned());
        } else if let Some(value) = part.strip_prefix("default: ") {
            let in_words = variable.is_none();
            default = Some(if in_words { value.to_owned() } else { format!("`{value}`") });
        }
    }
    Setting { flag, value: value.to_owned(), variable, default, meaning: meaning.to_owned() }
}

#[test]
fn help_is_read() {
    let help = "Serves\n\nUsage: a [OPTIONS] --to <FILE> <WHAT> [FROM]\n\nArguments:\n  \
        <WHAT>  What\n  \
        [FROM]  From where [default: -]\n\nOptions:\n      \
        --core-url <URL>     The core-service [env: CORE_URL=] [default: http://a]\n      \
        --did <DID>          Who [default: the service's] [env: DID]\n      \
        --to <FILE>          Into\n      \
        --http [<BOOL>]      May be http\n      \
        --json               Print JSON\n  \
        -v, --verbose        More\n  \
        -H, --header <NAME>  A field\n  \
        -h, --help           Print help\n";
    let setting =
        |flag: &str, value: &str, variable: Option<&str>, default: Option<&str>, meaning: &str| Setting {
            flag: flag.to_owned(),
            value: value.to_owned(),
            variable: variable.map(str::to_owned),
            default: default.map(str::to_owned),
            meaning: meaning.to_owned(),
        };
    let expected = [
        setting("<WHAT>", "", None, Some("required"), "What"),
        setting("[FROM]", "", None, Some("-"), "From where"),
        setting("--core-url", "<URL>", Some("CORE_URL"), Some("`http://a`"), "The core-service"),
        setting("--did", "<DID>", Some("DID"), Some("the service's"), "Who"),
        setting("--to", "<FILE>", None, Some("required"), "Into"),
        setting("--http", "<BOOL>", None, None, "May be http"),
        setting("--json", "", None, None, "Print JSON"),
        setting("-v, --verbose", "", None, None, "More"),
        setting("-H, --header", "<NAME>", None, None, "A field"),
    ];
    assert_eq!(parsed(help), expected);
}

#[test]
fn help_with_descriptions_below_is_read() {
    let help = "Serves\n\nUsage: a [OPTIONS] <WHAT>\n\nArguments:\n  <WHAT>\n          What\n\nOptions:\n  \
        -h, --help\n          Print help (see a summary with '-h')\n\nListening:\n      \
        --listen <ADDRESS>\n          Where to listen\n          \n          [env: LISTEN=]\n          \
        [default: 127.0.0.1:1]\n\n      --http [<BOOL>]\n          May be http\n";
    let setting = |flag: &str, value: &str, meaning: &str| Setting {
        flag: flag.to_owned(),
        value: value.to_owned(),
        variable: None,
        default: None,
        meaning: meaning.to_owned(),
    };
    let expected = [
        Setting { default: Some("required".to_owned()), ..setting("<WHAT>", "", "What") },
        Setting {
            variable: Some("LISTEN".to_owned()),
            default: Some("`127.0.0.1:1`".to_owned()),
            ..setting("--listen", "<ADDRESS>", "Where to listen")
        },
        setting("--http", "<BOOL>", "May be http"),
    ];
    assert_eq!(parsed(help), expected);
}
