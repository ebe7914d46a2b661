//! TLS between the gateway and the core-service, with and without client certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use proto::athook::PurgeAccountRequest;
use proto::athook::account_service_client::AccountServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::database::{Database, Kind};
use crate::harness::processes::Service;
use crate::harness::receiver::Authority;
use crate::harness::stack::Setup;

/// The whole text of an UpstreamFailure.
const AWAY: &str = "a service that this one depends on does not answer";

/// Writes a certificate for 127.0.0.1 with its key, and the certificate of the authority that signed it.
fn write(folder: &Path, name: &str) -> [String; 3] {
    let authority = Authority::shared();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let texts = [certificate.pem(), key.serialize_pem(), authority.pem.clone()];
    let mut files =
        ["cert", "key", "ca"].map(|kind| folder.join(format!("{name}-{kind}.pem")).display().to_string());
    for (file, text) in files.iter_mut().zip(texts) {
        std::fs::write(file, text).unwrap();
    }
    files
}

/// Writes a self-signed certificate and its key, which the tests' authority did not sign.
fn of_a_stranger(folder: &Path) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let texts = [made.cert.pem(), made.signing_key.serialize_pem()];
    let files = ["cert", "key"].map(|kind| folder.join(format!("stranger-{kind}.pem")).display().to_string());
    for (file, text) in files.iter().zip(texts) {
        std::fs::write(file, text).unwrap();
    }
    files
}

/// How many bytes the server at `address` sends to an HTTP/2 client with this certificate and key.
async fn greeted(address: SocketAddr, identity: Option<(String, String)>) -> usize {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(Authority::shared().pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut client = match identity {
        None => client.with_no_client_auth(),
        Some((certificate, key)) => client
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::from(address.ip());
    // With TLS 1.3 the client's handshake ends before the server has checked its certificate.
    let Ok(mut stream) = TlsConnector::from(Arc::new(client)).connect(name, stream).await else { return 0 };
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    if stream.write_all(&preface).await.is_err() {
        return 0;
    }
    let mut said = [0; 64];
    stream.read(&mut said).await.unwrap_or(0)
}

#[tokio::test]
async fn core_service_shows_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key, ca] = write(folder.path(), "core");
    let setup =
        Setup::on(Kind::Sqlite).core("--tls-cert", &cert).core("--tls-key", &key).gateway("--core-ca", &ca);
    setup.start().await.create_secret("a").await.ok();
}

#[tokio::test]
async fn both_show_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key, ca] = write(folder.path(), "core");
    let [own_cert, own_key, _] = write(folder.path(), "gateway");
    let mutual = || {
        Setup::on(Kind::Sqlite)
            .core("--tls-cert", &cert)
            .core("--tls-key", &key)
            .core("--tls-client-ca", &ca)
            .gateway("--core-ca", &ca)
    };
    let stack = mutual().gateway("--core-cert", &own_cert).gateway("--core-key", &own_key).start().await;
    stack.create_secret("a").await.ok();

    // Without a certificate, and with a stranger's: for the client the core-service is just unavailable.
    let [other_cert, other_key] = of_a_stranger(folder.path());
    let wrong = mutual().gateway("--core-cert", &other_cert).gateway("--core-key", &other_key);
    for setup in [mutual(), wrong] {
        let stack = setup.start_unready().await;
        assert_eq!(stack.create_secret("a").await.error(502, "UpstreamFailure"), AWAY);
        stack.get("/readyz").await.error(503, "NotEnoughResources");
    }
}

#[tokio::test]
async fn no_connection_with_a_wrong_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key, ca] = write(folder.path(), "core");
    let setup = Setup::on(Kind::Sqlite)
        .core("--tls-cert", &cert)
        .core("--tls-key", &key)
        .core("--tls-client-ca", &ca);
    let stack = setup.gateway("--core-ca", &ca).start_unready().await;

    let authority = Authority::shared();
    let [other_cert, other_key] = of_a_stranger(folder.path());
    let other = (std::fs::read_to_string(other_cert).unwrap(), std::fs::read_to_string(other_key).unwrap());
    for identity in [None, Some(other)] {
        assert_eq!(greeted(stack.core, identity).await, 0);
    }
    let (certificate, key) = authority.issue(&["gateway.test"]);
    assert!(greeted(stack.core, Some((certificate.pem(), key.serialize_pem()))).await > 0);
}

#[tokio::test]
async fn health_in_plaintext_beside_mutual_tls() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key, ca] = write(folder.path(), "core");
    let database = Database::create(Kind::Sqlite, false).await;
    // A port that was just free.
    let probed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = Service::core_service(&database.url())
        .flag("--tls-cert", &cert)
        .flag("--tls-key", &key)
        .flag("--tls-client-ca", &ca)
        .flag("--health-listen", &probed.to_string())
        .start()
        .await;
    let channel = Endpoint::from_shared(format!("http://{probed}")).unwrap().connect().await.unwrap();
    let asked = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel.clone()).check(asked).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    // Health, and nothing else.
    let request = PurgeAccountRequest { did: "did:plc:a".to_owned() };
    let refused = AccountServiceClient::new(channel).purge_account(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(service.terminate().await.0.success());
}

#[tokio::test]
async fn unknown_authority() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key, _] = write(folder.path(), "core");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap().cert.pem();
    let ca = folder.path().join("other.pem").display().to_string();
    std::fs::write(&ca, other).unwrap();
    let setup =
        Setup::on(Kind::Sqlite).core("--tls-cert", &cert).core("--tls-key", &key).gateway("--core-ca", &ca);
    let message = setup.start_unready().await.create_secret("a").await.error(502, "UpstreamFailure");
    assert_eq!(message, AWAY);
}
