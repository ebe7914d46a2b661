//! How `--help` groups the settings, and which of them the short `-h` shows.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command};

use crate::logs::print;

/// A heading and the flags below it, in the order of their first appearance.
type Group = (&'static str, &'static [&'static str]);

const GROUPS: [Group; 10] = [
    (
        "Listening",
        &[
            "listen",
            "gateway-listen",
            "core-listen",
            "health-listen",
            "trusted-proxies",
            "client-address-header",
            "shutdown-delay",
            "drain-limit",
        ],
    ),
    ("Identity", &["public-url", "service-did", "service-ids", "audience", "plc-url", "did-documents"]),
    (
        "Database",
        &[
            "database-url",
            "database-url-file",
            "database-connections",
            "prepared-statements",
            "seal-keys-file",
        ],
    ),
    ("Between the services", &["core-url", "core-token-file", "publisher-tokens-file"]),
    ("TLS", &["core-ca", "core-cert", "core-key", "tls-cert", "tls-key", "tls-client-ca", "extra-ca"]),
    (
        "Limits",
        &[
            "max-webhooks",
            "max-secrets",
            "max-pending",
            "rate-limit",
            "deadline",
            "idle-timeout",
            "connections-per-address",
        ],
    ),
    (
        "Webhooks and deliveries",
        &[
            "probe",
            "allow-http",
            "allow-private-ranges",
            "refuse-ranges",
            "nat64",
            "dns-servers",
            "rotation-overlap",
            "delivery",
            "delivery-concurrency",
            "delivery-timeout",
            "retry-schedule",
            "disable-after",
            "disable-after-time",
            "payload-retention",
            "attempt-retention",
        ],
    ),
    (
        "The public network",
        &[
            "intake",
            "jetstream",
            "relay",
            "record-owners",
            "intake-network",
            "max-record-webhooks",
            "max-record-webhooks-in-all",
            "record-rate",
        ],
    ),
    ("Methods", &["lexicons", "descriptors", "site"]),
    ("Observing", &["metrics-listen", "otlp-endpoint", "otlp-sample", "log", "log-format"]),
];

/// What most people set: all that `-h` shows.
const SHORT: [&str; 10] = [
    "listen",
    "gateway-listen",
    "core-listen",
    "public-url",
    "core-url",
    "core-token-file",
    "database-url",
    "seal-keys-file",
    "metrics-listen",
    "log",
];

/// Parses the arguments of `command`, with its settings in groups. Like clap it ends the process after
/// `--help` and at an error; but what may be a secret in the wrong place, a URL or a token, is not in the
/// error.
pub fn matches_from(command: Command, arguments: impl IntoIterator<Item = OsString>) -> ArgMatches {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    grouped(command).try_get_matches_from(&arguments).unwrap_or_else(|error| {
        let texts = arguments.iter().filter_map(|argument| argument.to_str());
        let hidden: Vec<&str> =
            texts.filter(|text| text.contains("://") || text.contains("whsec_")).collect();
        if !error.use_stderr() || hidden.is_empty() {
            error.exit();
        }
        let told = error.render().to_string();
        print(hidden.into_iter().fold(told, |told, text| told.replace(text, "…")).trim_end());
        std::process::exit(error.exit_code());
    })
}

/// The command and its commands with their settings in groups. Other flags stay where they are.
#[must_use]
pub fn grouped(command: Command) -> Command {
    command.mut_args(in_its_group).mut_subcommands(grouped)
}

fn in_its_group(argument: Arg) -> Arg {
    let group = argument.get_long().and_then(|long| {
        let group = GROUPS.iter().find(|(_, flags)| flags.contains(&long));
        group.map(|(heading, _)| (*heading, SHORT.contains(&long)))
    });
    match group {
        Some((heading, short)) => argument.help_heading(heading).hide_short_help(!short),
        None => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_help_has_a_few_and_long_help_all() {
        let flags = ["listen", "deadline", "json"].map(|flag| Arg::new(flag).long(flag).help("it"));
        let mut command = grouped(Command::new("a").subcommand(Command::new("b").args(flags)));
        command.build();
        let command = command.find_subcommand_mut("b").unwrap();
        let short = "Usage: a b [OPTIONS]\n\nOptions:\n      --json <json>  it\n  -h, --help         \
             Print help (see more with '--help')\n\nListening:\n      --listen <listen>  it\n";
        assert_eq!(command.render_help().to_string(), short);
        let long = command.render_long_help().to_string();
        let part = "\nLimits:\n      --deadline <deadline>\n          it\n";
        assert!(long.contains(part), "{long}");
    }
}
