//! `AWS::CertificateManager::Certificate`: `Ref` is its ARN. `DomainValidationOptions` are refused: what they
//! choose is a hosted zone, or a mailbox.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{
    Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability, TagMap,
};
use serde_json::Value as Json;
use shapes::acm::{
    AddTagsToCertificateInput, CertificateOptions, CertificateStatus, DeleteCertificateInput,
    DescribeCertificateInput, RemoveTagsFromCertificateInput, RequestCertificateInput, Tag,
    UpdateCertificateOptionsInput, errors,
};

use crate::tags::shown;

pub struct CertificateResourceType;

fn options(request: &ResourceRequest) -> Result<CertificateOptions, ResourceError> {
    Ok(CertificateOptions {
        certificate_transparency_logging_preference: request
            .parsed("CertificateTransparencyLoggingPreference")?,
        ..Default::default()
    })
}

#[async_trait]
impl ResourceType for CertificateResourceType {
    fn name(&self) -> &'static str {
        "AWS::CertificateManager::Certificate"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("CertificateTransparencyLoggingPreference"),
                Property::text("DomainName").required().replaces(),
                Property::text("KeyAlgorithm").replaces(),
                Property::texts("SubjectAlternativeNames").replaces(),
                Property::TAGS,
                Property::text("ValidationMethod").replaces(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let tags: TagMap = request.all_tags();
        let input = RequestCertificateInput {
            domain_name: request.required_text("DomainName")?,
            validation_method: request.parsed("ValidationMethod")?,
            subject_alternative_names: request.shape("SubjectAlternativeNames")?,
            options: Some(options(request)?),
            tags: Some(shown(&tags)).filter(|it| !it.is_empty()),
            key_algorithm: request.parsed("KeyAlgorithm")?,
            ..Default::default()
        };
        let made = cx.with_token(&request.token).call(input).await?;
        Created::of(made.certificate_arn)
    }

    async fn stability(&self, cx: &Cx, arn: &str) -> Result<Stability, ResourceError> {
        let input = DescribeCertificateInput {
            certificate_arn: arn.into(),
        };
        let found = cx.call(input).await?.certificate;
        Ok(match found.and_then(|it| it.status) {
            Some(CertificateStatus::PendingValidation) => {
                Stability::Waiting("the certificate is not issued yet".into())
            }
            _ => Stability::Stable,
        })
    }

    async fn update(
        &self,
        cx: &Cx,
        arn: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let changed = UpdateCertificateOptionsInput {
            certificate_arn: arn.into(),
            options: options(request)?,
        };
        cx.call(changed).await?;
        let untag = |keys: Vec<String>| RemoveTagsFromCertificateInput {
            certificate_arn: arn.into(),
            tags: keys
                .into_iter()
                .map(|key| Tag { key, value: None })
                .collect(),
        };
        let tag = |tags: BTreeMap<String, String>| AddTagsToCertificateInput {
            certificate_arn: arn.into(),
            tags: shown(&tags),
        };
        request.tag_changes(old).apply(cx, untag, tag).await
    }

    async fn delete(&self, cx: &Cx, arn: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteCertificateInput {
            certificate_arn: arn.into(),
        };
        let gone = &[errors::ResourceNotFoundException.code];
        let in_use = &[errors::ResourceInUseException.code];
        cloud::deletion(cx.call(input).await, gone, in_use)
    }
}
