//! Security group rules: one record per rule, as EC2 keeps them; permissions group them again.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records, Touched, random_hex};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    AuthorizeSecurityGroupEgressInput, AuthorizeSecurityGroupEgressOutput,
    AuthorizeSecurityGroupIngressInput, AuthorizeSecurityGroupIngressOutput,
    DescribeSecurityGroupRulesInput, DescribeSecurityGroupRulesOutput, IpPermission, IpRange,
    Ipv6Range, ReferencedSecurityGroup, ResourceType, RevokeSecurityGroupEgressInput,
    RevokeSecurityGroupEgressOutput, RevokeSecurityGroupIngressInput,
    RevokeSecurityGroupIngressOutput, RevokedSecurityGroupRule, SecurityGroupRule,
    SecurityGroupRuleDescription, UpdateSecurityGroupRuleDescriptionsEgressInput,
    UpdateSecurityGroupRuleDescriptionsEgressOutput,
    UpdateSecurityGroupRuleDescriptionsIngressInput,
    UpdateSecurityGroupRuleDescriptionsIngressOutput, UserIdGroupPair,
};

use crate::acl_entry;
use crate::errors::{
    InvalidGroupNotFound, InvalidParameterValue, InvalidPermissionDuplicate,
    InvalidPermissionMalformed, InvalidPermissionNotFound, InvalidSecurityGroupRuleIdNotFound,
    MissingParameter, check_group_id,
};
use crate::filters::{Filtered, page, select};
use crate::group::{self, SecurityGroup};
use crate::tags::{self, Tags};
use crate::vpc::{self, parse_range};

/// AWS's limit of rules per group and direction.
const RULES_MAX: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    Range(Ipv4Net),
    /// Kept and shown; networks here have no IPv6, so nothing ever matches it.
    Range6(String),
    Group(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub id: String,
    pub egress: bool,
    pub source: Source,
    /// `tcp`, `udp`, `icmp`, `-1`, or a number.
    pub protocol: String,
    pub from: Option<i32>,
    pub to: Option<i32>,
    pub description: Option<String>,
    pub tags: Tags,
    /// The name of the group that it refers to, while a filter asks for it.
    #[serde(skip)]
    pub peer_name: Option<String>,
}

impl Rule {
    /// What the rule has under a filter's name, after `ip-permission.`.
    pub fn filtered(&self, name: &str) -> Option<String> {
        match (name, &self.source) {
            ("protocol", _) => Some(self.protocol.clone()),
            ("from-port", _) => self.from.map(|it| it.to_string()),
            ("to-port", _) => self.to.map(|it| it.to_string()),
            ("cidr", Source::Range(range)) => Some(range.to_string()),
            ("ipv6-cidr", Source::Range6(range)) => Some(range.clone()),
            ("group-id", Source::Group(id)) => Some(id.clone()),
            ("group-name", Source::Group(_)) => self.peer_name.clone(),
            _ => None,
        }
    }

    pub fn new(
        egress: bool,
        source: Source,
        protocol: &str,
        from: Option<i32>,
        to: Option<i32>,
    ) -> Self {
        Self {
            id: format!("sgr-{}", random_hex(17)),
            egress,
            source,
            protocol: protocol.to_owned(),
            from,
            to,
            description: None,
            tags: Tags::new(),
            peer_name: None,
        }
    }

    pub fn everything_out() -> Self {
        Self::new(true, Source::Range(Ipv4Net::default()), "-1", None, None)
    }

    /// Whether the two say the same, whatever their ids and descriptions.
    fn same(&self, other: &Self) -> bool {
        (
            self.egress,
            &self.source,
            &self.protocol,
            self.from,
            self.to,
        ) == (
            other.egress,
            &other.source,
            &other.protocol,
            other.from,
            other.to,
        )
    }
}

