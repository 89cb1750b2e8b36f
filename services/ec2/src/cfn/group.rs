//! SecurityGroup, SecurityGroupIngress, SecurityGroupEgress.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, AuthorizeSecurityGroupEgressInput, AuthorizeSecurityGroupIngressInput,
    CreateSecurityGroupInput, DeleteSecurityGroupInput, DescribeSecurityGroupsInput, IpPermission,
    IpRange, Ipv6Range, RevokeSecurityGroupEgressInput, RevokeSecurityGroupIngressInput,
    SecurityGroupRule, UpdateSecurityGroupRuleDescriptionsEgressInput,
    UpdateSecurityGroupRuleDescriptionsIngressInput, UserIdGroupPair,
};

use super::{gone_is_fine, retag, tag_specifications, text};
use crate::group_rules::says_the_same;

const INGRESS: &[Property] = &[
    Property::text("CidrIp"),
    Property::text("CidrIpv6"),
    Property::text("Description"),
    Property::number("FromPort"),
    Property::text("IpProtocol").required(),
    Property::text("SourceSecurityGroupId"),
    Property::text("SourceSecurityGroupOwnerId"),
    Property::number("ToPort"),
];
const EGRESS: &[Property] = &[
    Property::text("CidrIp"),
    Property::text("CidrIpv6"),
    Property::text("Description"),
    Property::text("DestinationSecurityGroupId"),
    Property::number("FromPort"),
    Property::text("IpProtocol").required(),
    Property::number("ToPort"),
];

