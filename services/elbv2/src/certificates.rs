//! What listeners for HTTPS serve with: their certificates, and how they speak.

use cloud::{Cx, Error, Record, Records};
use shapes::elbv2::errors::{
    CertificateNotFoundException, InvalidConfigurationRequestException,
    OperationNotPermittedException, TooManyCertificatesException,
};
use shapes::elbv2::{
    AddListenerCertificatesInput, AddListenerCertificatesOutput, Certificate,
    DescribeListenerCertificatesInput, DescribeListenerCertificatesOutput, ProtocolEnum,
    RemoveListenerCertificatesInput, RemoveListenerCertificatesOutput,
};

use crate::balancer::unsupported;
use crate::paging::Asked;
use crate::policies;
use crate::record::{self, Listener, TlsSettings};

/// ELB quotas: "Certificates per Application Load Balancer (not counting default certificates)".
const CERTIFICATES_MAX: usize = 25;

/// What a request says of a listener's TLS.
pub struct Wanted<'a> {
    pub protocol: Option<ProtocolEnum>,
    pub certificates: Option<&'a Vec<Certificate>>,
    pub policy: Option<&'a String>,
}

impl Wanted<'_> {
    /// What the listener has then; it had `before`.
    pub fn settings(
        &self,
        cx: &Cx,
        tx: &Records<'_>,
        before: Option<&TlsSettings>,
    ) -> Result<Option<TlsSettings>, Error> {
        let is_secure = match self.protocol {
            Some(ProtocolEnum::Https) => true,
            Some(ProtocolEnum::Http) => false,
            None => before.is_some(),
            Some(other) => {
                return Err(unsupported(&format!("the listener protocol '{other}'")));
            }
        };
        let given = arns(self.certificates)?;
        if !is_secure {
            let what = match (given.is_empty(), self.policy) {
                (false, _) => "certificates",
                (true, Some(_)) => "SSL policy",
                (true, None) => return Ok(None),
            };
            return Err(InvalidConfigurationRequestException
                .because(format!("A listener with the protocol HTTP has no {what}")));
        }
        let default = match &given[..] {
            [only] => only.clone(),
            [] => before.map(|it| it.default.clone()).ok_or_else(|| {
                wire::codes::ValidationError
                    .because("A certificate must be specified for HTTPS listeners")
            })?,
            _ => {
                return Err(TooManyCertificatesException
                    .because("You can specify exactly one default certificate per listener"));
            }
        };
        check(cx, tx, &default)?;
        let kept = before.map_or(policies::DEFAULT, |it| &it.policy);
        let policy = self.policy.map_or(kept, String::as_str).to_owned();
        policies::check(&policy)?;
        let mut others = before.map(|it| it.others.clone()).unwrap_or_default();
        others.retain(|it| *it != default);
        Ok(Some(TlsSettings {
            default,
            others,
            policy,
        }))
    }
}

fn arns(certificates: Option<&Vec<Certificate>>) -> Result<Vec<String>, Error> {
    let arn = |it: &Certificate| {
        let missing =
            || wire::codes::ValidationError.because("A certificate ARN must be specified");
        it.certificate_arn.clone().ok_or_else(missing)
    };
    certificates.into_iter().flatten().map(arn).collect()
}

/// It is there, and issued.
fn check(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<(), Error> {
    if arn.contains(":server-certificate/") {
        return Err(unsupported("a certificate of IAM"));
    }
    match cx.find_certificate(tx, arn)? {
        Some(_) => Ok(()),
        None => Err(CertificateNotFoundException
            .because(format!("Certificate '{arn}' not found, or not issued yet"))),
    }
}

pub fn shown(settings: &TlsSettings) -> Vec<Certificate> {
    vec![Certificate {
        certificate_arn: Some(settings.default.clone()),
        is_default: None,
    }]
}

/// The balancers whose listeners serve with a certificate.
pub fn servers(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Vec<String>, Error> {
    let mut balancers = Vec::new();
    for listener in tx.list::<Listener>(&cx.key("app/"))? {
        let resource = format!("loadbalancer/{}", listener.balancer);
        let balancer = cx.arn("elasticloadbalancing", &resource);
        let uses = listener
            .tls
            .iter()
            .flat_map(TlsSettings::all)
            .any(|it| it == arn);
        if uses && !balancers.contains(&balancer) {
            balancers.push(balancer);
        }
    }
    Ok(balancers)
}

fn change<T>(
    cx: &Cx,
    listener: &str,
    body: impl FnOnce(&Records<'_>, &mut TlsSettings) -> Result<T, Error>,
) -> Result<T, Error> {
    cx.write(|tx| {
        let mut listener = record::listener(cx, tx, listener)?;
        let settings = listener.tls.as_mut().ok_or_else(no_tls)?;
        let answer = body(tx, settings)?;
        listener.generation = record::touch(tx)?;
        tx.put(&listener)?;
        Ok(answer)
    })
}

fn no_tls() -> Error {
    InvalidConfigurationRequestException
        .because("A listener with the protocol HTTP has no certificates")
}

pub async fn add_listener_certificates(
    cx: Cx,
    input: AddListenerCertificatesInput,
) -> Result<AddListenerCertificatesOutput, Error> {
    let given = arns(Some(&input.certificates))?;
    change(&cx, &input.listener_arn, |tx, settings| {
        for arn in &given {
            check(&cx, tx, arn)?;
            if settings.default != *arn && !settings.others.contains(arn) {
                settings.others.push(arn.clone());
            }
        }
        if settings.others.len() > CERTIFICATES_MAX {
            return Err(TooManyCertificatesException.because(format!(
                "A listener can have no more than {CERTIFICATES_MAX} certificates beside its default one"
            )));
        }
        let shown = given.iter().map(|it| Certificate {
            certificate_arn: Some(it.clone()),
            is_default: Some(*it == settings.default),
        });
        Ok(AddListenerCertificatesOutput {
            certificates: Some(shown.collect()),
        })
    })
}

pub async fn remove_listener_certificates(
    cx: Cx,
    input: RemoveListenerCertificatesInput,
) -> Result<RemoveListenerCertificatesOutput, Error> {
    let given = arns(Some(&input.certificates))?;
    change(&cx, &input.listener_arn, |_, settings| {
        if given.contains(&settings.default) {
            return Err(OperationNotPermittedException
                .because("The default certificate of a listener cannot be removed"));
        }
        settings.others.retain(|it| !given.contains(it));
        Ok(RemoveListenerCertificatesOutput {})
    })
}

pub async fn describe_listener_certificates(
    cx: Cx,
    input: DescribeListenerCertificatesInput,
) -> Result<DescribeListenerCertificatesOutput, Error> {
    let listener = cx.read(|tx| record::listener(&cx, tx, &input.listener_arn))?;
    let settings = listener.tls.ok_or_else(no_tls)?;
    let mut all: Vec<String> = settings.all().cloned().collect();
    all.sort();
    let asked = Asked {
        of: "listener-certificates",
        size: input.page_size,
        marker: input.marker.as_ref(),
    };
    let (page, next_marker) = asked.page_of(all, Clone::clone)?;
    let shown = page.into_iter().map(|arn| Certificate {
        is_default: Some(arn == settings.default),
        certificate_arn: Some(arn),
    });
    Ok(DescribeListenerCertificatesOutput {
        certificates: Some(shown.collect()),
        next_marker,
    })
}

/// By the key of a listener's balancer.
pub fn balancer_key(listener: &Listener) -> String {
    let key = listener.key();
    key.rsplit_once('/')
        .map_or(key.clone(), |it| it.0.to_owned())
}