/// A protocol in EC2's own spelling: names in small letters, numbers of the common ones as names.
fn protocol(text: &str) -> Result<String, Error> {
    let text = text.to_ascii_lowercase();
    Ok(match text.as_str() {
        "-1" | "all" => "-1".into(),
        "6" | "tcp" => "tcp".into(),
        "17" | "udp" => "udp".into(),
        "1" | "icmp" => "icmp".into(),
        "58" | "icmpv6" => "icmpv6".into(),
        other => {
            match other.parse::<u8>() {
                Ok(number) => number.to_string(),
                Err(_) => {
                    return Err(InvalidPermissionMalformed.because(format!("Unsupported IP protocol \"{text}\" - supported: [icmp, tcp, udp, icmpv6, all]")));
                }
            }
        }
    })
}

/// The rules that a permission stands for: one per source.
fn rules_of(egress: bool, permission: &IpPermission) -> Result<Vec<Rule>, Error> {
    let named = permission.ip_protocol.as_deref().ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter ipProtocol")
    })?;
    let protocol = protocol(named)?;
    let has_ports = matches!(protocol.as_str(), "tcp" | "udp" | "icmp" | "icmpv6");
    let (from, to) = if has_ports {
        (permission.from_port, permission.to_port)
    } else {
        (None, None)
    };
    if has_ports {
        check_ports(&protocol, from, to)?;
    }
    let rule = |source, description: &Option<String>| Rule {
        description: description.clone(),
        ..Rule::new(egress, source, &protocol, from, to)
    };
    let mut rules = Vec::new();
    for it in permission.ip_ranges.iter().flatten() {
        let text = it.cidr_ip.as_deref().unwrap_or_default();
        rules.push(rule(
            Source::Range(parse_range(text, "cidrIp")?),
            &it.description,
        ));
    }
    for it in permission.ipv6_ranges.iter().flatten() {
        rules.push(rule(
            Source::Range6(it.cidr_ipv6.clone().unwrap_or_default()),
            &it.description,
        ));
    }
    for it in permission.user_id_group_pairs.iter().flatten() {
        let id = it.group_id.clone().ok_or_else(|| {
            MissingParameter.because("The request must contain the parameter groupId")
        })?;
        rules.push(rule(Source::Group(id), &it.description));
    }
    Ok(rules)
}

/// Whether two permissions stand for the same rules, whatever their descriptions. What cannot be read is itself
/// alone.
pub fn says_the_same(egress: bool, one: &IpPermission, other: &IpPermission) -> bool {
    let (Ok(rules), Ok(others)) = (rules_of(egress, one), rules_of(egress, other)) else {
        return one == other;
    };
    rules.len() == others.len()
        && rules
            .iter()
            .zip(&others)
            .all(|(one, other)| one.same(other))
}

fn check_ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<(), Error> {
    let (Some(from), Some(to)) = (from, to) else {
        return Err(InvalidParameterValue.because(format!(
            "Invalid value 'Must specify both from and to ports with {}.' for portRange.",
            protocol.to_uppercase()
        )));
    };
    let transport = matches!(protocol, "tcp" | "udp");
    if !transport && !acl_entry::is_icmp(from, to) {
        return Err(
            InvalidPermissionMalformed.because(format!("Invalid ICMP type and code ({from}:{to})"))
        );
    }
    if transport && (!(0..=65535).contains(&from) || !(0..=65535).contains(&to) || from > to) {
        return Err(
            InvalidPermissionMalformed.because(format!("Invalid TCP port range ({from} to {to})"))
        );
    }
    Ok(())
}

/// What the older, flat parameters of the operations mean.
struct Flat<'a> {
    protocol: Option<&'a String>,
    from: Option<i32>,
    to: Option<i32>,
    range: Option<&'a String>,
}

fn requested(
    egress: bool,
    permissions: Option<&Vec<IpPermission>>,
    flat: &Flat<'_>,
) -> Result<Vec<Rule>, Error> {
    let mut rules = Vec::new();
    for permission in permissions.into_iter().flatten() {
        rules.extend(rules_of(egress, permission)?);
    }
    if let Some(protocol) = flat.protocol {
        let range = IpRange {
            cidr_ip: flat.range.cloned(),
            description: None,
        };
        let permission = IpPermission {
            ip_protocol: Some(protocol.clone()),
            from_port: flat.from,
            to_port: flat.to,
            ip_ranges: Some(vec![range]),
            ..Default::default()
        };
        rules.extend(rules_of(egress, &permission)?);
    }
    Ok(rules)
}

