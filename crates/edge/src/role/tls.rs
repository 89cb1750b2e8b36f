//! TLS with clients: what a listener speaks, which certificate it shows, and the beginning of a connection.

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use engine::{KeyedCertificate, ListenerTls, TlsVersion};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::{default_provider, sign::any_supported_type};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ProtocolVersion, ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite,
};
use tokio_rustls::server::TlsStream;

use super::answer;
use super::channel::Channel;
use super::plan::Frontend;
use super::worker::Client;

/// A client that takes longer to agree with does it on purpose.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// What every connection with TLS begins with, and no request does (RFC 8446, 5.1: "handshake").
const HANDSHAKE_RECORD: u8 = 22;
/// More is not read of a client that asked in the clear.
const LOST_BYTES_MAX: usize = 64 * 1024;

/// A certificate ready to be shown.
#[derive(Debug)]
pub struct ShownCertificate {
    name: String,
    hosts: Vec<String>,
    key: Arc<CertifiedKey>,
}

impl ShownCertificate {
    pub fn new(given: &KeyedCertificate) -> Result<Self, String> {
        let odd = |what: &str| format!("the certificate `{}` has {what}", given.id);
        let chain = CertificateDer::pem_slice_iter(given.chain.as_bytes());
        let chain: Vec<_> = chain
            .collect::<Result<_, _>>()
            .map_err(|_| odd("no readable chain"))?;
        if chain.is_empty() {
            return Err(odd("an empty chain"));
        }
        let key = PrivateKeyDer::from_pem_slice(given.key.as_bytes());
        let key = key.map_err(|_| odd("no readable key"))?;
        let key = any_supported_type(&key).map_err(|_| odd("a key of an unknown kind"))?;
        Ok(Self {
            name: given.name.clone(),
            hosts: given.hosts.clone(),
            key: Arc::new(CertifiedKey::new(chain, key)),
        })
    }

    fn is_for(&self, host: &str) -> bool {
        self.hosts.iter().any(|it| covers(it, host))
    }
}

/// `*.` stands for exactly one label (RFC 6125, 6.4.3).
fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => (host.split_once('.')).is_some_and(|it| it.1.eq_ignore_ascii_case(domain)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

/// What a listener speaks.
pub struct ServedTls {
    config: Arc<ServerConfig>,
    chooser: Arc<Chooser>,
}

impl ServedTls {
    /// The error names what is missing.
    pub fn new(
        wanted: &ListenerTls,
        known: &HashMap<String, Arc<ShownCertificate>>,
    ) -> Result<Self, String> {
        let find = |id: &String| {
            let found = known.get(id).cloned();
            found.ok_or_else(|| format!("the certificate `{id}` is not there"))
        };
        let certificates = wanted.certificates.iter().map(find);
        let chooser = Arc::new(Chooser(certificates.collect::<Result<_, _>>()?));
        let versions = wanted.versions.iter().map(|it| match it {
            TlsVersion::Tls12 => &TLS12,
            TlsVersion::Tls13 => &TLS13,
        });
        let versions: Vec<_> = versions.collect();
        let mut provider = default_provider();
        let all = std::mem::take(&mut provider.cipher_suites);
        let named = |name: &String| {
            all.iter()
                .find(|it| it.suite().as_str() == Some(name))
                .copied()
        };
        provider.cipher_suites = wanted.suites.iter().filter_map(named).collect();
        let config = configure(provider, &versions, Arc::clone(&chooser));
        let config = config.map_err(|error| format!("nothing can be spoken: {error}"))?;
        Ok(Self {
            config: Arc::new(config),
            chooser,
        })
    }
}

fn configure(
    provider: CryptoProvider,
    versions: &[&'static tokio_rustls::rustls::SupportedProtocolVersion],
    chooser: Arc<Chooser>,
) -> Result<ServerConfig, tokio_rustls::rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(chooser);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A policy's order counts.
    config.ignore_client_order = true;
    Ok(config)
}

/// Which certificate a client is shown: the best of those for the host that it names, else the first.
#[derive(Debug)]
struct Chooser(Vec<Arc<ShownCertificate>>);

impl Chooser {
    fn choose(
        &self,
        host: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<ShownCertificate>> {
        let is_fit = |it: &&Arc<ShownCertificate>| {
            host.is_some_and(|host| it.is_for(host)) && it.key.key.choose_scheme(schemes).is_some()
        };
        let is_short =
            |it: &&Arc<ShownCertificate>| it.key.key.algorithm() == SignatureAlgorithm::ECDSA;
        let fit = || self.0.iter().filter(is_fit);
        let best = fit().find(is_short).or_else(|| fit().next());
        best.or_else(|| self.0.first())
    }

    fn is_for(&self, host: &str) -> bool {
        self.0.iter().any(|it| it.is_for(host))
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.choose(hello.server_name(), hello.signature_schemes())?;
        Some(Arc::clone(&chosen.key))
    }
}

/// What was agreed on with a client.
pub struct ClientTls {
    pub version: &'static str,
    pub suite: String,
    /// The host that it asked for.
    pub host: Option<String>,
    /// The name of the certificate that it was shown.
    pub certificate: String,
    /// The balancer that it speaks with, where it was told at once which.
    pub balancer: Option<String>,
}

/// Finds out what a client of a port with TLS speaks, and agrees with it. `None`: it is none of ours.
pub async fn begin(client: &Client, stream: TcpStream) -> Option<Channel> {
    let began = tokio::time::timeout(HANDSHAKE_TIME_MAX, agree(client, stream));
    began.await.ok().flatten()
}

async fn agree(client: &Client, stream: TcpStream) -> Option<Channel> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    let serves = client.slot.serves.load_full();
    if first != [HANDSHAKE_RECORD] {
        if serves.iter().any(|it| it.tls.is_none()) {
            return Some(Channel::Plain(stream));
        }
        tell_of_tls(stream).await;
        return None;
    }
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream)
        .await
        .ok()?;
    let said = hello.client_hello();
    let host = said.server_name().map(str::to_owned);
    let (frontend, is_sure) = speaker(&serves, host.as_deref())?;
    if !frontend.admits.lets_in(client.address.ip()) {
        return None;
    }
    let tls = frontend.tls.as_ref()?;
    let chosen = tls
        .chooser
        .choose(host.as_deref(), said.signature_schemes());
    let certificate = chosen.map(|it| it.name.clone()).unwrap_or_default();
    let stream = hello.into_stream(Arc::clone(&tls.config)).await.ok()?;
    let (version, suite) = agreed(&stream);
    let agreed = ClientTls {
        version,
        suite,
        host,
        certificate,
        balancer: is_sure.then(|| frontend.host.clone()),
    };
    // It is set here alone, and once.
    let _ = client.tls.set(agreed);
    Some(Channel::Tls(Box::new(stream.into())))
}

