//! Which URLs are taken, what is made of them, and the whole text about each that is refused.

use super::*;

/// Parts of URLs that no text may have.
const SECRETS: [&str; 3] = ["someone", "letmein", "verify-everything"];

fn parsed(text: &str) -> DatabaseUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    let error = text.parse::<DatabaseUrl>().map(|url| url.to_string()).expect_err(text);
    let told = format!("{error} {error:?}");
    for secret in SECRETS {
        assert!(!told.contains(secret), "{text}: {told}");
    }
    error.to_string()
}

fn postgres(text: &str) -> PgConnectOptions {
    match parsed(text).kind {
        Kind::Postgres(options) => *options,
        Kind::Sqlite(_) => panic!("{text}"),
    }
}

#[test]
fn password_is_not_printed() {
    let url = parsed("postgres://someone:letmein@db.example:5433/hooks");
    assert_eq!(format!("{url} {url:?}"), ["Postgres db.example:5433/hooks"; 2].join(" "));
}

/// sqlx keeps the brackets of an IPv6 address and looks the whole up as a name (launchbadge/sqlx#1739,
/// SeaQL/sea-orm#2579).
#[test]
fn where_it_is() {
    for (text, place) in [
        ("postgres://[::1]:5432/t", "Postgres [::1]:5432/t"),
        ("postgres://someone:letmein@[2001:db8::1]/t", "Postgres [2001:db8::1]:5432/t"),
        ("postgres:///t?host=::1", "Postgres [::1]:5432/t"),
        ("postgres:///t?host=[::1]", "Postgres [::1]:5432/t"),
        ("postgres://192.0.2.1:6432/t", "Postgres 192.0.2.1:6432/t"),
        ("postgresql://db.example/t", "Postgres db.example:5432/t"),
        ("POSTGRES://DB.example/t", "Postgres db.example:5432/t"),
        ("postgres://db_1/t", "Postgres db_1:5432/t"),
        ("postgres://bücher.example/t", "Postgres xn--bcher-kva.example:5432/t"),
        ("postgres://%2Frun%2Fpostgresql/t", "Postgres /run/postgresql:5432/t"),
        ("postgres://%2Frun%2Fpostgresql:5433/t", "Postgres /run/postgresql:5433/t"),
        ("postgres://someone@localhost/t?host=/run/postgresql", "Postgres /run/postgresql:5432/t"),
        ("postgres://elsewhere/other?host=db.example&port=5433&dbname=t", "Postgres db.example:5433/t"),
        ("postgres://db.example/odd%20%2F%40%3Fname", "Postgres db.example:5432/odd /@?name"),
        (" postgres://db.example/t\n", "Postgres db.example:5432/t"),
        ("sqlite://athook.db?mode=rwc", "SQLite file athook.db"),
        ("SQLite:athook.db", "SQLite file athook.db"),
        ("sqlite:///var/lib/a%23b%3F.db?mode=rw", "SQLite file /var/lib/a#b?.db"),
    ] {
        assert_eq!(parsed(text).to_string(), place, "{text}");
    }
    assert_eq!(postgres("postgres://[::1]:5432/t").get_host(), "::1");
}

#[test]
fn user_is_decoded() {
    for text in ["postgres://some%40one:p%40%2F%3A%23@h/t", "postgres://h/t?user=some%40one&password=p%40"] {
        assert_eq!(postgres(text).get_username(), "some@one", "{text}");
    }
}

/// Each of these would be a part of the URL that is told or looked up, if it were not refused
/// (launchbadge/sqlx#1624, supabase/cli#155, sosedoff/pgweb#96).
#[test]
fn password_that_is_not_percent_encoded() {
    for password in [
        "letmein@",
        "@letmein",
        "let@letmein",
        "/letmein",
        "letmein/",
        "12/letmein",
        "letmein:",
        ":letmein",
        "#letmein",
        "letmein#",
        "?letmein",
        "12?letmein",
        "12?letmein=1",
        "letmein%",
        "letmein%4",
        "letmein%zz",
        "letmein%ff",
        "letmein%00",
        "let letmein",
        "letmein\u{7}",
        "a@b?letmein",
    ] {
        let text = refused(&format!("postgres://someone:{password}@db.example:5432/t"));
        assert!(text.starts_with("percent-encode "), "{password}: {text}");
    }
    for text in [
        "postgres://someone:letmein@db.example/t#part",
        "postgres://someone:letmein@db.example/t/u",
        "postgres://db.example/t?password=let+letmein",
        "postgres://db.example/t?password=letmein@",
        "postgres://db.example/t?password=letmein%fe",
        "postgres://db.example/t?let@letmein=1",
        "sqlite://letmein%zz.db",
        "sqlite://letmein%00.db",
    ] {
        let told = refused(text);
        assert!(told.starts_with("percent-encode "), "{text}: {told}");
    }
}

/// sqlx logs parameters that it does not know, with their values, and goes on without them: with
/// `sslMode=verify-full` it verified no certificate.
#[test]
fn parameters_without_an_effect() {
    for name in [
        "sslMode",
        "SSLMODE",
        "target_session_attrs",
        "statement_timeout",
        "currentSchema",
        "connect_timeout",
        "channel_binding",
        "require_auth",
        "sslcrl",
        "keepalives",
        "gssencmode",
        "schema",
        "pgbouncer",
        "connection_limit",
        "pool_timeout",
        "hostaddr",
        "passfile",
        "service",
        "statement-cache-capacity",
        "load_balance_hosts",
        "sslnegotiation",
        "search_path",
        "fallback_application_name",
    ] {
        let told = refused(&format!("postgres://someone:letmein@db.example/t?{name}=verify-everything"));
        let supported = "sslmode, sslrootcert, sslcert, sslkey, host, port, dbname, user, password, \
                         application_name and options";
        assert_eq!(told, format!("the parameter {name} is not supported; supported are {supported}"));
    }
    for name in ["cache", "immutable", "vfs", "Mode", "nolock", "journal_mode"] {
        let told = refused(&format!("sqlite://athook.db?{name}=letmein"));
        assert_eq!(told, format!("the parameter {name} is not supported; supported are mode"));
    }
}

