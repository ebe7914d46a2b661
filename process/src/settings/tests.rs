//! All problems are reported together; empty texts count as not set.

use super::files::CoreToken;
use super::*;

#[test]
fn every_problem_is_reported() {
    let mut problems = Problems::new();
    let a: Option<u16> = problems.parse("--a", "many");
    let b = problems.duration("--b", "8");
    let c: Option<Vec<IpNet>> = list(&mut problems, "--c", &["10.0.0.0/8".into(), "ten".into()]);
    assert_eq!((a, b, &c), (None, None, &None));
    let report = problems.finish(c).unwrap_err().to_string();
    for flag in ["--a:", "--b:", "--c:"] {
        assert!(report.contains(flag), "{report}");
    }
}

#[test]
fn empty_list_entries_are_skipped() {
    let mut problems = Problems::new();
    let none: Option<Vec<IpNet>> = list(&mut problems, "--c", &[String::new()]);
    assert_eq!(problems.finish(none), Ok(Vec::new()));
}

#[test]
fn empty_texts_count_as_not_set() {
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Args {
        #[command(flatten)]
        shared: RawShared,
    }
    let flags = [
        "--allow-private-ranges",
        "--refuse-ranges",
        "--nat64",
        "--extra-ca",
        "--dns-servers",
        "--core-token-file",
        "--metrics-listen",
        "--otlp-endpoint",
        "--otlp-sample",
        "--log",
        "--log-format",
        "--shutdown-delay",
        "--drain-limit",
    ];
    for empty in ["", " "] {
        let texts = flags.iter().flat_map(|flag| [*flag, empty]);
        let Args { shared } = Args::try_parse_from(std::iter::once("test").chain(texts)).unwrap();
        let mut problems = Problems::new();
        let shared = Shared::check(shared, &mut problems);
        let shared = problems.finish(Some(shared)).map_err(|wrong| wrong.to_string()).unwrap();
        assert!(
            shared.trust.extra_ca.is_none()
                && shared.trust.core_tokens.is_empty()
                && shared.dns_servers.is_empty()
        );
        assert!(shared.refuse_ranges.is_empty() && !shared.nat64);
        assert!(shared.metrics_listen.is_none() && shared.otlp.is_none());
        assert_eq!((shared.logs.filter.as_str(), shared.logs.format), ("info", Logs::default_format()));
        let times = (shared.shutdown_delay, shared.drain_limit);
        assert_eq!(times, (Duration::ZERO, Duration::from_secs(20)));
    }
}

#[test]
fn switches() {
    let mut problems = Problems::new();
    assert_eq!(problems.switch("--a", "on"), Some(true));
    assert_eq!(problems.switch("--a", " off "), Some(false));
    assert_eq!(problems.switch("--a", "yes"), None);
    let report = problems.finish(Some(())).unwrap_err().to_string();
    assert_eq!(report, "settings that do not fit:\n  --a: \"yes\": on or off");
}

#[test]
fn core_token_is_not_printed() {
    let token: CoreToken = "0123456789abcdef".parse().unwrap();
    assert_eq!(format!("{token:?}"), "[redacted]");
    assert!("short".parse::<CoreToken>().is_err());
}

#[test]
fn invalid_collectors() {
    let checked = |endpoint: &str, sample: &str| {
        let mut problems = Problems::new();
        let otlp = otlp::check(&mut problems, Some(endpoint.to_owned()), sample, None);
        problems.finish(otlp)
    };
    let good = checked("http://collector.example:4317", "0.25").map_err(|wrong| wrong.to_string()).unwrap();
    assert_eq!((good.endpoint.to_string().as_str(), good.sample), ("http://collector.example:4317/", 0.25));
    for endpoint in
        ["collector:4317", "ftp://a", "http://a/v1/traces", "http://a?b", "http://me:you@a", "http://"]
    {
        let report = checked(endpoint, "1").unwrap_err().to_string();
        assert!(report.contains("--otlp-endpoint"), "{endpoint}: {report}");
    }
    for sample in ["-0.1", "1.1", "NaN", "half"] {
        let report = checked("http://a", sample).unwrap_err().to_string();
        assert!(report.contains("--otlp-sample"), "{sample}: {report}");
    }
}