/// The rules that an operation asks for: the four inputs have the same members, and no type in common.
macro_rules! requested_by {
    ($input:ident, $egress:literal) => {
        requested(
            $egress,
            $input.ip_permissions.as_ref(),
            &Flat {
                protocol: $input.ip_protocol.as_ref(),
                from: $input.from_port,
                to: $input.to_port,
                range: $input.cidr_ip.as_ref(),
            },
        )
    };
}

fn nothing_given() -> Error {
    MissingParameter.because("Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
}

/// The group that a rule names must be one of the same network: no other is reached from it.
fn check_peer(cx: &Cx, tx: &Records<'_>, group: &SecurityGroup, peer: &str) -> Result<(), Error> {
    if group::get(cx, tx, peer)?.vpc == group.vpc {
        return Ok(());
    }
    Err(InvalidGroupNotFound.because(format!(
        "You have specified two resources that belong to different networks: '{}' and '{peer}'.",
        group.id
    )))
}

fn authorize(
    cx: &Cx,
    id: &str,
    mut rules: Vec<Rule>,
    tags: &Tags,
) -> Result<Vec<SecurityGroupRule>, Error> {
    if rules.is_empty() {
        return Err(nothing_given());
    }
    cx.write(|tx| {
        let mut group = group::get(cx, tx, id)?;
        let mut answer = Vec::new();
        for rule in &mut rules {
            if let Source::Group(peer) = &rule.source {
                check_peer(cx, tx, &group, peer)?;
            }
            if let Some(existing) = group.rules.iter().find(|it| it.same(rule)) {
                if cx.token.is_some() {
                    answer.push(shown(cx, &group, existing));
                    continue;
                }
                return Err(InvalidPermissionDuplicate.because(format!(
                    "the specified rule \"peer: {}, {}, from port: {}, to port: {}, ALLOW\" already exists",
                    peer_text(&rule.source),
                    rule.protocol.to_uppercase(),
                    rule.from.unwrap_or(-1),
                    rule.to.unwrap_or(-1)
                )));
            }
            rule.tags.clone_from(tags);
            answer.push(shown(cx, &group, rule));
            group.rules.push(rule.clone());
        }
        for egress in [false, true] {
            if group.rules.iter().filter(|it| it.egress == egress).count() > RULES_MAX {
                return Err(cloud::ErrorCode::sender("RulesPerSecurityGroupLimitExceeded", 400)
                    .because("The maximum number of rules per security group has been reached."));
            }
        }
        tx.put(&group)?;
        vpc::touch(cx, tx, &group.vpc)?;
        Ok(answer)
    })
}

fn peer_text(source: &Source) -> String {
    match source {
        Source::Range(range) => range.to_string(),
        Source::Range6(range) => range.clone(),
        Source::Group(id) => id.clone(),
    }
}

pub async fn authorize_ingress(
    cx: Cx,
    input: AuthorizeSecurityGroupIngressInput,
) -> Result<AuthorizeSecurityGroupIngressOutput, Error> {
    let id = input.group_id.as_deref().ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter groupId")
    })?;
    let rules = requested_by!(input, false)?;
    let tags = tags::specified(
        input.tag_specifications.as_ref(),
        ResourceType::SecurityGroupRule,
    )?;
    let rules = authorize(&cx, id, rules, &tags)?;
    Ok(AuthorizeSecurityGroupIngressOutput {
        r#return: Some(true),
        security_group_rules: Some(rules),
    })
}

pub async fn authorize_egress(
    cx: Cx,
    input: AuthorizeSecurityGroupEgressInput,
) -> Result<AuthorizeSecurityGroupEgressOutput, Error> {
    let rules = requested_by!(input, true)?;
    let tags = tags::specified(
        input.tag_specifications.as_ref(),
        ResourceType::SecurityGroupRule,
    )?;
    let rules = authorize(&cx, &input.group_id, rules, &tags)?;
    Ok(AuthorizeSecurityGroupEgressOutput {
        r#return: Some(true),
        security_group_rules: Some(rules),
    })
}

