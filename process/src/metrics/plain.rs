//! Prometheus' plain text format 0.0.4, for scrapers that do not read OpenMetrics.

/// The media type of the plain text format.
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The media type of the OpenMetrics text format, which Prometheus reads since version 2.5.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a client with this `Accept` wants the plain text format: it likes it better than OpenMetrics
/// (RFC 9110, section 12.5.1). Who does not say gets OpenMetrics.
pub(super) fn is_preferred(accept: &str) -> bool {
    quality(accept, "text", "plain") > quality(accept, "application", "openmetrics-text")
}

/// How much `accept` likes a media type, from 0 to 1: as its most specific range says.
fn quality(accept: &str, kind: &str, subtype: &str) -> f32 {
    let ranges = [(kind, subtype), (kind, "*"), ("*", "*")];
    let liked = |(kind, subtype): (&str, &str)| {
        let entries = accept.split(',').filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let (of_kind, of_subtype) = parts.next()?.split_once('/')?;
            let is_it = of_kind.eq_ignore_ascii_case(kind) && of_subtype.eq_ignore_ascii_case(subtype);
            let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            is_it.then(|| quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
        });
        entries.fold(None, |best: Option<f32>, one| Some(best.map_or(one, |best| best.max(one))))
    };
    ranges.into_iter().find_map(liked).unwrap_or_default()
}

/// The plain text of metrics in the OpenMetrics text format. There a family has no suffix and comes with its
/// unit and an end; here it is called as its samples are.
pub(super) fn of_open_metrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            let help = help.take().map_or("", |(_, help)| help);
            plain.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_plain_text() {
        // What Prometheus 2 and 3 send, and others.
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "*/*",
            "",
            "application/json",
            "text/plain;q=0",
        ] {
            assert!(!is_preferred(accept), "{accept}");
        }
        for accept in [
            "text/plain",
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "Text/Plain ; version=0.0.4",
            "text/*, application/openmetrics-text;q=0.2",
            "*/*;q=0.9, application/openmetrics-text;q=0",
        ] {
            assert!(is_preferred(accept), "{accept}");
        }
    }

    #[test]
    fn families_are_called_as_their_samples() {
        let open_metrics = "# HELP eggs Eggs laid.\n# TYPE eggs counter\neggs_total{by=\"a hen\"} 1\n\
            # HELP build The release.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
            # HELP wait_seconds A wait.\n# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n\
            wait_seconds_sum 2.5\nwait_seconds_count 1\nwait_seconds_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let plain = "# HELP eggs_total Eggs laid.\n# TYPE eggs_total counter\neggs_total{by=\"a hen\"} 1\n\
            # HELP build_info The release.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
            # HELP wait_seconds A wait.\n# TYPE wait_seconds histogram\n\
            wait_seconds_sum 2.5\nwait_seconds_count 1\nwait_seconds_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(of_open_metrics(open_metrics), plain);
    }
}
