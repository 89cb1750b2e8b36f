//! Encrypted connections, for registries that are not on this machine.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Whom to trust, read when it is needed first: a machine that never pulls never reads it.
#[derive(Default)]
pub struct Tls {
    config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts these authorities and no others.
    #[cfg(test)]
    pub fn trusting(roots: RootCertStore) -> Self {
        let tls = Self::default();
        tls.config.get_or_init(|| config(roots));
        tls
    }

    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let config = self.config.get_or_init(|| config(trusted_here()));
        TlsConnector::from(config.clone())
            .connect(name, stream)
            .await
    }
}

fn config(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the versions that are safe")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// The machine's own authorities, which may hold a company's; where it has none, the public ones.
fn trusted_here() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::http::{Client, Url};
    use engine::Fault;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    /// A server with a certificate of its own making, and that certificate as an authority.
    async fn server() -> (u16, RootCertStore) {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        });
        (port, roots)
    }

    #[tokio::test]
    async fn only_the_trusted_are_spoken_to() {
        let (port, roots) = server().await;
        let get = async |tls: Tls, host: &str| {
            let url = Url::parse(&format!("https://{host}:{port}/v2/")).unwrap();
            let here = "127.0.0.1".parse().unwrap();
            let reach = reach::Reach::new(vec![here], vec![]);
            Client::new(tls, reach).get("reg", &url, "*/*", None).await
        };
        let answer = get(Tls::trusting(roots.clone()), "localhost").await;
        assert_eq!(answer.unwrap().status(), 418);
        // Another name than the certificate's, and an authority that nobody here knows.
        for refused in [
            get(Tls::trusting(roots), "127.0.0.1").await,
            get(Tls::default(), "localhost").await,
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.fault, Fault::Unreachable);
            assert!(error.to_string().contains("certificate"), "{error}");
        }
    }
}
