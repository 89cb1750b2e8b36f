//! TLS with clients, and with targets.

mod support;

use std::sync::Arc;
use std::time::Duration;

use engine::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const HOST: &str = "lb.example";

struct Made {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

fn made(host: &str) -> Made {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    Made {
        certificate: made.cert.der().clone(),
        key: made.signing_key.serialize_der(),
    }
}

impl Made {
    fn keyed(&self, id: &str) -> KeyedCertificate {
        let pem = |label, der: &[u8]| {
            pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
        };
        KeyedCertificate {
            id: id.into(),
            name: format!("arn:{id}"),
            hosts: vec![HOST.into()],
            chain: pem("CERTIFICATE", &self.certificate),
            key: pem("PRIVATE KEY", &self.key),
        }
    }
}

fn spoken(certificate: &str) -> Option<ListenerTls> {
    Some(ListenerTls {
        certificates: vec![certificate.into()],
        versions: vec![TlsVersion::Tls12, TlsVersion::Tls13],
        suites: vec![
            "TLS13_AES_128_GCM_SHA256".into(),
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".into(),
        ],
    })
}

/// A target that speaks TLS alone, with a certificate of nobody's, and answers with what it got.
async fn secure_target() -> Target {
    let own = made("whoever");
    let key = PrivateKeyDer::try_from(own.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    head.len()
                );
                stream.write_all(answer.as_bytes()).await.ok()?;
                stream.write_all(&head).await.ok()?;
                stream.shutdown().await.ok()
            });
        }
    });
    Target {
        address: "127.0.0.1".parse().unwrap(),
        port,
        draining_until_ms: None,
    }
}

/// All that a client hears which trusts one certificate; None where nothing was agreed on.
async fn ask(bench: &Bench, port: u16, trusted: &Made, request: &str) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(HOST).unwrap();
    let mut stream = connector
        .connect(name, bench.connect(port).await)
        .await
        .ok()?;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut heard)).await;
    Some(String::from_utf8_lossy(&heard).into_owned())
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: lb.example\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn requests_go_from_tls_to_tls() {
    let bench = Bench::start().await;
    let (port, own) = (free_port(), made(HOST));
    bench.certificates.lock().unwrap().push(own.keyed("one"));
    let mut lb = balancer("lb", port, always(forward(&[("web", 1)])));
    lb.listeners[0].tls = spoken("one");
    lb.http.tells_tls = true;
    lb.logs_access = true;
    let mut web = group("web", &[]);
    web.targets = vec![secure_target().await];
    web.tls = true;
    web.health_check.tls = true;
    web.health_check.timeout_ms = 5_000;
    bench.apply(vec![lb], vec![web]).await.unwrap();
    bench.wait_healthy("web").await;
    let heard = ask(&bench, port, &own, GET).await.unwrap().to_lowercase();
    assert!(heard.starts_with("http/1.1 200"), "{heard}");
    assert!(heard.contains("x-forwarded-proto: https\r\n"), "{heard}");
    assert!(heard.contains("x-amzn-tls-version: tlsv1.3\r\n"), "{heard}");
    assert!(heard.contains("x-amzn-tls-cipher-suite: tls_aes_128_gcm_sha256\r\n"));
    let entry = loop {
        let taken = bench.client().take_accesses("lb").await.unwrap();
        if let Some(entry) = taken.into_iter().next() {
            break entry;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(entry.url, format!("https://{HOST}:{port}/a"));
    let expect = AccessedTls {
        version: "TLSv1.3".into(),
        suite: "TLS_AES_128_GCM_SHA256".into(),
        host: Some(HOST.into()),
        certificate: "arn:one".into(),
    };
    assert_eq!(entry.tls, Some(expect));

    // A head that is too large is answered, within TLS.
    let large = format!(
        "GET / HTTP/1.1\r\nHost: lb\r\nX-Large: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    let heard = ask(&bench, port, &own, &large).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 400"), "{heard}");
}

#[tokio::test]
async fn a_listener_is_never_served_in_the_clear_or_without_its_certificate() {
    let bench = Bench::start().await;
    let (port, own) = (free_port(), made(HOST));
    let page = Action::Fixed {
        status: 200,
        content_type: "text/plain".into(),
        body: "here".into(),
    };
    let mut lb = balancer("lb", port, always(page));
    lb.listeners[0].tls = spoken("one");
    let refused = bench.apply(vec![lb.clone()], vec![]).await.unwrap_err();
    assert!(
        refused
            .chain()
            .contains("the certificate `one` is not there"),
        "{refused}"
    );
    let closed = tokio::net::TcpStream::connect((bench.address, port)).await;
    assert!(closed.is_err(), "nobody listens");

    bench.certificates.lock().unwrap().push(own.keyed("one"));
    bench.apply(vec![lb.clone()], vec![]).await.unwrap();
    let plain = bench.get(port, "/").await;
    assert_eq!(plain.status, 400);
    assert!(
        plain.text().contains("sent to HTTPS port"),
        "{}",
        plain.text()
    );
    assert!(
        ask(&bench, port, &own, GET)
            .await
            .unwrap()
            .ends_with("here")
    );

    // Issued anew, under another id: the next client is shown the new one.
    let new = made(HOST);
    *bench.certificates.lock().unwrap() = vec![new.keyed("two")];
    lb.listeners[0].tls = spoken("two");
    bench.apply(vec![lb], vec![]).await.unwrap();
    assert!(ask(&bench, port, &own, GET).await.is_none());
    assert!(
        ask(&bench, port, &new, GET)
            .await
            .unwrap()
            .ends_with("here")
    );
    let snapshot = std::fs::read_to_string(bench.dir.path().join("snapshot.json")).unwrap();
    assert!(!snapshot.contains("PRIVATE KEY") && snapshot.contains("two"));
}
