//! Values of the standard library and other crates among the settings. Their own error texts explain little
//! ("invalid socket address syntax"), so what is told is what fits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{Problems, list_of};
use crate::logs::OWN_CRATES;

/// `text` as an error shows it: a URL that stands in the wrong place may have a password.
pub(super) fn told(text: &str) -> String {
    if text.contains("://") { "a URL".to_owned() } else { format!("{text:?}") }
}

/// The same for a path.
pub(super) fn told_path(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains("://") { "a URL, and not a path".to_owned() } else { text }
}

impl Problems {
    /// Parses `text`; if it is invalid, `expected` is recorded in place of the error. `None`: it is invalid.
    pub fn parse_as<T: FromStr>(&mut self, flag: &str, text: &str, expected: impl fmt::Display) -> Option<T> {
        let parsed = text.trim().parse().ok();
        if parsed.is_none() {
            self.note(flag, format_args!("{}: {expected}", told(text)));
        }
        parsed
    }

    /// Parses a number that is not negative. `None`: it is invalid, and the problem is recorded.
    pub fn number<T: FromStr>(&mut self, flag: &str, text: &str) -> Option<T> {
        self.parse_as(flag, text, "a whole number")
    }

    /// Parses an address to listen on or to call. `None`: it is invalid, and the problem is recorded, with an
    /// example that has as much of it as can be used, else `port`.
    pub fn address(&mut self, flag: &str, text: &str, port: u16) -> Option<SocketAddr> {
        let example = example(text.trim(), port);
        self.parse_as(flag, text, format_args!("an IP address and a port, such as {example}"))
    }

    /// Parses a duration with its unit: `8s`, `500ms`, `2m`. `None`: it is invalid, and the problem is
    /// recorded.
    pub fn duration(&mut self, flag: &str, text: &str) -> Option<Duration> {
        let parsed = humantime::parse_duration(text.trim()).ok();
        if parsed.is_none() {
            self.note(flag, format_args!("{}: a time with its unit, such as 8s, 500ms or 2m", told(text)));
        }
        parsed
    }

    /// Parses `on` or `off`. `None`: it is neither, and the problem is recorded.
    pub fn switch(&mut self, flag: &str, text: &str) -> Option<bool> {
        match text.trim() {
            "on" => Some(true),
            "off" => Some(false),
            other => {
                self.note(flag, format_args!("{}: on or off", told(other)));
                None
            }
        }
    }

    /// Records a problem if `filter` is no filter of log lines, or a single word that is neither a level nor
    /// one of athook's crates: a level with a typo would be taken for a crate, of which nothing is logged.
    pub(super) fn log_filter(&mut self, flag: &str, filter: &str) {
        let word = filter.trim();
        let single = !word.contains(['=', ',', '[']);
        let known = word.parse::<LevelFilter>().is_ok() || OWN_CRATES.contains(&word);
        if EnvFilter::try_new(filter).is_err() || (single && !known) {
            self.note(
                flag,
                format_args!(
                    "{filter:?}: error, warn, info, debug, trace or off, or directives such as \
                     info,gateway=debug"
                ),
            );
        }
    }
}

/// Parses a list of address ranges. `None`: one is invalid, and the problem is recorded.
pub(super) fn ranges(problems: &mut Problems, flag: &str, texts: &[String]) -> Option<Vec<IpNet>> {
    list_of(problems, flag, texts, |problems, flag, text| {
        problems.parse_as(flag, text, "an address range such as 10.0.0.0/8; of one address, 10.0.0.1/32")
    })
}

/// An address that is like `text`.
fn example(text: &str, port: u16) -> SocketAddr {
    let ip = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    if let Some(ip) = ip(text) {
        return SocketAddr::new(ip, port);
    }
    let (host, end) = text.rsplit_once(':').unwrap_or(("", text));
    let ip = ip(host).unwrap_or(Ipv4Addr::LOCALHOST.into());
    SocketAddr::new(ip, end.parse().unwrap_or(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_has_an_example() {
        for (text, like) in [
            ("8080", "127.0.0.1:8080"),
            (":9000", "127.0.0.1:9000"),
            ("0.0.0.0", "0.0.0.0:50051"),
            ("::1", "[::1]:50051"),
            ("[::1]", "[::1]:50051"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("10.0.0.1:", "10.0.0.1:50051"),
            ("10.0.0.1:65536", "10.0.0.1:50051"),
            ("here", "127.0.0.1:50051"),
        ] {
            let mut problems = Problems::new();
            assert_eq!(problems.address("--listen", text, 50051), None, "{text}");
            let told = problems.finish(Some(())).unwrap_err().to_string();
            let expected = format!("--listen: {text:?}: an IP address and a port, such as {like}");
            assert_eq!(told, format!("settings that do not fit:\n  {expected}"));
        }
        let mut problems = Problems::new();
        let any: SocketAddr = "[::]:80".parse().unwrap();
        assert_eq!(problems.address("--listen", " [::]:80 ", 50051), Some(any));
    }

    #[test]
    fn log_filters() {
        for (filter, fits) in [
            ("info", true),
            ("INFO", true),
            ("off", true),
            ("gateway", true),
            ("h2=debug", true),
            ("info,h2=debug", true),
            ("inof", false),
            ("verbose", false),
            ("gateway=loud", false),
        ] {
            let mut problems = Problems::new();
            problems.log_filter("--log", filter);
            assert_eq!(problems.finish(Some(())).is_ok(), fits, "{filter}");
        }
    }

    #[test]
    fn what_fits_is_told_and_no_text_of_a_library() {
        let mut problems = Problems::new();
        let number: Option<u32> = problems.number("--a", "-1");
        let ranges = ranges(&mut problems, "--b", &["10.0.0.1".to_owned()]);
        let duration = problems.duration("--c", "8");
        assert_eq!((number, ranges, duration), (None, None, None));
        let expected = "settings that do not fit:\n  \
             --a: \"-1\": a whole number\n  \
             --b: \"10.0.0.1\": an address range such as 10.0.0.0/8; of one address, 10.0.0.1/32\n  \
             --c: \"8\": a time with its unit, such as 8s, 500ms or 2m";
        assert_eq!(problems.finish(Some(())).unwrap_err().to_string(), expected);
    }
}
