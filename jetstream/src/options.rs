//! What a caller chooses: hosts, records, how connections are opened; and the times, which tests shorten.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::connect::Connect;
use crate::host::{Filter, Host};

/// How often a ping is sent.
const PING: Duration = Duration::from_secs(15);
/// How long a connection may be without a frame or a pong.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a new one may be without either, from the first packet on.
const BARREN_TIMEOUT: Duration = Duration::from_secs(5);
/// The first ceiling of the wait between two tries; it doubles.
const LEAST_WAIT: Duration = Duration::from_millis(250);
/// The highest ceiling.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// A connection without a frame for that long has caught up.
const QUIET: Duration = Duration::from_secs(1);
/// So has one with an event that is no older than that.
const NEAR: Duration = Duration::from_secs(2);
/// After how long on another host the first one is tried again.
const FIRST_HOST_AGAIN: Duration = Duration::from_secs(3600);

/// A function that gives a number, such as the time.
type Source<N> = Arc<dyn Fn() -> N + Send + Sync>;

/// What to read, from whom, and how.
#[derive(Clone)]
pub struct Options {
    pub(crate) hosts: Vec<Host>,
    pub(crate) filter: Filter,
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) now_us: Source<i64>,
    pub(crate) jitter: Source<f64>,
    pub(crate) user_agent: HeaderValue,
    pub(crate) compress: bool,
    pub(crate) timing: Timing,
}

/// Options without a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no host")]
pub struct NoHost;

impl Options {
    /// To read `filter` from the first of `hosts` that works.
    ///
    /// # Errors
    ///
    /// If there is no host.
    pub fn new(hosts: Vec<Host>, filter: Filter, connect: Arc<dyn Connect>) -> Result<Self, NoHost> {
        if hosts.is_empty() {
            return Err(NoHost);
        }
        Ok(Self {
            hosts,
            filter,
            connect,
            now_us: Arc::new(system_time_us),
            jitter: Arc::new(|| 1.0),
            user_agent: HeaderValue::from_static(concat!("jetstream/", env!("CARGO_PKG_VERSION"))),
            compress: true,
            timing: Timing::default(),
        })
    }

    /// The wall clock, in microseconds since 1970; by default the machine's. It tells when a replay has
    /// caught up.
    #[must_use]
    pub fn clock(self, now_us: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { now_us: Arc::new(now_us), ..self }
    }

    /// Random numbers between 0 and 1, by which waits between tries are shortened, so that clients of one
    /// host don't all come back at once. By default waits are not shortened.
    #[must_use]
    pub fn jitter(self, jitter: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self { jitter: Arc::new(jitter), ..self }
    }

    /// What to call this client.
    #[must_use]
    pub fn user_agent(self, user_agent: HeaderValue) -> Self {
        Self { user_agent, ..self }
    }

    /// Whether a v2 host is asked for compressed frames; by default it is.
    #[must_use]
    pub fn compress(self, compress: bool) -> Self {
        Self { compress, ..self }
    }

    /// Other times than the usual ones, for tests.
    #[must_use]
    pub fn timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, filter, compress, timing, connect: _, now_us: _, jitter: _, user_agent: _ } = self;
        let mut shown = f.debug_struct("Options");
        shown.field("hosts", hosts).field("filter", filter).field("compress", compress);
        shown.field("timing", timing).finish_non_exhaustive()
    }
}

fn system_time_us() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a caller hands in another clock")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Intervals and limits of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// How often a ping is sent.
    pub ping: Duration,
    /// How long a connection may be without a frame or a pong.
    pub silence: Duration,
    /// How long a new one may be without either, from the first packet on.
    pub barren: Duration,
    /// The first ceiling of the wait between two tries; it doubles.
    pub least_wait: Duration,
    /// The highest ceiling.
    pub most_wait: Duration,
    /// A connection without a frame for that long has caught up.
    pub quiet: Duration,
    /// So has one with an event that is no older than that.
    pub near: Duration,
    /// After how long on another host the first one is tried again.
    pub first_host: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: PING,
            silence: SILENCE_TIMEOUT,
            barren: BARREN_TIMEOUT,
            least_wait: LEAST_WAIT,
            most_wait: MAX_WAIT,
            quiet: QUIET,
            near: NEAR,
            first_host: FIRST_HOST_AGAIN,
        }
    }
}