#[test]
fn values_that_are_refused() {
    let modes = "sslmode must be disable, prefer, require, verify-ca or verify-full";
    for (text, told) in [
        ("postgres://h/t?sslmode=verify-everything", modes),
        ("postgres://h/t?sslmode=verify_full", modes),
        // The driver would never use TLS.
        ("postgres://h/t?sslmode=allow", modes),
        ("postgres://h/t?sslmode=", "the parameter sslmode has no value"),
        ("postgres://h/t?sslmode=require&ssl-mode=disable", "the parameter sslmode is given twice"),
        ("postgres://h/t?host=a&host=b", "the parameter host is given twice"),
        ("postgres://%2Frun/t?host=db.example", "the parameter host is given twice"),
        (
            "postgres://h/t?sslrootcert=/proc/version",
            "sslrootcert has no effect without sslmode=verify-ca or sslmode=verify-full",
        ),
        (
            "postgres://h/t?sslmode=require&sslrootcert=/proc/version",
            "sslrootcert has no effect without sslmode=verify-ca or sslmode=verify-full",
        ),
        (
            "postgres://h/t?sslmode=verify-full&sslrootcert=/letmein/ca.pem",
            "the file of sslrootcert can't be read: entity not found",
        ),
        ("postgres://h/t?sslcert=/proc/version", "sslcert and sslkey go together"),
        (
            "postgres://h/t?options=-c%20statement_timeout%3D1h",
            "options must leave statement_timeout alone, which athook sets itself",
        ),
        (
            "postgres://h/t?options[lock_timeout]=1h",
            "options must leave lock_timeout alone, which athook sets itself",
        ),
        (
            "postgres://h/t?options=--TimeZone%3DUTC",
            "options must leave timezone alone, which athook sets itself",
        ),
        ("sqlite://a?mode=verify-everything", "mode must be ro, rw or rwc"),
        ("sqlite://a?mode=ro&mode=rwc", "the parameter mode is given twice"),
    ] {
        assert_eq!(refused(text), told, "{text}");
    }
    assert_eq!(
        postgres("postgres://h/t?options[search_path]=a&options=-c%20jit%3Doff").get_options(),
        Some("-c search_path=a -c jit=off")
    );
}

#[test]
fn hosts_and_ports_that_are_refused() {
    let several = "several hosts are not supported; give one name or address that leads to the primary";
    let host =
        "the host must be a name or an address, an IPv6 address in brackets, or the folder of a socket";
    let port = "the port must be a number from 1 to 65535";
    let syntax = "must be sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE";
    let missing = "the database is missing: postgres://USER:PASSWORD@HOST/DATABASE";
    for (text, told) in [
        ("postgres://someone:letmein@one,other/t", several),
        ("postgres://someone:letmein@one:5432,other:5433/t", several),
        ("postgres://[::1],[::2]/t", several),
        ("postgres://h/t?host=one,other", several),
        ("postgres://::1/t", host),
        ("postgres://someone:letmein@::1:5432/t", host),
        ("postgres://[::1/t", host),
        ("postgres://[fe80::1%25eth0]/t", host),
        ("postgres://one%20two/t", host),
        ("postgres://h:0/t", port),
        ("postgres://h:65536/t", port),
        ("postgres://h:port/t", port),
        ("postgres://h:-1/t", port),
        ("postgres://h/t?port=0", port),
        ("postgres://h/t?port=5432,5433", port),
        ("postgres://someone:letmein@h", missing),
        ("postgres://someone:letmein@h/", missing),
        ("postgres://h?dbname=", "the parameter dbname has no value"),
        ("postgres://:5432/t", syntax),
        ("postgres:t", syntax),
        ("postgres:/h/t", syntax),
        ("", syntax),
        ("mysql://someone:letmein@host/name", syntax),
        ("athook.db", syntax),
        ("sqlite:", syntax),
        ("sqlite://", syntax),
        ("sqlite://?mode=rwc", syntax),
        ("sqlite:file:a.db?mode=rwc", syntax),
    ] {
        assert_eq!(refused(text), told, "{text}");
    }
    for text in ["sqlite::memory:", "sqlite://:memory:", "sqlite://a?mode=memory", "sqlite:file::memory:"] {
        assert_eq!(text.parse::<DatabaseUrl>().unwrap_err(), WrongDatabaseUrl::InMemory, "{text}");
    }
}

/// The driver takes `prefer` for a PGSSLMODE that it does not know, and 5432 for such a PGPORT.
#[test]
fn environment() {
    let check = |set: &'static str, value: &'static str| {
        check_environment(move |name| (name == set).then(|| value.to_owned()))
            .map_err(|error| error.to_string())
    };
    for (name, value) in [("PGSSLMODE", "verify-full"), ("PGPORT", "5433"), ("PGPASSWORD", "@")] {
        assert_eq!(check(name, value), Ok(()), "{name}");
    }
    let told = "PGSSLMODE must be disable, prefer, require, verify-ca or verify-full";
    for mode in ["verify_full", "allow", ""] {
        assert_eq!(check("PGSSLMODE", mode), Err(told.to_owned()), "{mode}");
    }
    for port in ["0", "65536", "5432,5433", ""] {
        let told = "the port must be a number from 1 to 65535";
        assert_eq!(check("PGPORT", port), Err(told.to_owned()), "{port}");
    }
}
