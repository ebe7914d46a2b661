//! `athook doctor`: what the settings of `athook` lead to on this machine, a line for each thing that is
//! looked at.
//!
//! Everything is looked at at the same time, with the clients that the services themselves use, and within
//! [`LIMIT`]. Nothing is changed and nothing is made. No line has a secret: settings are told as the services
//! tell them.

mod finding;
mod listeners;
mod outside;
mod own;

use std::process::ExitCode;
use std::time::Duration;

use egress::client::Egress;
use egress::policy::Policy;
use egress::resolver::Resolver;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use process::clock::Clock;
use process::exit::Failure;
use process::logs::Logs;
use process::output::print_line;
use tokio::time::timeout;

use self::finding::{Finding, Level};
use crate::both::{self, Both, RawBoth};
use crate::command_line::Started;
use crate::running::Running;

/// How long one look may take. The services' own limits are lower and say more.
const LIMIT: Duration = Duration::from_secs(5);

/// What is looked at, and with what.
struct Doctor {
    both: Both,
    /// With the rules for what users name.
    guarded: Egress,
    /// For what the operator names.
    unrestricted: Egress,
    clock: Clock,
}

/// Prints a line for each finding. Exit code 0: none is a failure.
pub(crate) fn run(raw: RawBoth) -> ExitCode {
    let development = both::development_folder(&raw).and_then(|folder| Running::find_listening(&folder));
    let checked = match development {
        Some(_) => both::check(both::for_development(raw), Some(Started::this_process())),
        None => both::check(raw, None),
    };
    // Causes that are not findings.
    Logs { filter: "off".to_owned(), format: Logs::default_format() }.install();
    let both = match checked {
        Ok(both) => both,
        Err(error) => {
            return process::exit::run(async move { say(&own::wrong_settings(&error)) });
        }
    };
    let is_development = development.is_some();
    process::exit::run(async move {
        let findings = Doctor::new(both)?.findings(is_development).await;
        say(&findings)
    })
}

/// Prints the findings.
///
/// # Errors
///
/// One is a failure.
fn say(findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        print_line(finding)?;
    }
    match findings.iter().filter(|finding| finding.level == Level::Fail).count() {
        0 => Ok(()),
        1 => Err("one thing has to be changed".into()),
        number => Err(format!("{number} things have to be changed").into()),
    }
}

impl Doctor {
    fn new(both: Both) -> Result<Self, Failure> {
        let shared = &both.shared;
        let policy = Policy::new(shared.allow_private_ranges.clone())
            .refuse(shared.refuse_ranges.clone())
            .nat64(shared.nat64);
        let resolver = Resolver::new(&shared.dns_servers)?;
        let guarded = Egress::new(policy, resolver, shared.trust.extra_ca.as_deref())?;
        let unrestricted = guarded.with_policy(Policy::unrestricted());
        Ok(Self { both, guarded, unrestricted, clock: Clock::system() })
    }

    async fn findings(&self, is_development: bool) -> Vec<Finding> {
        let mut looks: Vec<(&'static str, &'static str, BoxFuture<'_, Vec<Finding>>)> = vec![
            ("database", own::DATABASE_FLAGS, own::database(&self.both).boxed()),
            ("gateway", "--gateway-listen", listeners::gateway(self).boxed()),
            ("core-service", "--core-listen", listeners::core_service(self).boxed()),
            ("health", "--health-listen", listeners::health(self).boxed()),
            ("metrics", "--metrics-listen", listeners::metrics(self).boxed()),
            ("DNS", "--dns-servers", outside::dns(&self.both.shared).boxed()),
            ("PLC directory", outside::PLC_FLAGS, outside::directory(self).boxed()),
            ("outgoing https", outside::HTTPS_FLAGS, outside::https(self).boxed()),
            ("public URL", outside::PUBLIC_FLAGS, outside::public_url(self).boxed()),
            ("relay", "--relay", outside::relay(self).boxed()),
        ];
        for host in core_service::inspection::jetstreams(&self.both.core) {
            let look = outside::jetstream(host.name().to_string(), async {
                core_service::inspection::reach_jetstream(&self.both.core, host, &self.unrestricted).await
            });
            looks.push(("Jetstream", "--jetstream", look.boxed()));
        }
        let looked = looks.into_iter().map(async |(what, flags, look)| {
            timeout(LIMIT, look).await.unwrap_or_else(|_| {
                vec![Finding::fail(what, format_args!("no answer within {LIMIT:?}"), flags)]
            })
        });
        let looked = join_all(looked).await;
        let own = [own::settings(is_development)].into_iter().chain(own::files(&self.both));
        own.chain(looked.into_iter().flatten()).chain([own::site(&self.both.gateway)]).collect()
    }
}
