//! TLS between the gateway and the core-service, one-sided and mutual.

use std::path::Path;

use crate::harness::database::Kind;
use crate::harness::on_both;
use crate::harness::receiver::Authority;
use crate::harness::stack::Setup;

/// Writes a certificate for 127.0.0.1 with its key, and the authority that vouches for it.
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

on_both! {
    async fn core_service_shows_a_certificate(on: Kind) {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key, ca] = write(folder.path(), "core");
        let setup = Setup::on(on).core("--tls-cert", &cert).core("--tls-key", &key).gateway("--core-ca", &ca);
        setup.start().await.create_secret("a").await.ok();
    }

    async fn both_show_a_certificate(on: Kind) {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key, ca] = write(folder.path(), "core");
        let [own_cert, own_key, _] = write(folder.path(), "gateway");
        let mutual = || {
            Setup::on(on).core("--tls-cert", &cert).core("--tls-key", &key).core("--tls-client-ca", &ca).gateway("--core-ca", &ca)
        };
        let stack = mutual().gateway("--core-cert", &own_cert).gateway("--core-key", &own_key).start().await;
        stack.create_secret("a").await.ok();

        let stack = mutual().start_unready().await;
        stack.create_secret("a").await.error(502, "UpstreamFailure");
        stack.get("/readyz").await.error(503, "NotEnoughResources");
    }

    async fn unknown_authority(on: Kind) {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key, _] = write(folder.path(), "core");
        let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap().cert.pem();
        let ca = folder.path().join("other.pem").display().to_string();
        std::fs::write(&ca, other).unwrap();
        let setup = Setup::on(on).core("--tls-cert", &cert).core("--tls-key", &key).gateway("--core-ca", &ca);
        setup.start_unready().await.create_secret("a").await.error(502, "UpstreamFailure");
    }
}