fn revoke(
    cx: &Cx,
    id: &str,
    egress: bool,
    rules: &[Rule],
    ids: Option<&Vec<String>>,
) -> Result<Vec<RevokedSecurityGroupRule>, Error> {
    if rules.is_empty() && ids.is_none_or(Vec::is_empty) {
        return Err(nothing_given());
    }
    cx.write(|tx| {
        let mut group = group::get(cx, tx, id)?;
        let mut revoked = Vec::new();
        for rule in rules {
            let at = group.rules.iter().position(|it| it.same(rule));
            let Some(at) = at else {
                return Err(InvalidPermissionNotFound
                    .because("The specified rule does not exist in this security group."));
            };
            revoked.push(group.rules.remove(at));
        }
        for id in ids.into_iter().flatten() {
            let at = group
                .rules
                .iter()
                .position(|it| it.id == *id && it.egress == egress);
            let Some(at) = at else {
                return Err(InvalidSecurityGroupRuleIdNotFound
                    .because(format!("The security group rule ID '{id}' does not exist")));
            };
            revoked.push(group.rules.remove(at));
        }
        tx.put(&group)?;
        vpc::touch(cx, tx, &group.vpc)?;
        Ok(revoked
            .into_iter()
            .map(|it| revoked_rule(&group.id, it))
            .collect())
    })
}

fn revoked_rule(group: &str, rule: Rule) -> RevokedSecurityGroupRule {
    let mut shown = RevokedSecurityGroupRule {
        security_group_rule_id: Some(rule.id),
        group_id: Some(group.to_owned()),
        is_egress: Some(rule.egress),
        ip_protocol: Some(rule.protocol),
        from_port: Some(rule.from.unwrap_or(-1)),
        to_port: Some(rule.to.unwrap_or(-1)),
        description: rule.description,
        ..Default::default()
    };
    match rule.source {
        Source::Range(range) => shown.cidr_ipv4 = Some(range.to_string()),
        Source::Range6(range) => shown.cidr_ipv6 = Some(range),
        Source::Group(id) => shown.referenced_group_id = Some(id),
    }
    shown
}

pub async fn revoke_ingress(
    cx: Cx,
    input: RevokeSecurityGroupIngressInput,
) -> Result<RevokeSecurityGroupIngressOutput, Error> {
    let id = input.group_id.as_deref().ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter groupId")
    })?;
    let rules = requested_by!(input, false)?;
    let revoked = revoke(
        &cx,
        id,
        false,
        &rules,
        input.security_group_rule_ids.as_ref(),
    )?;
    Ok(RevokeSecurityGroupIngressOutput {
        r#return: Some(true),
        revoked_security_group_rules: Some(revoked),
        ..Default::default()
    })
}

pub async fn revoke_egress(
    cx: Cx,
    input: RevokeSecurityGroupEgressInput,
) -> Result<RevokeSecurityGroupEgressOutput, Error> {
    let rules = requested_by!(input, true)?;
    let revoked = revoke(
        &cx,
        &input.group_id,
        true,
        &rules,
        input.security_group_rule_ids.as_ref(),
    )?;
    Ok(RevokeSecurityGroupEgressOutput {
        r#return: Some(true),
        revoked_security_group_rules: Some(revoked),
        ..Default::default()
    })
}

