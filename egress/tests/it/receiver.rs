//! Web servers on loopback that answer as a test says, or badly.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientCertVerifierBuilder, WantsServerCert, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion, WantsVerifier};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_rustls::TlsAcceptor;

/// How a receiver behaves once it has read a request's head.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Sends this and closes.
    Say(Vec<u8>),
    /// Never answers.
    Hang,
    /// Announces a body and sends a byte of it now and then.
    Drip,
}

/// What a receiver noticed about a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was accepted.
    Connection,
    /// TLS was agreed on, with this server name.
    Tls(Option<String>),
    /// The head of a request.
    Request(String),
    /// The client is gone.
    Gone,
}

/// Runs until it is dropped.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    seen: mpsc::UnboundedReceiver<Seen>,
    _task: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn http(behaviour: Behaviour) -> Self {
        Self::start(None, behaviour).await
    }

    /// Serves TLS as `host` with a certificate of `authority`.
    pub(crate) async fn https(authority: &Authority, host: &str, behaviour: Behaviour) -> Self {
        Self::start(Some(authority.acceptor(host)), behaviour).await
    }

    async fn start(tls: Option<TlsAcceptor>, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (notice, seen) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                _ = notice.send(Seen::Connection);
                // A client that goes away is what some tests are about.
                _ = serve(stream, tls.as_ref(), &behaviour, &notice).await;
                _ = notice.send(Seen::Gone);
            }
        });
        Self { port, seen, _task: task }
    }

    /// The next thing that was noticed.
    pub(crate) async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// Whether nobody connected so far: the next connection that a plain receiver sees is made here.
    pub(crate) async fn untouched(&mut self) -> bool {
        const MARK: &str = "mark\r\n\r\n";
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        stream.write_all(MARK.as_bytes()).await.unwrap();
        self.next().await == Seen::Connection && self.next().await == Seen::Request(MARK.to_owned())
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<&TlsAcceptor>,
    behaviour: &Behaviour,
    notice: &mpsc::UnboundedSender<Seen>,
) -> io::Result<()> {
    let Some(tls) = tls else {
        return converse(stream, behaviour, notice).await;
    };
    let stream = tls.accept(stream).await?;
    let name = stream.get_ref().1.server_name().map(str::to_owned);
    _ = notice.send(Seen::Tls(name));
    converse(stream, behaviour, notice).await
}

async fn converse<S>(
    mut stream: S,
    behaviour: &Behaviour,
    notice: &mpsc::UnboundedSender<Seen>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    _ = notice.send(Seen::Request(String::from_utf8(head).unwrap()));
    match behaviour {
        Behaviour::Say(answer) => {
            stream.write_all(answer).await?;
            stream.shutdown().await
        }
        Behaviour::Hang => stream.read_u8().await.map(drop),
        Behaviour::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n").await?;
            let mut drops = interval(Duration::from_millis(5));
            loop {
                drops.tick().await;
                stream.write_all(b".").await?;
            }
        }
    }
}

fn server(versions: &[&'static SupportedProtocolVersion]) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}

/// A certificate authority of the test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    fn acceptor(&self, host: &str) -> TlsAcceptor {
        self.acceptor_for(host, &["h2", "http/1.1"])
    }

    /// Serves TLS as `host`, with these protocols in ALPN.
    pub(crate) fn acceptor_for(&self, host: &str, protocols: &[&str]) -> TlsAcceptor {
        self.finish(server(&[&TLS13, &TLS12]).with_no_client_auth(), host, protocols)
    }

    /// The same in one version of TLS, for clients that have a certificate of this authority.
    pub(crate) fn acceptor_of_certificates(
        &self,
        version: &'static SupportedProtocolVersion,
        host: &str,
        protocols: &[&str],
    ) -> TlsAcceptor {
        let verifier = self.verifier().build().unwrap();
        self.finish(server(&[version]).with_client_cert_verifier(verifier), host, protocols)
    }

    /// The same for clients that have a certificate of this authority or none.
    pub(crate) fn acceptor_of_optional_certificates(
        &self,
        version: &'static SupportedProtocolVersion,
        host: &str,
        protocols: &[&str],
    ) -> TlsAcceptor {
        let verifier = self.verifier().allow_unauthenticated().build().unwrap();
        self.finish(server(&[version]).with_client_cert_verifier(verifier), host, protocols)
    }

    fn verifier(&self) -> ClientCertVerifierBuilder {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
    }

    fn finish(
        &self,
        builder: ConfigBuilder<ServerConfig, WantsServerCert>,
        host: &str,
        protocols: &[&str],
    ) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
