//! `--otlp-endpoint` and `--otlp-sample`: where traces are sent, and how many.

use http::Uri;
use http::uri::PathAndQuery;

use super::{OTLP_SAMPLE, Problems, given, or_default};

/// Where traces are sent, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// `--otlp-endpoint`: an `http` or `https` URL with a host and optionally a port.
    pub endpoint: Uri,
    /// `--otlp-sample`: the fraction, from 0 to 1, of the requests without a `traceparent` that is traced.
    pub sample: f64,
    /// `--extra-ca`, for `https`.
    pub extra_ca: Option<String>,
}

/// Checks the settings. `None`: nothing is traced, or one is invalid and the problem is recorded.
pub(super) fn check(
    problems: &mut Problems,
    endpoint: Option<String>,
    sample: &str,
    extra_ca: Option<&str>,
) -> Option<Otlp> {
    const FLAG: &str = "--otlp-endpoint";
    let sample: Option<f64> =
        problems.parse_as("--otlp-sample", or_default(sample, OTLP_SAMPLE), "a number from 0 to 1");
    if sample.is_some_and(|sample| !(0.0..=1.0).contains(&sample)) {
        problems.note("--otlp-sample", "from 0 to 1");
    }
    let endpoint: Uri = problems.parse_url(FLAG, &given(endpoint)?, "http://127.0.0.1:4317")?;
    let only_origin = matches!(endpoint.scheme_str(), Some("http" | "https"))
        && matches!(endpoint.path_and_query().map(PathAndQuery::as_str), None | Some("" | "/"))
        && !endpoint.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if !only_origin {
        problems.note(
            FLAG,
            "http:// or https:// with a host, such as http://127.0.0.1:4317, and no path, query or user",
        );
    }
    Some(Otlp { endpoint, sample: sample?, extra_ca: extra_ca.map(str::to_owned) })
}
