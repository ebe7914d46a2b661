//! The URL of a Postgres database: all of it is checked before the driver reads it.
//!
//! The driver fills in what a URL does not say from the variables of libpq (PGHOST, PGPASSWORD, PGSSLMODE …)
//! and the password from `~/.pgpass`, as every client of Postgres does. Owns which of that it would drop
//! without a word.

use std::fs::File;

use percent_encoding::percent_decode_str;
use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::{Host, Url};

use super::{WrongDatabaseUrl, check_encoding, unknown};

/// The parameters that have an effect.
const SUPPORTED: &str =
    "sslmode, sslrootcert, sslcert, sslkey, host, port, dbname, user, password, application_name and options";
/// The values of `sslmode`. The driver takes `allow` for `disable`.
const SSL_MODES: &str = "disable, prefer, require, verify-ca or verify-full";
/// What `options` can't set: the driver and the pools set it for each session or transaction.
const OWN_OPTIONS: [&str; 7] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "client_encoding",
    "datestyle",
    "timezone",
    "extra_float_digits",
];

/// What the parameters of a URL say, as far as it matters here.
#[derive(Default)]
struct Parameters {
    seen: Vec<&'static str>,
    host: Option<String>,
    verifies: bool,
}

/// How to connect by the URL `text`, which goes on with `rest` after its scheme.
pub(super) fn options(text: &str, rest: &str) -> Result<PgConnectOptions, WrongDatabaseUrl> {
    let rest = rest.strip_prefix("//").ok_or(WrongDatabaseUrl::Syntax)?;
    check_encoding(rest)?;
    check_user(rest)?;
    let url = parse(text, rest)?;
    let parameters = parameters(&url)?;
    let mut options = PgConnectOptions::from_url(&url).map_err(|_| WrongDatabaseUrl::Encoding)?;
    let decoded = url.host_str().map(|host| percent_decode_str(host).decode_utf8_lossy());
    let is_socket = decoded.as_deref().is_some_and(|host| host.starts_with('/'));
    match &parameters.host {
        // The driver would keep the socket.
        Some(_) if is_socket => return Err(WrongDatabaseUrl::Twice("host")),
        Some(folder) if folder.starts_with('/') => {}
        Some(name) => options = options.host(&host(name)?),
        None if is_socket => {}
        None => match url.host() {
            // The driver would keep the brackets.
            Some(Host::Ipv6(address)) => options = options.host(&address.to_string()),
            Some(_) => options = options.host(&host(&decoded.unwrap_or_default())?),
            None if options.get_host().contains(',') => return Err(WrongDatabaseUrl::SeveralHosts),
            None => {}
        },
    }
    // Where there is none, the server takes that of the user's name.
    let database = options.get_database().unwrap_or_default();
    if database.is_empty() {
        return Err(WrongDatabaseUrl::NoDatabase);
    }
    let given = options.get_options().unwrap_or_default().to_ascii_lowercase().replace('-', "_");
    if let Some(own) = OWN_OPTIONS.into_iter().find(|own| given.contains(own)) {
        return Err(WrongDatabaseUrl::OwnOption(own));
    }
    Ok(options)
}

/// Checks the variables that the driver reads where a URL says nothing, and ignores where they are wrong.
/// `variable` reads one.
pub(crate) fn check_environment(variable: impl Fn(&str) -> Option<String>) -> Result<(), WrongDatabaseUrl> {
    if let Some(mode) = variable("PGSSLMODE") {
        ssl_mode("PGSSLMODE", &mode)?;
    }
    variable("PGPORT").map_or(Ok(()), |text| port(&text))
}

