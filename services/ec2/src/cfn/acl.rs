//! NetworkAcl, NetworkAclEntry, SubnetNetworkAclAssociation.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, TagChanges};
use serde_json::Value as Json;
use shapes::ec2::{
    self, CreateNetworkAclEntryInput, CreateNetworkAclInput, DeleteNetworkAclEntryInput,
    DeleteNetworkAclInput, DescribeNetworkAclsInput, Filter, ReplaceNetworkAclAssociationInput,
    ReplaceNetworkAclEntryInput, RuleAction,
};

use super::{gone_is_fine, retag, tag_specifications, text};

pub struct NetworkAclType;

#[async_trait]
impl ResourceType for NetworkAclType {
    fn name(&self) -> &'static str {
        "AWS::EC2::NetworkAcl"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("VpcId").required().replaces(),
                Property::TAGS,
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateNetworkAclInput {
            vpc_id: request.required_text("VpcId")?,
            tag_specifications: tag_specifications(request, ec2::ResourceType::NetworkAcl),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.network_acl.and_then(|it| it.network_acl_id))
    }
    async fn retag(&self, cx: &Cx, id: &str, changes: TagChanges) -> Result<(), ResourceError> {
        retag(cx, id, changes).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteNetworkAclInput {
            network_acl_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
}

pub struct EntryType;

const ICMP: &[Property] = &[Property::number("Code"), Property::number("Type")];
const PORTS: &[Property] = &[Property::number("From"), Property::number("To")];

/// What creating an entry and replacing one have in common.
macro_rules! entry_input {
    ($input:ident, $request:expr) => {
        $input {
            network_acl_id: $request.required_text("NetworkAclId")?,
            rule_number: number(&$request.required_text("RuleNumber")?)?,
            protocol: $request.required_text("Protocol")?,
            rule_action: action(&$request.required_text("RuleAction")?)?,
            egress: $request.flag("Egress").unwrap_or(false),
            cidr_block: $request.text("CidrBlock"),
            ipv6_cidr_block: $request.text("Ipv6CidrBlock"),
            icmp_type_code: $request.shape("Icmp")?,
            port_range: $request.shape("PortRange")?,
            ..Default::default()
        }
    };
}

fn number(text: &str) -> Result<i32, ResourceError> {
    text.parse()
        .map_err(|_| ResourceError::new("RuleNumber must be a number"))
}

fn action(text: &str) -> Result<RuleAction, ResourceError> {
    text.parse()
        .map_err(|_| ResourceError::new("RuleAction must be allow or deny"))
}

/// `acl-1|ingress|100`
fn parts(id: &str) -> Option<(&str, bool, i32)> {
    let mut parts = id.split('|');
    let (acl, way, number) = (parts.next()?, parts.next()?, parts.next()?);
    Some((acl, way == "egress", number.parse().ok()?))
}

#[async_trait]
impl ResourceType for EntryType {
    fn name(&self) -> &'static str {
        "AWS::EC2::NetworkAclEntry"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("NetworkAclId").required().replaces(),
                Property::number("RuleNumber").required().replaces(),
                Property::number("Protocol").required(),
                Property::text("RuleAction").required(),
                Property::flag("Egress").replaces(),
                Property::text("CidrBlock"),
                Property::text("Ipv6CidrBlock"),
                Property::object("Icmp").members(ICMP),
                Property::object("PortRange").members(PORTS),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = entry_input!(CreateNetworkAclEntryInput, request);
        let way = if input.egress { "egress" } else { "ingress" };
        let physical_id = format!("{}|{way}|{}", input.network_acl_id, input.rule_number);
        cx.with_token(&*request.token).call(input).await?;
        Ok(Created { physical_id })
    }
    async fn update(
        &self,
        cx: &Cx,
        _id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let input = entry_input!(ReplaceNetworkAclEntryInput, request);
        cx.call(input).await?;
        Ok(())
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let Some((acl, egress, rule_number)) = parts(id) else {
            return Ok(());
        };
        let input = DeleteNetworkAclEntryInput {
            network_acl_id: acl.into(),
            egress,
            rule_number,
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
}

pub struct AssociationType;

/// The association that a subnet has, and the network ACL that it is with.
pub async fn association_of(
    cx: &Cx,
    subnet: &str,
) -> Result<Option<(String, String)>, ResourceError> {
    let found = described(cx, &[("association.subnet-id", subnet)]).await?;
    let associations = found
        .into_iter()
        .flat_map(|it| it.associations.unwrap_or_default());
    let mut own = associations.filter(|it| it.subnet_id.as_deref() == Some(subnet));
    Ok((own.next()).and_then(|it| Some((it.network_acl_association_id?, it.network_acl_id?))))
}

/// A VPC's own network ACL.
pub async fn default_of(cx: &Cx, vpc: &str) -> Result<Option<String>, ResourceError> {
    let found = described(cx, &[("vpc-id", vpc), ("default", "true")]).await?;
    Ok(found.into_iter().next().and_then(|it| it.network_acl_id))
}

async fn described(
    cx: &Cx,
    filters: &[(&str, &str)],
) -> Result<Vec<ec2::NetworkAcl>, ResourceError> {
    let filters = filters.iter().map(|(name, value)| Filter {
        name: Some((*name).to_owned()),
        values: Some(vec![(*value).to_owned()]),
    });
    let input = DescribeNetworkAclsInput {
        filters: Some(filters.collect()),
        ..Default::default()
    };
    Ok(cx.call(input).await?.network_acls.unwrap_or_default())
}

#[async_trait]
impl ResourceType for AssociationType {
    fn name(&self) -> &'static str {
        "AWS::EC2::SubnetNetworkAclAssociation"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("SubnetId").required().replaces(),
                Property::text("NetworkAclId").required().replaces(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["AssociationId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let subnet = request.required_text("SubnetId")?;
        let Some((association, _)) = association_of(cx, &subnet).await? else {
            return Err(ResourceError::new(format!(
                "The subnet ID '{subnet}' does not exist"
            )));
        };
        let input = ReplaceNetworkAclAssociationInput {
            association_id: association,
            network_acl_id: request.required_text("NetworkAclId")?,
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.new_association_id)
    }
    /// The subnet goes back to its VPC's own, unless it has been moved on.
    async fn delete(&self, cx: &Cx, id: &str, properties: &Json) -> Result<(), ResourceError> {
        let subnet = text(properties, "SubnetId").unwrap_or_default();
        let Some((association, acl)) = association_of(cx, &subnet).await? else {
            return Ok(());
        };
        let found = described(cx, &[("network-acl-id", &acl)]).await?;
        let vpc = found.into_iter().next().and_then(|it| it.vpc_id);
        let own = default_of(cx, &vpc.unwrap_or_default()).await?;
        let (true, Some(own)) = (association == id, own) else {
            return Ok(());
        };
        let input = ReplaceNetworkAclAssociationInput {
            association_id: association,
            network_acl_id: own,
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
}