/// One rule as the API takes it.
fn permission(rule: &Json) -> Result<IpPermission, ResourceError> {
    let scalar = |name: &str| match rule.get(name) {
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let port = |name: &str| -> Result<Option<i32>, ResourceError> {
        scalar(name)
            .map(|it| {
                it.parse()
                    .map_err(|_| ResourceError::new(format!("{name} `{it}` is not a port")))
            })
            .transpose()
    };
    let description = scalar("Description");
    let group = scalar("SourceSecurityGroupId").or_else(|| scalar("DestinationSecurityGroupId"));
    let mut permission = IpPermission {
        ip_protocol: scalar("IpProtocol"),
        from_port: port("FromPort")?,
        to_port: port("ToPort")?,
        ip_ranges: rule.get("CidrIp").map(|_| vec![]),
        ipv6_ranges: rule.get("CidrIpv6").map(|_| vec![]),
        user_id_group_pairs: group.as_ref().map(|_| vec![]),
        prefix_list_ids: None,
    };
    if let (Some(ranges), Some(range)) = (&mut permission.ip_ranges, scalar("CidrIp")) {
        ranges.push(IpRange {
            cidr_ip: Some(range),
            description: description.clone(),
        });
    }
    if let (Some(ranges), Some(range)) = (&mut permission.ipv6_ranges, scalar("CidrIpv6")) {
        ranges.push(Ipv6Range {
            cidr_ipv6: Some(range),
            description: description.clone(),
        });
    }
    if let (Some(pairs), Some(group_id)) = (&mut permission.user_id_group_pairs, group) {
        pairs.push(UserIdGroupPair {
            group_id: Some(group_id),
            description,
            ..Default::default()
        });
    }
    Ok(permission)
}

fn permissions(properties: &Json, name: &str) -> Result<Vec<IpPermission>, ResourceError> {
    match properties.get(name) {
        Some(Json::Array(rules)) => rules.iter().map(permission).collect(),
        None | Some(Json::Null) => Ok(vec![]),
        Some(_) => Err(ResourceError::new(format!(
            "Property {name} must be a list"
        ))),
    }
}

/// The whole outgoing range, as EC2 gives it to a new group.
fn everything_out() -> IpPermission {
    IpPermission {
        ip_protocol: Some("-1".into()),
        ip_ranges: Some(vec![IpRange {
            cidr_ip: Some("0.0.0.0/0".into()),
            description: None,
        }]),
        ..Default::default()
    }
}

async fn authorize(
    cx: &Cx,
    id: &str,
    egress: bool,
    rules: Vec<IpPermission>,
) -> Result<Vec<SecurityGroupRule>, ResourceError> {
    if rules.is_empty() {
        return Ok(vec![]);
    }
    let made = if egress {
        let input = AuthorizeSecurityGroupEgressInput {
            group_id: id.into(),
            ip_permissions: Some(rules),
            ..Default::default()
        };
        cx.call(input).await?.security_group_rules
    } else {
        let input = AuthorizeSecurityGroupIngressInput {
            group_id: Some(id.into()),
            ip_permissions: Some(rules),
            ..Default::default()
        };
        cx.call(input).await?.security_group_rules
    };
    Ok(made.unwrap_or_default())
}

async fn revoke(
    cx: &Cx,
    id: &str,
    egress: bool,
    rules: Vec<IpPermission>,
) -> Result<(), ResourceError> {
    for rule in rules {
        let rules = Some(vec![rule]);
        let outcome = if egress {
            let input = RevokeSecurityGroupEgressInput {
                group_id: id.into(),
                ip_permissions: rules,
                ..Default::default()
            };
            cx.call(input).await.map(drop)
        } else {
            let input = RevokeSecurityGroupIngressInput {
                group_id: Some(id.into()),
                ip_permissions: rules,
                ..Default::default()
            };
            cx.call(input).await.map(drop)
        };
        gone_is_fine(outcome)?;
    }
    Ok(())
}

/// Gives rules that are there the descriptions of the new list.
async fn describe_anew(
    cx: &Cx,
    id: &str,
    egress: bool,
    rules: Vec<IpPermission>,
) -> Result<(), ResourceError> {
    if rules.is_empty() {
        return Ok(());
    }
    match egress {
        true => {
            let input = UpdateSecurityGroupRuleDescriptionsEgressInput {
                group_id: Some(id.into()),
                ip_permissions: Some(rules),
                ..Default::default()
            };
            cx.call(input).await?;
        }
        false => {
            let input = UpdateSecurityGroupRuleDescriptionsIngressInput {
                group_id: Some(id.into()),
                ip_permissions: Some(rules),
                ..Default::default()
            };
            cx.call(input).await?;
        }
    }
    Ok(())
}

/// Brings one direction from the old list to the new one, adding before removing. A rule whose description
/// alone differs is the same rule.
async fn change(
    cx: &Cx,
    id: &str,
    egress: bool,
    old: Vec<IpPermission>,
    new: Vec<IpPermission>,
) -> Result<(), ResourceError> {
    let has = |list: &[IpPermission], rule| list.iter().any(|it| says_the_same(egress, it, rule));
    let added = new.iter().filter(|it| !has(&old, it)).cloned().collect();
    let removed = old.iter().filter(|it| !has(&new, it)).cloned().collect();
    let kept = new.iter().filter(|it| has(&old, it) && !old.contains(it));
    let kept = kept.cloned().collect();
    authorize(cx, id, egress, added).await?;
    describe_anew(cx, id, egress, kept).await?;
    revoke(cx, id, egress, removed).await
}

/// The outgoing rules that a template means: everything, when it gives none.
fn egress_of(properties: &Json) -> Result<Vec<IpPermission>, ResourceError> {
    let rules = permissions(properties, "SecurityGroupEgress")?;
    Ok(if rules.is_empty() {
        vec![everything_out()]
    } else {
        rules
    })
}

pub struct SecurityGroupType;

#[async_trait]
impl ResourceType for SecurityGroupType {
    fn name(&self) -> &'static str {
        "AWS::EC2::SecurityGroup"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("GroupDescription").required().replaces(),
                Property::text("GroupName").names(),
                Property::objects("SecurityGroupEgress").members(EGRESS),
                Property::objects("SecurityGroupIngress").members(INGRESS),
                Property::TAGS,
                Property::text("VpcId").replaces(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["GroupId", "Id"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["VpcId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = &cx.with_token(&*request.token);
        let input = CreateSecurityGroupInput {
            description: request.required_text("GroupDescription")?,
            group_name: request.name("GroupName", 255),
            vpc_id: request.text("VpcId"),
            tag_specifications: tag_specifications(request, ec2::ResourceType::SecurityGroup),
            ..Default::default()
        };
        let made = Created::of(cx.call(input).await?.group_id)?;
        let id = &made.physical_id;
        request.made.note(id);
        authorize(
            cx,
            id,
            false,
            permissions(&request.properties, "SecurityGroupIngress")?,
        )
        .await?;
        change(
            cx,
            id,
            true,
            vec![everything_out()],
            egress_of(&request.properties)?,
        )
        .await?;
        Ok(made)
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let cx = &cx.with_token(&*request.token);
        let ingress = |properties| permissions(properties, "SecurityGroupIngress");
        change(cx, id, false, ingress(old)?, ingress(&request.properties)?).await?;
        change(
            cx,
            id,
            true,
            egress_of(old)?,
            egress_of(&request.properties)?,
        )
        .await?;
        retag(cx, id, request.tag_changes(old)).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteSecurityGroupInput {
            group_id: Some(id.into()),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn actual(
        &self,
        cx: &Cx,
        id: &str,
        expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        drift::actual(cx, id, expected).await
    }
    async fn read(&self, cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        let input = DescribeSecurityGroupsInput {
            group_ids: Some(vec![id.into()]),
            ..Default::default()
        };
        let group = cx.call(input).await?.security_groups;
        let group = group.into_iter().flatten().next();
        Ok(json!({"VpcId": group.and_then(|it| it.vpc_id)}))
    }
}

mod drift {
    //! What a group is in truth, rule by rule as a template writes them.

    use cloud::{Cx, ResourceError};
    use serde_json::{Value as Json, json};
    use shapes::cloudformation::DescribeStackResourcesInput;
    use shapes::ec2::{
        DescribeSecurityGroupRulesInput, DescribeSecurityGroupsInput, Filter, SecurityGroupRule,
    };

    pub async fn actual(cx: &Cx, id: &str, expected: &Json) -> Result<Option<Json>, ResourceError> {
        let input = DescribeSecurityGroupsInput {
            group_ids: Some(vec![id.into()]),
            ..Default::default()
        };
        let groups = match cx.call(input).await {
            Err(error) if error.code.contains("NotFound") => return Ok(Some(Json::Null)),
            other => other?.security_groups.unwrap_or_default(),
        };
        let Some(group) = groups.into_iter().next() else {
            return Ok(Some(Json::Null));
        };
        let input = DescribeSecurityGroupRulesInput {
            filters: Some(vec![Filter {
                name: Some("group-id".into()),
                values: Some(vec![id.into()]),
            }]),
            ..Default::default()
        };
        let rules = cx.call(input).await?.security_group_rules;
        let (mut ingress, mut egress) = (Vec::new(), Vec::new());
        for rule in rules.unwrap_or_default() {
            if is_resource(cx, &rule).await {
                continue;
            }
            let is_egress = rule.is_egress == Some(true);
            let list = if is_egress { &mut egress } else { &mut ingress };
            list.push(shown(&rule, is_egress, expected));
        }
        Ok(Some(json!({
            "GroupDescription": group.description,
            "GroupName": group.group_name,
            "VpcId": group.vpc_id,
            "SecurityGroupIngress": ingress,
            "SecurityGroupEgress": egress,
        })))
    }

    /// A rule that is a resource of its own belongs to that one.
    async fn is_resource(cx: &Cx, rule: &SecurityGroupRule) -> bool {
        let input = DescribeStackResourcesInput {
            physical_resource_id: rule.security_group_rule_id.clone(),
            ..Default::default()
        };
        cx.call(input).await.is_ok()
    }

    fn shown(rule: &SecurityGroupRule, is_egress: bool, expected: &Json) -> Json {
        let peer = (rule.referenced_group_info.as_ref()).and_then(|it| it.group_id.clone());
        let (list, other) = match is_egress {
            true => ("SecurityGroupEgress", "DestinationSecurityGroupId"),
            false => ("SecurityGroupIngress", "SourceSecurityGroupId"),
        };
        let protocol = rule.ip_protocol.clone().unwrap_or_default();
        // As the template writes it: `TCP` and `6` are `tcp`.
        let written = (expected[list].as_array().into_iter().flatten())
            .filter_map(|it| it["IpProtocol"].as_str())
            .find(|it| it.eq_ignore_ascii_case(&protocol) || (*it == "6" && protocol == "tcp"));
        let mut shown = json!({ "IpProtocol": written.unwrap_or(&protocol) });
        let members = [
            ("CidrIp", json!(rule.cidr_ipv4)),
            ("CidrIpv6", json!(rule.cidr_ipv6)),
            ("Description", json!(rule.description)),
            ("FromPort", json!(rule.from_port)),
            ("ToPort", json!(rule.to_port)),
            (other, json!(peer)),
        ];
        for (name, value) in members.into_iter().filter(|(_, it)| !it.is_null()) {
            shown[name] = value;
        }
        shown
    }
}

/// A single rule as a resource of its own.
async fn create_rule(
    cx: &Cx,
    request: &ResourceRequest,
    egress: bool,
) -> Result<Created, ResourceError> {
    let rule = permission(&request.properties)?;
    let made = authorize(
        &cx.with_token(&*request.token),
        &request.required_text("GroupId")?,
        egress,
        vec![rule],
    )
    .await?;
    let id = made
        .into_iter()
        .find_map(|it| it.security_group_rule_id)
        .ok_or_else(|| ResourceError::new("a rule needs a source or a destination"))?;
    Ok(Created { physical_id: id })
}

async fn delete_rule(cx: &Cx, properties: &Json, egress: bool) -> Result<(), ResourceError> {
    let group = text(properties, "GroupId").unwrap_or_default();
    revoke(cx, &group, egress, vec![permission(properties)?]).await
}

pub struct IngressType;

#[async_trait]
impl ResourceType for IngressType {
    fn name(&self) -> &'static str {
        "AWS::EC2::SecurityGroupIngress"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("GroupId").required().replaces(),
                Property::text("CidrIp").replaces(),
                Property::text("CidrIpv6").replaces(),
                Property::text("Description").replaces(),
                Property::number("FromPort").replaces(),
                Property::text("IpProtocol").required().replaces(),
                Property::text("SourceSecurityGroupId").replaces(),
                Property::text("SourceSecurityGroupOwnerId").replaces(),
                Property::number("ToPort").replaces(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        create_rule(cx, request, false).await
    }
    async fn delete(&self, cx: &Cx, _id: &str, properties: &Json) -> Result<(), ResourceError> {
        delete_rule(cx, properties, false).await
    }
}

pub struct EgressType;

#[async_trait]
impl ResourceType for EgressType {
    fn name(&self) -> &'static str {
        "AWS::EC2::SecurityGroupEgress"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("GroupId").required().replaces(),
                Property::text("CidrIp").replaces(),
                Property::text("CidrIpv6").replaces(),
                Property::text("Description").replaces(),
                Property::text("DestinationSecurityGroupId").replaces(),
                Property::number("FromPort").replaces(),
                Property::text("IpProtocol").required().replaces(),
                Property::number("ToPort").replaces(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        create_rule(cx, request, true).await
    }
    async fn delete(&self, cx: &Cx, _id: &str, properties: &Json) -> Result<(), ResourceError> {
        delete_rule(cx, properties, true).await
    }
}