/// Who speaks with a client that asks for a host, and whether no other one of the port could be meant.
fn speaker<'a>(
    serves: &'a [Arc<Frontend>],
    host: Option<&str>,
) -> Option<(&'a Arc<Frontend>, bool)> {
    let all = || serves.iter().filter(|it| it.tls.is_some());
    let first = all().next()?;
    if all().nth(1).is_none() {
        return Some((first, true));
    }
    let Some(host) = host else {
        return Some((first, false));
    };
    let named = all().find(|it| it.host.eq_ignore_ascii_case(host));
    let shown = || all().find(|it| it.tls.as_ref().is_some_and(|it| it.chooser.is_for(host)));
    let found = named.or_else(shown);
    Some(found.map_or((first, false), |it| (it, true)))
}

fn agreed(stream: &TlsStream<TcpStream>) -> (&'static str, String) {
    let connection = stream.get_ref().1;
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let suite = connection.negotiated_cipher_suite();
    (version, suite.map(openssl_name).unwrap_or_default())
}

/// `ECDHE-RSA-AES128-GCM-SHA256`, and `TLS_AES_128_GCM_SHA256`, which has the same name everywhere.
fn openssl_name(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name = name.trim_start_matches("TLS_").replace("_WITH_", "_");
    name.replace("AES_", "AES").replace('_', "-")
}

/// What a request gets that comes in the clear.
async fn tell_of_tls(mut stream: TcpStream) {
    let _ = stream.try_write(&answer::raw_for_tls());
    let _ = SockRef::from(&stream).shutdown(Shutdown::Write);
    // It would not see the answer if its connection was closed under what it sends.
    let mut bytes = [0; 4096];
    let mut lost = 0;
    while lost < LOST_BYTES_MAX
        && let Ok(read @ 1..) = stream.read(&mut bytes).await
    {
        lost += read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        assert!(covers("*.example.com", "A.example.COM"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "a.b.example.com"));
        assert!(covers("example.com", "EXAMPLE.com"));
        assert!(!covers("example.com", "a.example.com"));
    }

    #[test]
    fn suites_are_called_as_logs_call_them() {
        let mut names: Vec<String> = default_provider()
            .cipher_suites
            .into_iter()
            .map(openssl_name)
            .collect();
        names.sort();
        let expect = [
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-CHACHA20-POLY1305-SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-CHACHA20-POLY1305-SHA256",
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
        ];
        assert_eq!(names, expect);
    }
}