/// Gives rules of a group other descriptions: those that are named by what they say, or by their ids.
fn describe_anew(
    cx: &Cx,
    id: Option<&str>,
    egress: bool,
    rules: &[Rule],
    described: Option<&Vec<SecurityGroupRuleDescription>>,
) -> Result<(), Error> {
    let id = id.ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter groupId")
    })?;
    if rules.is_empty() && described.is_none_or(Vec::is_empty) {
        return Err(nothing_given());
    }
    cx.write(|tx| {
        let mut group = group::get(cx, tx, id)?;
        for rule in rules {
            let found = group.rules.iter_mut().find(|it| it.same(rule));
            let found = found.ok_or_else(|| {
                InvalidPermissionNotFound
                    .because("The specified rule does not exist in this security group.")
            })?;
            found.description.clone_from(&rule.description);
        }
        for it in described.into_iter().flatten() {
            let id = it.security_group_rule_id.as_deref().unwrap_or_default();
            let found = group.rules.iter_mut();
            let found = found
                .into_iter()
                .find(|it| it.id == id && it.egress == egress);
            let found = found.ok_or_else(|| {
                InvalidSecurityGroupRuleIdNotFound
                    .because(format!("The security group rule ID '{id}' does not exist"))
            })?;
            found.description.clone_from(&it.description);
        }
        tx.put(&group)
    })
}

pub async fn update_descriptions_ingress(
    cx: Cx,
    input: UpdateSecurityGroupRuleDescriptionsIngressInput,
) -> Result<UpdateSecurityGroupRuleDescriptionsIngressOutput, Error> {
    let rules = (input.ip_permissions.iter().flatten()).map(|it| rules_of(false, it));
    let rules = rules.collect::<Result<Vec<_>, _>>()?.concat();
    let described = input.security_group_rule_descriptions.as_ref();
    describe_anew(&cx, input.group_id.as_deref(), false, &rules, described)?;
    Ok(UpdateSecurityGroupRuleDescriptionsIngressOutput {
        r#return: Some(true),
    })
}

pub async fn update_descriptions_egress(
    cx: Cx,
    input: UpdateSecurityGroupRuleDescriptionsEgressInput,
) -> Result<UpdateSecurityGroupRuleDescriptionsEgressOutput, Error> {
    let rules = (input.ip_permissions.iter().flatten()).map(|it| rules_of(true, it));
    let rules = rules.collect::<Result<Vec<_>, _>>()?.concat();
    let described = input.security_group_rule_descriptions.as_ref();
    describe_anew(&cx, input.group_id.as_deref(), true, &rules, described)?;
    Ok(UpdateSecurityGroupRuleDescriptionsEgressOutput {
        r#return: Some(true),
    })
}

/// Changes the tags of a rule, which is kept in its group.
pub fn change_tags(
    cx: &Cx,
    tx: &Records<'_>,
    id: &str,
    edit: &dyn Fn(&mut Tags) -> Result<(), Error>,
) -> Result<(), Error> {
    for mut group in tx.list::<SecurityGroup>(&cx.key(""))? {
        if let Some(rule) = group.rules.iter_mut().find(|it| it.id == id) {
            edit(&mut rule.tags)?;
            return tx.put(&group);
        }
    }
    Err(InvalidSecurityGroupRuleIdNotFound
        .because(format!("The security group rule ID '{id}' does not exist")))
}

/// What permissions say of a rule.
pub fn touched(cx: &Cx, id: &str) -> Touched {
    let arn = cx.arn("ec2", &format!("security-group-rule/{id}"));
    let groups = cx.read(|tx| tx.list::<SecurityGroup>(&cx.key("")));
    let Ok(groups) = groups else {
        // Nothing is known of its tags.
        return Touched::named(arn);
    };
    let found = groups.into_iter().flat_map(|it| it.rules);
    match found.into_iter().find(|it| it.id == id) {
        Some(rule) => Touched::named(arn).tagged(rule.tags),
        None => Touched::absent(arn),
    }
}

