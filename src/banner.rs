//! The texts that `athook` and `athook dev` print at start.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::command_line::Started;

/// What every banner tells.
pub(crate) struct Values {
    pub(crate) xrpc: Url,
    pub(crate) grpc: SocketAddr,
    pub(crate) service_did: String,
    pub(crate) database: String,
    /// The file of seal keys.
    pub(crate) keys: PathBuf,
}

/// What the banner of `athook dev` tells besides.
pub(crate) struct Development<'a> {
    /// The folder of the development identity.
    pub(crate) folder: String,
    pub(crate) started: &'a Started,
    /// Arguments with which `athook listen` finds this process.
    pub(crate) listen_flags: Vec<String>,
    /// Arguments with which `athook publish` finds it.
    pub(crate) publish_flags: Vec<String>,
    /// What signs a browser in, if there are pages.
    pub(crate) code: Option<String>,
    /// The method that the `curl` line calls.
    pub(crate) example: &'a str,
    /// A token for it.
    pub(crate) token: String,
    /// The name of the secret that it creates.
    pub(crate) secret: String,
}

/// The banner of `athook`.
pub(crate) fn small(values: &Values) -> String {
    format!(
        "{}
The development identity has moved to `athook dev`, which is for trying athook on this machine.
",
        head(values)
    )
}

/// The banner of `athook dev`: lines that can be pasted into a shell in the same folder.
pub(crate) fn development(values: &Values, development: &Development<'_>) -> String {
    let Development { folder, started, listen_flags, publish_flags, code, example, token, secret } =
        development;
    let line = |words: &[&str], flags: &[String]| {
        let flags = flags.iter().map(String::as_str);
        started.line(&words.iter().copied().chain(flags).collect::<Vec<_>>())
    };
    let listen = line(&["listen"], listen_flags);
    let publish = line(&["publish", "chat", "--text", "hi"], publish_flags);
    let token_line = line(&["token", "--method", "<NSID>"], listen_flags).replace("'<NSID>'", "<NSID>");
    let lines = if started.with_flags {
        format!("two more lines, each in another terminal in this folder:\n\n{listen}\n{publish}")
    } else {
        let dev = started.line(&["dev"]);
        format!(
            "three lines, each in a terminal of its own in this folder. The first of them is running:\n\n\
             {dev}\n{listen}\n{publish}"
        )
    };
    let link = code.as_ref().map_or_else(String::new, |code| {
        format!(
            "In a browser, signed in (the link works once, within 10 minutes):\n\n\
             {xrpc}console#code={code}\n\n",
            xrpc = values.xrpc,
        )
    });
    format!(
        "{head}  dev    {folder} has the development identity

{link}A first delivery takes {lines}

Or create a secret (the token in this line is good for an hour):

curl -X POST {xrpc}xrpc/{example} -H 'Content-Type: application/json' -H 'Authorization: Bearer {token}' -d '{{\"name\":\"{secret}\"}}'

More tokens: {token_line}
",
        head = head(values),
        xrpc = values.xrpc,
    )
}

fn head(values: &Values) -> String {
    let Values { xrpc, grpc, service_did, database, keys } = values;
    format!(
        "athook {version}
  XRPC   {xrpc} as {service_did}
  gRPC   {grpc}
  data   {database}
  keys   {keys}; keep it: nobody can read the data without
",
        keys = keys.display(),
        version = env!("CARGO_PKG_VERSION"),
        xrpc = xrpc.as_str().trim_end_matches('/'),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(
        with_flags: bool,
        listen_flags: &[&str],
        publish_flags: &[&str],
        code: Option<&str>,
    ) -> String {
        let owned = |flags: &[&str]| flags.iter().map(|&flag| flag.to_owned()).collect();
        let values = Values {
            xrpc: "http://127.0.0.1:8080/".parse().unwrap(),
            grpc: "127.0.0.1:50051".parse().unwrap(),
            service_did: "did:web:localhost%3A8080".to_owned(),
            database: "SQLite file athook.db".to_owned(),
            keys: "athook.keys".into(),
        };
        let development = Development {
            folder: "athook.dev".to_owned(),
            started: &Started { program: "target/debug/athook".to_owned(), with_flags },
            listen_flags: owned(listen_flags),
            publish_flags: owned(publish_flags),
            code: code.map(str::to_owned),
            example: "com.example.create",
            token: "e30".to_owned(),
            secret: "first".to_owned(),
        };
        super::development(&values, &development)
    }

    #[test]
    fn three_lines_to_paste() {
        let expected = format!(
            "athook {version}
  XRPC   http://127.0.0.1:8080 as did:web:localhost%3A8080
  gRPC   127.0.0.1:50051
  data   SQLite file athook.db
  keys   athook.keys; keep it: nobody can read the data without
  dev    athook.dev has the development identity

In a browser, signed in (the link works once, within 10 minutes):

http://127.0.0.1:8080/console#code=c0de

A first delivery takes three lines, each in a terminal of its own in this folder. The first of them is running:

target/debug/athook dev
target/debug/athook listen
target/debug/athook publish chat --text hi

Or create a secret (the token in this line is good for an hour):

curl -X POST http://127.0.0.1:8080/xrpc/com.example.create -H 'Content-Type: application/json' \
             -H 'Authorization: Bearer e30' -d '{{\"name\":\"first\"}}'

More tokens: target/debug/athook token --method <NSID>
",
            version = env!("CARGO_PKG_VERSION"),
        );
        assert_eq!(printed(false, &[], &[], Some("c0de")), expected);
    }

    #[test]
    fn lines_name_what_is_not_where_it_is_looked_for() {
        let banner = printed(
            true,
            &["--database-url", "sqlite://a.db?mode=rwc"],
            &["--core-url", "http://127.0.0.1:5"],
            None,
        );
        let listen = "target/debug/athook listen --database-url 'sqlite://a.db?mode=rwc'";
        let publish = "target/debug/athook publish chat --text hi --core-url http://127.0.0.1:5";
        let token = "target/debug/athook token --method <NSID> --database-url 'sqlite://a.db?mode=rwc'";
        assert!(!banner.contains("browser"), "{banner}");
        assert!(banner.contains(&format!("folder:\n\n{listen}\n{publish}\n\n")), "{banner}");
        assert!(banner.ends_with(&format!("\n\nMore tokens: {token}\n")), "{banner}");
    }
}
