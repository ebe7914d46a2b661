//! Right and wrong settings.

use clap::Parser as _;

use super::*;

fn checked(args: &[&str]) -> Result<(SocketAddr, Config), WrongSettings> {
    RawArgs::try_parse_from([&["gateway"], args].concat()).unwrap().check()
}

#[test]
fn defaults_fit() {
    let (listen, config) = checked(&[]).unwrap();
    assert_eq!(listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.service_did, "did:web:localhost%3A8080");
    assert_eq!(
        config.audiences,
        [
            "did:web:localhost%3A8080",
            "did:web:localhost%3A8080#wisp_place",
            "did:web:localhost%3A8080#streamplace"
        ]
    );
}

#[test]
fn wrong_settings_are_told_all_at_once() {
    let told = checked(&[
        "--listen",
        "here",
        "--core-url",
        "ftp://x",
        "--deadline",
        "8",
        "--rate-limit=-1",
        "--connections-per-address=few",
        "--lexicons",
        "x",
        "--public-url",
        "https://example.com/path",
        "--core-cert",
        "x",
    ])
    .unwrap_err()
    .to_string();
    for flag in [
        "--listen:",
        "--core-url:",
        "--deadline:",
        "--rate-limit:",
        "--connections-per-address:",
        "--lexicons, --descriptors:",
        "--public-url:",
        "--core-cert, --core-key:",
    ] {
        assert!(told.contains(flag), "{flag} is missing from {told}");
    }
}

#[test]
fn a_wrong_setting_hides_no_other() {
    let told = told(&["--service-ids", "a#b,c", "--public-url", "here", "--service-did", "example.com"]);
    assert_eq!(told.len(), 3, "{told:#?}");
    for flag in ["--public-url:", "--service-ids:", "--service-did:"] {
        assert!(told.iter().any(|line| line.starts_with(flag)), "{flag} is missing from {told:#?}");
    }
}

#[test]
fn own_audience_replaces_the_default() {
    let given = ["--audience", "did:web:a.example,did:web:b.example#x", "--service-did", "did:web:b.example"];
    let (_, config) = checked(&given).unwrap();
    assert_eq!(config.audiences, ["did:web:a.example", "did:web:b.example#x"]);
}

#[test]
fn what_nothing_could_fit() {
    let folder = tempfile::tempdir().unwrap();
    let a_file = file(&folder, "file", "");
    let address = |url: &str, did: &str| {
        let problem = format!("{did} is no DID: a did:web has a host name, not an address");
        (vec!["--public-url".to_owned(), url.to_owned()], format!("--public-url: {problem}"))
    };
    let other = |flag: &str, value: &str, problem: &str| {
        (vec![flag.to_owned(), value.to_owned()], format!("{flag}: {problem}"))
    };
    let nobody = "none of them is this service, did:web:localhost%3A8080, whose tokens would be refused";
    for (args, problem) in [
        other("--audience", "did:web:a.example", nobody),
        other("--audience", "did:web:localhost%3A80801,did:web:localhost", nobody),
        other(
            "--did-documents",
            "/no/such/folder",
            "/no/such/folder: No such file or directory (os error 2)",
        ),
        other("--did-documents", &a_file, &format!("{a_file}: Not a directory (os error 20)")),
        other("--service-ids", "a,b,a", "\"a\" is given twice"),
        address("http://127.0.0.1:8080", "did:web:127.0.0.1%3A8080"),
        address("https://192.0.2.1", "did:web:192.0.2.1"),
        address("https://[2001:db8::1]", "did:web:[2001:db8::1]"),
        other(
            "--service-did",
            "did:web:192.0.2.1",
            "did:web:192.0.2.1 is no DID: a did:web has a host name, not an address",
        ),
        other(
            "--service-did",
            "did:web:127.1%3A80",
            "did:web:127.1%3A80 is no DID: a did:web has a host name, not an address",
        ),
        other(
            "--service-did",
            "did:web:%5B::1%5D",
            "did:web:%5B::1%5D is no DID: a did:web has a host name, not an address",
        ),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert_eq!(told(&args), [problem], "{args:?}");
    }
    // A name in place of the address helps.
    checked(&["--public-url", "http://127.0.0.1:8080", "--service-did", "did:web:hooks.example"]).unwrap();
}

/// The problems with these flags, one a line.
fn told(args: &[&str]) -> Vec<String> {
    let told = checked(args).unwrap_err().to_string();
    told.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn authority() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["core.test".to_owned()]).unwrap();
    (certificate.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn core_url_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, key) = authority();
    let (ca, key) = (file(&folder, "ca", &ca), file(&folder, "key", &key));
    let https = ["--core-url", "https://core.test:50051", "--core-ca", &ca];
    assert!(checked(&https).unwrap().1.calls_with_tls());
    let mutual = [&https[..], &["--core-cert", &ca, "--core-key", &key]].concat();
    assert!(checked(&mutual).unwrap().1.calls_with_tls());
}

#[test]
fn core_url_that_does_not_fit_its_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, key) = authority();
    let (ca, key, other) = (file(&folder, "ca", &ca), file(&folder, "key", &key), file(&folder, "x", "x"));
    for (args, problems) in [
        (&["--core-url", "https://core.test"][..], &["--core-url: https://"][..]),
        (&["--core-ca", &ca], &["--core-url: certificates"]),
        (&["--core-cert", &ca, "--core-key", &key], &["--core-cert: "]),
        (&["--core-url", "https://core.test", "--core-ca", &other], &["--core-ca, "]),
        (
            &["--core-url", "https://core.test", "--core-ca", &ca, "--core-key", &key],
            &["--core-cert, --core-key: both"],
        ),
        (&["--core-url", "https://core.test", "--core-ca", "/no/such/file"], &["--core-ca: /no/such/file"]),
        (
            &["--core-url", "https://core.test/path", "--core-cert", &ca, "--deadline", "x"],
            &[
                "--core-url: the URL",
                "--core-url: https://",
                "--core-cert, --core-key: both",
                "--core-cert: ",
                "--deadline: ",
            ],
        ),
    ] {
        let told = told(args);
        assert_eq!(told.len(), problems.len(), "{told:#?}");
        for (told, problem) in told.iter().zip(problems) {
            assert!(told.starts_with(problem), "{told}: {problem}");
        }
    }
}

#[test]
fn core_url_is_an_origin() {
    for url in ["http://core.test/path", "http://core.test/?a", "http://core.test/#a"] {
        let told = told(&["--core-url", url]);
        assert!(told.len() == 1 && told[0].starts_with("--core-url: the URL"), "{told:?}");
    }
    for url in ["http://core.test", "http://core.test:50051/", "http://[::1]:50051"] {
        checked(&["--core-url", url]).unwrap();
    }
}

#[test]
fn empty_texts_count_as_none() {
    use clap::CommandFactory as _;

    let command = RawArgs::command();
    let flags: Vec<String> = command
        .get_arguments()
        .filter(|argument| argument.get_env().is_some())
        .filter_map(|argument| argument.get_long().map(|name| format!("--{name}")))
        .collect();
    assert!(flags.len() > 20, "{flags:?}");
    let empty: Vec<&str> = flags.iter().flat_map(|flag| [flag.as_str(), ""]).collect();
    let (listen, config) = checked(&empty).unwrap();
    let (usual_listen, usual) = checked(&[]).unwrap();
    assert_eq!(listen, usual_listen);
    assert_eq!(format!("{config:?}"), format!("{usual:?}"));
}
