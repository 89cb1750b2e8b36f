//! The named security policies: what of each is spoken here. It is AWS's list (ELB User Guide, "Security policies
//! for your Application Load Balancer") without what the edge's library does not speak: TLS 1.0 and 1.1, CBC
//! suites, and exchanges of keys by RSA. Of every policy that is here something is left, and nothing that it has
//! not on AWS. Policies with post-quantum exchanges or FIPS modules are not here.

use cloud::{Cx, Error};
use engine::TlsVersion::{self, Tls12, Tls13};
use shapes::elbv2::errors::SSLPolicyNotFoundException;
use shapes::elbv2::{
    Cipher, DescribeSSLPoliciesInput, DescribeSSLPoliciesOutput, LoadBalancerTypeEnum, SslPolicy,
};

use crate::balancer::unsupported;
use crate::names;
use crate::paging::Asked;

/// Where nobody says another one (CreateListener, "SslPolicy").
pub const DEFAULT: &str = "ELBSecurityPolicy-2016-08";

const ONLY_13: &[TlsVersion] = &[Tls13];
const BOTH: &[TlsVersion] = &[Tls12, Tls13];
const ONLY_12: &[TlsVersion] = &[Tls12];

const POLICIES: &[(&str, &[TlsVersion])] = &[
    ("ELBSecurityPolicy-2016-08", ONLY_12),
    ("ELBSecurityPolicy-TLS13-1-2-2021-06", BOTH),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", BOTH),
    ("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", BOTH),
    ("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", BOTH),
    ("ELBSecurityPolicy-TLS13-1-1-2021-06", BOTH),
    ("ELBSecurityPolicy-TLS13-1-0-2021-06", BOTH),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", ONLY_13),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", ONLY_12),
    ("ELBSecurityPolicy-TLS-1-1-2017-01", ONLY_12),
    ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", ONLY_12),
    ("ELBSecurityPolicy-FS-2018-06", ONLY_12),
    ("ELBSecurityPolicy-2015-05", ONLY_12),
    ("ELBSecurityPolicy-TLS-1-0-2015-04", ONLY_12),
    ("ELBSecurityPolicy-FS-1-2-Res-2019-08", ONLY_12),
    ("ELBSecurityPolicy-FS-1-1-2019-08", ONLY_12),
    ("ELBSecurityPolicy-FS-1-2-2019-08", ONLY_12),
    ("ELBSecurityPolicy-FS-1-2-Res-2020-10", ONLY_12),
];

/// AWS's names, and the standard's.
const SUITES_13: &[(&str, &str)] = &[
    ("TLS_AES_128_GCM_SHA256", "TLS13_AES_128_GCM_SHA256"),
    ("TLS_AES_256_GCM_SHA384", "TLS13_AES_256_GCM_SHA384"),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS13_CHACHA20_POLY1305_SHA256",
    ),
];
const SUITES_12: &[(&str, &str)] = &[
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
];

fn versions_of(policy: &str) -> Option<&'static [TlsVersion]> {
    POLICIES.iter().find(|it| it.0 == policy).map(|it| it.1)
}

fn suites_of(
    versions: &[TlsVersion],
) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let of = |version, suites: &'static [(&str, &str)]| match versions.contains(&version) {
        true => suites,
        false => &[],
    };
    of(Tls13, SUITES_13).iter().chain(of(Tls12, SUITES_12))
}

/// What a policy speaks: versions, and suites by their standard names.
pub fn spoken(policy: &str) -> (Vec<TlsVersion>, Vec<String>) {
    let versions = versions_of(policy).unwrap_or_default();
    let suites = suites_of(versions).map(|it| it.1.to_owned());
    (versions.to_vec(), suites.collect())
}

pub fn check(policy: &str) -> Result<(), Error> {
    if versions_of(policy).is_some() {
        return Ok(());
    }
    match policy.contains("-PQ-") || policy.contains("-FIPS-") {
        true => Err(unsupported(&format!("the SSL policy '{policy}'"))),
        false => Err(not_found(policy)),
    }
}

fn not_found(policy: &str) -> Error {
    SSLPolicyNotFoundException.because(format!("SSL policy '{policy}' not found"))
}

pub async fn describe_ssl_policies(
    _cx: Cx,
    input: DescribeSSLPoliciesInput,
) -> Result<DescribeSSLPoliciesOutput, Error> {
    let asked = names::asked(input.names.as_ref());
    if let Some(unknown) = asked
        .into_iter()
        .flatten()
        .find(|it| versions_of(it).is_none())
    {
        return Err(not_found(unknown));
    }
    let is_asked = |name: &str| asked.is_none_or(|asked| asked.iter().any(|it| it == name));
    let is_kind = input
        .load_balancer_type
        .is_none_or(|it| it == LoadBalancerTypeEnum::Application);
    let found = POLICIES.iter().filter(|it| is_kind && is_asked(it.0));
    let paged = Asked {
        of: "ssl-policies",
        size: input.page_size,
        marker: input.marker.as_ref(),
    };
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|it| it.0);
    let (page, next_marker) = paged.page_of(found, |it| it.0.to_owned())?;
    Ok(DescribeSSLPoliciesOutput {
        ssl_policies: Some(page.into_iter().map(|it| shown(it.0, it.1)).collect()),
        next_marker,
    })
}

fn shown(name: &str, versions: &[TlsVersion]) -> SslPolicy {
    let protocols = versions.iter().rev().map(|it| match it {
        Tls12 => "TLSv1.2".to_owned(),
        Tls13 => "TLSv1.3".to_owned(),
    });
    let ciphers = suites_of(versions)
        .zip(1..)
        .map(|(suite, priority)| Cipher {
            name: Some(suite.0.to_owned()),
            priority: Some(priority),
        });
    SslPolicy {
        ssl_protocols: Some(protocols.collect()),
        ciphers: Some(ciphers.collect()),
        name: Some(name.to_owned()),
        supported_load_balancer_types: Some(vec!["application".to_owned()]),
    }
}
