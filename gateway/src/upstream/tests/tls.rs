//! TLS and mutual TLS, for the host of the URL and not for an address; and invalid settings.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use process::certificates::PemError;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::Code;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::super::dial::{Dialer, unfit};
use super::super::tls::{Credentials, UpstreamTls};
use super::super::{UnfitSettings, Upstream, UpstreamSettings};
use super::dns::Dns;
use super::retries::assert_bare;
use super::server::Server;
use super::{Kind, PATIENCE, call, loopback, metrics};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key for a name.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

async fn connect(ip: IpAddr, port: u16, tls: UpstreamTls) -> (Upstream, Dns) {
    let dns = Dns::start(&[ip]).await;
    let url = format!("https://core.test:{port}").parse().unwrap();
    let settings =
        UpstreamSettings { url, token: None, tls: Some(tls), resolver: dns.resolver(), metrics: metrics() };
    (Upstream::start(settings).unwrap(), dns)
}

fn trusting(authority: &Authority) -> UpstreamTls {
    UpstreamTls::from_pem(&authority.pem(), None).unwrap()
}

#[tokio::test]
async fn certificate_of_the_name_is_taken() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("core.test");
    let ip = loopback();
    let server =
        Server::secured(ip, ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))).await;
    let (upstream, _dns) = connect(ip, server.port(), trusting(&authority)).await;
    assert_eq!(call(&upstream, Kind::Procedure, PATIENCE).await.unwrap().token, ip.to_string());
    server.leave();
}

#[tokio::test]
async fn certificate_of_another_name_or_authority_is_not() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (issuer, name) in [(&authority, "other.test"), (&stranger, "core.test")] {
        let (certificate, key) = issuer.issue(name);
        let ip = loopback();
        let server =
            Server::secured(ip, ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))).await;
        let (upstream, _dns) = connect(ip, server.port(), trusting(&authority)).await;
        let failure = call(&upstream, Kind::Procedure, PATIENCE).await.unwrap_err();
        assert_bare(&failure, Code::Unavailable);
        server.leave();
    }
}

#[tokio::test]
async fn mutual_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("core.test");
    let ip = loopback();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let server = Server::secured(ip, tls).await;
    let (stranger, _dns) = connect(ip, server.port(), trusting(&authority)).await;
    let failure = call(&stranger, Kind::Procedure, PATIENCE).await.unwrap_err();
    assert_bare(&failure, Code::Unavailable);
    let (certificate, key) = authority.issue("gateway.test");
    let tls = UpstreamTls::from_pem(&authority.pem(), Some((&certificate, &key))).unwrap();
    let (upstream, _dns) = connect(ip, server.port(), tls).await;
    call(&upstream, Kind::Procedure, PATIENCE).await.unwrap();
    server.leave();
}

#[test]
fn settings_that_do_not_fit() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("gateway.test");
    let ca = authority.pem();
    let tls = |identity| Some(UpstreamTls::from_pem(&ca, identity).unwrap());
    let refusal = |url: &str, tls| {
        let credentials = Arc::new(ArcSwap::from_pointee(Credentials::new(None, tls)));
        Dialer::new(&url.parse().unwrap(), credentials).err()
    };
    for url in ["http://core.test", "http://127.0.0.1:50051/", "http://[::1]:50051"] {
        assert!(refusal(url, None).is_none(), "{url}");
    }
    for url in ["https://core.test", "https://127.0.0.1:50051/", "https://[::1]:50051"] {
        assert!(refusal(url, tls(None)).is_none(), "{url}");
        assert!(refusal(url, tls(Some((&certificate, &key)))).is_none(), "{url}");
    }
    for url in
        ["ftp://core.test", "unix:/run/core", "http://core.test/path", "http://core.test?a", "http://a:b@c"]
    {
        assert!(matches!(refusal(url, None), Some(UnfitSettings::Url)), "{url}");
    }
    assert!(matches!(refusal("https://core.test", None), Some(UnfitSettings::NoAuthority)));
    assert!(matches!(refusal("http://core.test", tls(None)), Some(UnfitSettings::TlsWithoutHttps)));
    let all = unfit(&"https://core.test/path".parse().unwrap(), false);
    assert!(matches!(all[..], [UnfitSettings::Url, UnfitSettings::NoAuthority]), "{all:?}");
}

#[test]
fn pem_texts_that_are_something_else() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("gateway.test");
    let (_, other_key) = stranger.issue("gateway.test");
    let refusal = |ca: &str, identity| UpstreamTls::from_pem(ca, identity).err();
    let ca = authority.pem();
    assert!(matches!(refusal("no PEM", None), Some(UnfitSettings::Pem(PemError::Empty { .. }))));
    assert!(matches!(refusal(&key, None), Some(UnfitSettings::Pem(PemError::Empty { .. }))));
    let no_key = refusal(&ca, Some((&certificate, &certificate)));
    assert!(matches!(no_key, Some(UnfitSettings::Pem(PemError::Section { .. }))));
    assert!(matches!(refusal(&ca, Some((&certificate, &other_key))), Some(UnfitSettings::Tls(_))));
}
