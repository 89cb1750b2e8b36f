//! DHCPOptions, VPCDHCPOptionsAssociation.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, TagChanges};
use serde_json::Value as Json;
use shapes::ec2::{
    self, AssociateDhcpOptionsInput, CreateDhcpOptionsInput, DeleteDhcpOptionsInput,
    NewDhcpConfiguration,
};

use super::{gone_is_fine, retag, tag_specifications, text};
use crate::dhcp_options;
use crate::vpc::Vpc;

pub struct DhcpOptionsType;

/// The options, as properties and as DHCP calls them.
const OPTIONS: &[(&str, &str)] = &[
    ("DomainName", "domain-name"),
    ("DomainNameServers", "domain-name-servers"),
    ("NetbiosNameServers", "netbios-name-servers"),
    ("NetbiosNodeType", "netbios-node-type"),
    ("NtpServers", "ntp-servers"),
];

/// One value, or several.
fn values(request: &ResourceRequest, property: &str) -> Option<Vec<String>> {
    match request.get(property)? {
        Json::Array(all) => Some(
            all.iter()
                .filter_map(|it| it.as_str())
                .map(str::to_owned)
                .collect(),
        ),
        _ => request.text(property).map(|it| vec![it]),
    }
}

#[async_trait]
impl ResourceType for DhcpOptionsType {
    fn name(&self) -> &'static str {
        "AWS::EC2::DHCPOptions"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("DomainName").replaces(),
                Property::texts("DomainNameServers").replaces(),
                Property::texts("NetbiosNameServers").replaces(),
                Property::number("NetbiosNodeType").replaces(),
                Property::texts("NtpServers").replaces(),
                Property::TAGS,
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["DhcpOptionsId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let given = OPTIONS.iter().filter_map(|(property, option)| {
            Some(NewDhcpConfiguration {
                key: Some((*option).to_owned()),
                values: Some(values(request, property)?),
            })
        });
        let input = CreateDhcpOptionsInput {
            dhcp_configurations: given.collect(),
            tag_specifications: tag_specifications(request, ec2::ResourceType::DhcpOptions),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        let made = made.dhcp_options.and_then(|it| it.dhcp_options_id);
        Created::of(made)
    }
    async fn retag(&self, cx: &Cx, id: &str, changes: TagChanges) -> Result<(), ResourceError> {
        retag(cx, id, changes).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteDhcpOptionsInput {
            dhcp_options_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
}

pub struct AssociationType;

async fn associate(cx: &Cx, vpc: &str, options: &str) -> Result<(), cloud::Error> {
    let input = AssociateDhcpOptionsInput {
        dhcp_options_id: options.to_owned(),
        vpc_id: vpc.to_owned(),
        ..Default::default()
    };
    cx.call(input).await.map(|_| ())
}

#[async_trait]
impl ResourceType for AssociationType {
    fn name(&self) -> &'static str {
        "AWS::EC2::VPCDHCPOptionsAssociation"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("DhcpOptionsId").required(),
                Property::text("VpcId").required().replaces(),
            ]
        }
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let (options, vpc) = (
            request.required_text("DhcpOptionsId")?,
            request.required_text("VpcId")?,
        );
        associate(cx, &vpc, &options).await?;
        Ok(Created {
            physical_id: format!("{options}|{vpc}"),
        })
    }
    async fn update(
        &self,
        cx: &Cx,
        _id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let options = request.required_text("DhcpOptionsId")?;
        associate(cx, &request.required_text("VpcId")?, &options).await?;
        Ok(())
    }
    /// The VPC goes back to the region's own, unless it has another by now.
    async fn delete(&self, cx: &Cx, _id: &str, properties: &Json) -> Result<(), ResourceError> {
        let (options, vpc) = (text(properties, "DhcpOptionsId"), text(properties, "VpcId"));
        let vpc = vpc.unwrap_or_default();
        let found = cx.read(|tx| tx.get::<Vpc>(&cx.key(&vpc)))?;
        match found.filter(|it| !it.deleting && it.dhcp_options == options) {
            Some(_) => {
                gone_is_fine(associate(cx, &vpc, &dhcp_options::default_id(&cx.region)).await)
            }
            None => Ok(()),
        }
    }
}