/// Checks that one `@` separates user and password from the rest and one `:` those two. Everything before the
/// last `@` is theirs: of a password with an `@`, `/`, `?` or `#` the rest would be host, database or
/// parameter, and be told in errors.
fn check_user(rest: &str) -> Result<(), WrongDatabaseUrl> {
    let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let colons = user.matches(':').count();
    if colons > 1 || user.contains(['@', '/', '?', '#']) || rest.contains(['#', ' ']) || user.contains(' ') {
        return Err(WrongDatabaseUrl::Encoding);
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // The driver would make a space of the plus. The database is one segment.
    if query.contains('+') || path.matches('/').count() > 1 {
        return Err(WrongDatabaseUrl::Encoding);
    }
    Ok(())
}

fn parse(text: &str, rest: &str) -> Result<Url, WrongDatabaseUrl> {
    let (_, after_user) = rest.rsplit_once('@').unwrap_or(("", rest));
    let end = after_user.find(['/', '?']).unwrap_or(after_user.len());
    if after_user[..end].contains(',') {
        return Err(WrongDatabaseUrl::SeveralHosts);
    }
    let is_address = after_user[..end].matches(':').count() > 1;
    match Url::parse(text) {
        Ok(url) if url.port() == Some(0) => Err(WrongDatabaseUrl::Port),
        Ok(url) => Ok(url),
        Err(url::ParseError::InvalidPort) if !is_address => Err(WrongDatabaseUrl::Port),
        Err(url::ParseError::EmptyHost) if !is_address => Err(WrongDatabaseUrl::Syntax),
        Err(_) => Err(WrongDatabaseUrl::Host),
    }
}

fn parameters(url: &Url) -> Result<Parameters, WrongDatabaseUrl> {
    let mut parameters = Parameters::default();
    for (name, value) in url.query_pairs() {
        let name = canonical(&name)?;
        if parameters.seen.contains(&name) && name != "options" {
            return Err(WrongDatabaseUrl::Twice(name));
        }
        parameters.seen.push(name);
        if value.is_empty() {
            return Err(WrongDatabaseUrl::Empty(name));
        }
        match name {
            "sslmode" => parameters.verifies = ssl_mode(name, &value)?,
            "sslrootcert" | "sslcert" | "sslkey" => {
                let opened = File::open(&*value);
                opened.map_err(|error| WrongDatabaseUrl::Unreadable(name, error.kind()))?;
            }
            "port" => port(&value)?,
            "host" => parameters.host = Some(value.into_owned()),
            _ => {}
        }
    }
    let has = |name| parameters.seen.contains(&name);
    if has("sslrootcert") && !parameters.verifies {
        return Err(WrongDatabaseUrl::Unverified);
    }
    if has("sslcert") != has("sslkey") {
        return Err(WrongDatabaseUrl::HalfIdentity);
    }
    Ok(parameters)
}

/// The name of a parameter, of which the driver knows several.
fn canonical(name: &str) -> Result<&'static str, WrongDatabaseUrl> {
    Ok(match name {
        "sslmode" | "ssl-mode" => "sslmode",
        "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "sslrootcert",
        "sslcert" | "ssl-cert" => "sslcert",
        "sslkey" | "ssl-key" => "sslkey",
        "host" => "host",
        "port" => "port",
        "dbname" => "dbname",
        "user" => "user",
        "password" => "password",
        "application_name" => "application_name",
        "options" => "options",
        _ if name.starts_with("options[") && name.ends_with(']') => "options",
        _ => return Err(unknown(name, SUPPORTED)),
    })
}

/// Whether the server's certificate is verified with this mode.
fn ssl_mode(name: &'static str, text: &str) -> Result<bool, WrongDatabaseUrl> {
    match text.parse() {
        Ok(PgSslMode::VerifyCa | PgSslMode::VerifyFull) => Ok(true),
        Ok(PgSslMode::Disable | PgSslMode::Prefer | PgSslMode::Require) => Ok(false),
        Ok(PgSslMode::Allow) | Err(_) => Err(WrongDatabaseUrl::WrongValue(name, SSL_MODES)),
    }
}

fn port(text: &str) -> Result<(), WrongDatabaseUrl> {
    match text.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(WrongDatabaseUrl::Port),
    }
}

/// The name or address `text`, as the driver looks it up.
fn host(text: &str) -> Result<String, WrongDatabaseUrl> {
    if text.contains(',') {
        return Err(WrongDatabaseUrl::SeveralHosts);
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(text.to_owned());
    }
    match Host::parse(text) {
        Ok(Host::Ipv6(address)) => Ok(address.to_string()),
        Ok(host) => Ok(host.to_string()),
        Err(_) => Err(WrongDatabaseUrl::Host),
    }
}