/// The rules of one direction, grouped by protocol and ports.
pub fn permissions(cx: &Cx, group: &SecurityGroup, egress: bool) -> Vec<IpPermission> {
    let mut grouped: BTreeMap<(&str, Option<i32>, Option<i32>), IpPermission> = BTreeMap::new();
    for rule in group.rules.iter().filter(|it| it.egress == egress) {
        let permission = grouped
            .entry((&rule.protocol, rule.from, rule.to))
            .or_insert_with(|| IpPermission {
                ip_protocol: Some(rule.protocol.clone()),
                from_port: rule.from,
                to_port: rule.to,
                user_id_group_pairs: Some(vec![]),
                ip_ranges: Some(vec![]),
                ipv6_ranges: Some(vec![]),
                prefix_list_ids: Some(vec![]),
            });
        let description = rule.description.clone();
        match &rule.source {
            Source::Range(range) => {
                let range = IpRange {
                    cidr_ip: Some(range.to_string()),
                    description,
                };
                permission.ip_ranges.get_or_insert_default().push(range);
            }
            Source::Range6(range) => {
                let range = Ipv6Range {
                    cidr_ipv6: Some(range.clone()),
                    description,
                };
                permission.ipv6_ranges.get_or_insert_default().push(range);
            }
            Source::Group(id) => {
                permission
                    .user_id_group_pairs
                    .get_or_insert_default()
                    .push(UserIdGroupPair {
                        group_id: Some(id.clone()),
                        user_id: Some(cx.account().to_owned()),
                        description,
                        ..Default::default()
                    })
            }
        }
    }
    grouped.into_values().collect()
}

fn shown(cx: &Cx, group: &SecurityGroup, rule: &Rule) -> SecurityGroupRule {
    let mut shown = SecurityGroupRule {
        security_group_rule_id: Some(rule.id.clone()),
        group_id: Some(group.id.clone()),
        group_owner_id: Some(cx.account().to_owned()),
        is_egress: Some(rule.egress),
        ip_protocol: Some(rule.protocol.clone()),
        from_port: Some(rule.from.unwrap_or(-1)),
        to_port: Some(rule.to.unwrap_or(-1)),
        description: rule.description.clone(),
        tags: tags::shown(&rule.tags),
        security_group_rule_arn: Some(cx.arn("ec2", &format!("security-group-rule/{}", rule.id))),
        ..Default::default()
    };
    match &rule.source {
        Source::Range(range) => shown.cidr_ipv4 = Some(range.to_string()),
        Source::Range6(range) => shown.cidr_ipv6 = Some(range.clone()),
        Source::Group(id) => {
            shown.referenced_group_info = Some(ReferencedSecurityGroup {
                group_id: Some(id.clone()),
                user_id: Some(cx.account().to_owned()),
                vpc_id: Some(group.vpc.clone()),
                ..Default::default()
            });
        }
    }
    shown
}

/// A rule with the group that it is in, for filters.
struct Listed(SecurityGroup, Rule);

impl Filtered for Listed {
    const FILTERS: &'static [&'static str] = &["group-id", "security-group-rule-id"];
    fn unique(&self) -> &str {
        &self.1.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "group-id" => self.0.id.clone(),
            "security-group-rule-id" => self.1.id.clone(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.1.tags
    }
}

pub async fn describe_security_group_rules(
    cx: Cx,
    input: DescribeSecurityGroupRulesInput,
) -> Result<DescribeSecurityGroupRulesOutput, Error> {
    for filter in input.filters.iter().flatten() {
        if filter.name.as_deref() == Some("group-id") {
            let ids = filter.values.as_deref().unwrap_or_default();
            let whole = ids.iter().filter(|it| !it.contains(['*', '?']));
            whole.into_iter().try_for_each(|it| check_group_id(it))?;
        }
    }
    let groups = cx.read(|tx| tx.list::<SecurityGroup>(&cx.key("")))?;
    let all = groups.iter().flat_map(|group| {
        group.rules.iter().map(|rule| {
            Listed(
                SecurityGroup {
                    rules: vec![],
                    ..group.clone()
                },
                rule.clone(),
            )
        })
    });
    let mut found: Vec<Listed> = all.collect();
    if let Some(ids) = &input.security_group_rule_ids {
        if let Some(missing) = ids
            .iter()
            .find(|id| !found.iter().any(|it| it.1.id == **id))
        {
            return Err(InvalidSecurityGroupRuleIdNotFound.because(format!(
                "The security group rule ID '{missing}' does not exist"
            )));
        }
        found.retain(|it| ids.contains(&it.1.id));
    }
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    let rules = found.iter().map(|it| shown(&cx, &it.0, &it.1)).collect();
    Ok(DescribeSecurityGroupRulesOutput {
        security_group_rules: Some(rules),
        next_token,
    })
}
