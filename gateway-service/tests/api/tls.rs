//! HTTPS: HTTP/1.1 and HTTP/2 over TLS, certificates that change, and clients with certificates.

use std::sync::Arc;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testkit::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::gateway::Gateway;
use crate::upstream::{Reply, Upstream};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// An authority, and the files of a gateway that it vouches for.
struct Authority {
    issuer: Issuer,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self {
            issuer,
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(authority.path("ca.pem"), authority.issuer.pem()).unwrap();
        authority.write_certificate();
        authority
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn certificate(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost", "shop.test"].map(str::to_owned)).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Makes a new certificate and writes it over the one before.
    fn write_certificate(&self) {
        let (certificate, key) = self.certificate();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(self.path("certificate.pem"), certificate.pem()).unwrap();
    }

    async fn gateway(&self, upstream: &Upstream, extra: &[(&str, &str)]) -> Gateway {
        let (certificate, key) = (self.path("certificate.pem"), self.path("key.pem"));
        let own = [
            ("GATEWAY__TLS__CERTIFICATE_FILE", certificate.as_str()),
            ("GATEWAY__TLS__KEY_FILE", key.as_str()),
            ("GATEWAY__TLS__PORT", "0"),
        ];
        let settings: Vec<_> = own.into_iter().chain(extra.iter().copied()).collect();
        Gateway::with(&upstream.url(), &settings).await
    }

    fn client(&self, protocol: &str, proves_itself: Proof) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match proves_itself {
            Proof::None => builder.with_no_client_auth(),
            Proof::Certificate => {
                let (certificate, key) = self.certificate();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                let chain = vec![certificate.der().clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Client(TlsConnector::from(Arc::new(config)))
    }
}

#[derive(Clone, Copy)]
enum Proof {
    None,
    Certificate,
}

struct Client(TlsConnector);

impl Client {
    async fn connect(&self, gateway: &Gateway) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(gateway.secure_address()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        self.0.connect(name, stream).await
    }

    /// A connection of HTTP/2.
    async fn h2(&self, gateway: &Gateway) -> h2::client::SendRequest<Bytes> {
        let stream = self.connect(gateway).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        sender
    }

    /// One request of HTTP/1.1 on a connection of its own.
    async fn ask(&self, gateway: &Gateway, request: &str) -> std::io::Result<String> {
        let mut stream = self.connect(gateway).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        // Not every server says good-bye.
        let _unclean = stream.read_to_string(&mut answer).await;
        match answer.is_empty() {
            true => Err(std::io::ErrorKind::ConnectionReset.into()),
            false => Ok(answer),
        }
    }

    /// The certificate that the gateway shows.
    async fn shown(&self, gateway: &Gateway) -> CertificateDer<'static> {
        let stream = self.connect(gateway).await.unwrap();
        let (_, session) = stream.get_ref();
        session.peer_certificates().unwrap()[0].clone()
    }
}

const GET: &str = "GET /api/orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn http_1_1_over_tls_is_served_and_told_to_the_service() {
    let upstream = Upstream::start(|_| Reply::ok("hello")).await;
    let authority = Authority::new();
    let gateway = authority.gateway(&upstream, &[]).await;
    let client = authority.client("http/1.1", Proof::None);
    let answer = client.ask(&gateway, GET).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"),
        "{answer}"
    );
    let seen = upstream.only();
    assert_eq!(seen.head.one("x-forwarded-proto").as_deref(), Some("https"));
    let plain = gateway
        .ask("GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    plain.expect(200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(seen.head.one("x-forwarded-proto").as_deref(), Some("http"));
}

#[tokio::test]
async fn who_asks_for_a_host_that_the_certificate_is_not_for_is_misdirected() {
    let upstream = Upstream::start(|_| Reply::ok("hello")).await;
    let authority = Authority::new();
    let gateway = authority.gateway(&upstream, &[]).await;
    let client = authority.client("http/1.1", Proof::None);
    let status = async |host: &str| {
        let target = format!("GET /api/orders HTTP/1.1\r\nHost: {host}\r\n");
        let request = format!("{target}Connection: close\r\n\r\n");
        let answer = client.ask(&gateway, &request).await.unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    // The name that the connection was opened for, and another one of the certificate.
    for host in [
        "localhost",
        "LOCALHOST:443",
        "localhost.",
        "shop.test",
        "SHOP.test:8443",
    ] {
        assert_eq!(status(host).await, "200", "{host}");
    }
    let served = upstream.seen().len();
    for host in [
        "other.test",
        "shop.test.evil",
        "a.shop.test",
        "127.0.0.1",
        "[::1]:443",
    ] {
        assert_eq!(status(host).await, "421", "{host}");
    }
    assert_eq!(upstream.seen().len(), served, "nothing of it was passed on");
    let problem = "GET http://other.test/api/orders HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = client.ask(&gateway, problem).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.contains("misdirected_request"), "{answer}");
    let mut sender = authority.client("h2", Proof::None).h2(&gateway).await;
    for (host, expected) in [("localhost", 200), ("shop.test", 200), ("other.test", 421)] {
        let uri = format!("https://{host}/api/orders");
        let request = http::Request::get(uri).body(()).unwrap();
        sender = sender.ready().await.unwrap();
        let (answer, _no_body) = sender.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), expected, "{host}");
    }
    // Without TLS there is nothing that a name could contradict.
    let plain = gateway.ask("GET /api/orders HTTP/1.1\r\nHost: other.test\r\n\r\n");
    plain.await.expect(200);
}

#[tokio::test]
async fn http_2_carries_requests_with_and_without_bodies() {
    let upstream = Upstream::start(|seen| Reply::ok(&seen.body.text())).await;
    let authority = Authority::new();
    let gateway = authority.gateway(&upstream, &[]).await;
    let mut sender = authority.client("h2", Proof::None).h2(&gateway).await;
    for (method, body, announced) in [
        ("GET", "", None),
        ("POST", "hello", None),
        ("POST", "hello", Some("5")),
        ("GET", "hello", None),
        ("DELETE", "", None),
    ] {
        let mut request = http::Request::builder()
            .method(method)
            .uri("https://localhost/api/orders?a=b");
        if let Some(length) = announced {
            request = request.header("content-length", length);
        }
        let request = request.body(()).unwrap();
        sender = sender.ready().await.unwrap();
        let (answer, mut upload) = sender.send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            upload.send_data(Bytes::from(body), true).unwrap();
        }
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200, "{method} {body}");
        let mut stream = answer.into_body();
        let mut got = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.unwrap();
            stream.flow_control().release_capacity(data.len()).unwrap();
            got.extend_from_slice(&data);
        }
        assert_eq!(got, body.as_bytes(), "{method}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(
            seen.head.start,
            format!("{method} /api/orders?a=b HTTP/1.1")
        );
        assert_eq!(seen.body.text(), body, "{method}");
        assert_eq!(
            seen.head.one("x-forwarded-host").as_deref(),
            Some("localhost")
        );
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let authority = Authority::new();
    let gateway = authority.gateway(&upstream, &[]).await;
    let client = authority.client("http/1.1", Proof::None);
    let first = client.shown(&gateway).await;
    authority.write_certificate();
    wait_until("the new certificate", || async {
        client.shown(&gateway).await != first
    })
    .await;
    let second = client.shown(&gateway).await;
    std::fs::write(authority.path("certificate.pem"), "broken").unwrap();
    authority.write_certificate();
    wait_until("the third certificate", || async {
        client.shown(&gateway).await != second
    })
    .await;
}

#[tokio::test]
async fn where_authorities_are_set_a_client_must_prove_itself() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let gateway = authority
        .gateway(&upstream, &[("GATEWAY__TLS__CLIENT_CA_FILE", &ca)])
        .await;
    let known = authority.client("http/1.1", Proof::Certificate);
    assert!(
        known
            .ask(&gateway, GET)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    let unknown = authority.client("http/1.1", Proof::None);
    assert!(unknown.ask(&gateway, GET).await.is_err());
    let stranger = Authority::new();
    let (certificate, key) = stranger.certificate();
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let foreign = Client(TlsConnector::from(Arc::new(config)));
    assert!(foreign.ask(&gateway, GET).await.is_err());
    assert_eq!(upstream.seen().len(), 1);
}
