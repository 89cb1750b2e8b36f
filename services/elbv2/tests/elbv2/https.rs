//! Listeners for HTTPS: what they serve with, and what keeps their certificates.

use serde_json::json;
use shapes::acm;
use shapes::elbv2::*;

use crate::world::{World, fixed, text, texts, until};

impl World {
    async fn certificate(&self, name: &str) -> String {
        let input = json!({"DomainName": name, "ValidationMethod": "DNS"});
        let made = self.ok::<acm::RequestCertificateInput>(input).await;
        let arn = text(&made["CertificateArn"]);
        let issued = testkit::wait(async || {
            let input = json!({"CertificateArn": arn});
            let found = self.ok::<acm::DescribeCertificateInput>(input).await;
            (found["Certificate"]["Status"] == "ISSUED").then_some(())
        });
        assert!(issued.await.is_some(), "{arn} is not issued");
        arn
    }

    async fn secure_listener(&self, balancer: &str, certificate: &str) -> String {
        let input = json!({"LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": 443,
            "Certificates": [{"CertificateArn": certificate}], "DefaultActions": [fixed("200")]});
        let made = self.ok::<CreateListenerInput>(input).await;
        let listener = &made["Listeners"][0];
        assert_eq!(listener["Protocol"], "HTTPS");
        assert_eq!(listener["SslPolicy"], "ELBSecurityPolicy-2016-08");
        assert_eq!(listener["Certificates"][0]["CertificateArn"], certificate);
        text(&listener["ListenerArn"])
    }

    /// The hosts of the certificates that the edge serves a listener with, in their order.
    fn served(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let listeners = snapshot.balancers.iter().flat_map(|it| &it.listeners);
        let ids = listeners
            .flat_map(|it| &it.tls)
            .flat_map(|it| &it.certificates);
        let host = |id: &String| {
            let found = snapshot.certificates.iter().find(|it| it.id == *id);
            found.map(|it| it.hosts[0].clone())
        };
        ids.filter_map(host).collect()
    }
}

#[tokio::test]
async fn a_listener_serves_with_its_certificates() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let (a, b) = (
        world.certificate("a.example").await,
        world.certificate("b.example").await,
    );
    let listener = world.secure_listener(&balancer, &a).await;
    until("the first is served", || world.served() == ["a.example"]).await;
    let more = json!({"ListenerArn": listener, "Certificates": [{"CertificateArn": b}]});
    world.ok::<AddListenerCertificatesInput>(more.clone()).await;
    until("both are served", || {
        world.served() == ["a.example", "b.example"]
    })
    .await;
    let listed = json!({"ListenerArn": listener});
    let found = world.ok::<DescribeListenerCertificatesInput>(listed).await;
    let mut arns = texts(&found["Certificates"], "CertificateArn");
    arns.sort();
    let mut expect = vec![a.clone(), b.clone()];
    expect.sort();
    assert_eq!(arns, expect);

    let in_use = format!("Certificate {b} in account 000000000000 is in use.");
    let delete = json!({"CertificateArn": b});
    world
        .refused::<acm::DeleteCertificateInput>(delete.clone(), "ResourceInUseException", &in_use)
        .await;
    let default = json!({"ListenerArn": listener, "Certificates": [{"CertificateArn": a}]});
    world
        .refused::<RemoveListenerCertificatesInput>(
            default,
            "OperationNotPermitted",
            "The default certificate of a listener cannot be removed",
        )
        .await;
    world.ok::<RemoveListenerCertificatesInput>(more).await;
    world.ok::<acm::DeleteCertificateInput>(delete).await;
    until("one is served", || world.served() == ["a.example"]).await;
    let gone = json!({"ListenerArn": listener, "Certificates": [{"CertificateArn": b}]});
    let not_found = format!("Certificate '{b}' not found, or not issued yet");
    world
        .refused::<ModifyListenerInput>(gone, "CertificateNotFound", &not_found)
        .await;

    // In the clear again, and its certificate is free.
    let plain = json!({"ListenerArn": listener, "Protocol": "HTTP"});
    world.ok::<ModifyListenerInput>(plain).await;
    until("nothing is served", || world.served().is_empty()).await;
    world
        .ok::<acm::DeleteCertificateInput>(json!({"CertificateArn": a}))
        .await;
}

#[tokio::test]
async fn policies_say_what_is_spoken() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let a = world.certificate("a.example").await;
    let listener = world.secure_listener(&balancer, &a).await;
    let versions = || {
        let snapshot = world.snapshot();
        let mut listeners = snapshot.balancers.into_iter().flat_map(|it| it.listeners);
        listeners.find_map(|it| it.tls).map(|it| it.versions)
    };
    until("it is served", || {
        versions() == Some(vec![engine::TlsVersion::Tls12])
    })
    .await;
    let change = |policy: &str| json!({"ListenerArn": listener, "SslPolicy": policy});
    world
        .ok::<ModifyListenerInput>(change("ELBSecurityPolicy-TLS13-1-3-2021-06"))
        .await;
    until("it is served", || {
        versions() == Some(vec![engine::TlsVersion::Tls13])
    })
    .await;
    world
        .refused::<ModifyListenerInput>(
            change("ELBSecurityPolicy-None"),
            "SSLPolicyNotFound",
            "SSL policy 'ELBSecurityPolicy-None' not found",
        )
        .await;
    world
        .refused::<ModifyListenerInput>(
            change("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04"),
            "InvalidConfigurationRequest",
            "the SSL policy 'ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04' is not supported by neargate",
        )
        .await;
    let asked = json!({"Names": ["ELBSecurityPolicy-TLS13-1-2-2021-06"]});
    let found = world.ok::<DescribeSSLPoliciesInput>(asked).await;
    let policy = &found["SslPolicies"][0];
    assert_eq!(policy["SslProtocols"], json!(["TLSv1.3", "TLSv1.2"]));
    assert_eq!(
        policy["Ciphers"][0],
        json!({"Name": "TLS_AES_128_GCM_SHA256", "Priority": 1})
    );
    let all = world.ok::<DescribeSSLPoliciesInput>(json!({})).await;
    assert!(texts(&all["SslPolicies"], "Name").len() > 15);
}
