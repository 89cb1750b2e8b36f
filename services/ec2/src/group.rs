//! Security groups. Their rules are in [`crate::group_rules`].

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, CreateSecurityGroupInput, CreateSecurityGroupOutput, DeleteSecurityGroupInput,
    DeleteSecurityGroupOutput, DescribeSecurityGroupsInput, DescribeSecurityGroupsOutput,
    ResourceType,
};

use crate::default_vpc;
use crate::errors::{
    DependencyViolation, InvalidGroupDuplicate, InvalidGroupNotFound, InvalidParameterValue,
    MissingParameter,
};
use crate::filters::{Filtered, page, select};
use crate::group_rules::{self, Rule, Source};
use crate::interface::Interface;
use crate::tags::{self, Tags};
use crate::vpc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub id: String,
    pub region: String,
    pub vpc: String,
    pub name: String,
    pub description: String,
    pub rules: Vec<Rule>,
    pub tags: Tags,
}

impl Record for SecurityGroup {
    const KIND: &'static str = "ec2.security-group";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// A VPC's own group: everything from its members, and everything out.
pub fn default_group(cx: &Cx, vpc: &str) -> SecurityGroup {
    let id = cx.new_id("sg-", 17);
    let from_itself = Rule::new(false, Source::Group(id.clone()), "-1", None, None);
    SecurityGroup {
        region: cx.region.clone(),
        vpc: vpc.to_owned(),
        name: "default".into(),
        description: "default VPC security group".into(),
        rules: vec![from_itself, Rule::everything_out()],
        tags: Tags::new(),
        id,
    }
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<SecurityGroup, Error> {
    tx.get(&cx.key(id))?.ok_or_else(|| {
        InvalidGroupNotFound.because(format!("The security group '{id}' does not exist"))
    })
}

pub async fn create_security_group(
    cx: Cx,
    input: CreateSecurityGroupInput,
) -> Result<CreateSecurityGroupOutput, Error> {
    let vpc_id = match &input.vpc_id {
        Some(id) => id.clone(),
        None => default_vpc::meant(&cx)?,
    };
    let vpc_id = vpc_id.as_str();
    if input.group_name == "default" || input.group_name.starts_with("sg-") {
        return Err(InvalidParameterValue.because(format!(
            "Cannot use reserved security group name: {}",
            input.group_name
        )));
    }
    let tags = tags::specified(
        input.tag_specifications.as_ref(),
        ResourceType::SecurityGroup,
    )?;
    cx.write(|tx| {
        vpc::get(&cx, tx, vpc_id)?;
        let id = cx.new_id("sg-", 17);
        let answer = CreateSecurityGroupOutput {
            group_id: Some(id.clone()),
            tags: tags::shown(&tags),
            security_group_arn: Some(cx.arn("ec2", &format!("security-group/{id}"))),
        };
        let groups = tx.list::<SecurityGroup>(&cx.key(""))?;
        if groups.iter().any(|it| it.id == id) {
            return Ok(answer);
        }
        if groups
            .iter()
            .any(|it| it.vpc == vpc_id && it.name == input.group_name)
        {
            return Err(InvalidGroupDuplicate.because(format!(
                "The security group '{}' already exists for VPC '{vpc_id}'",
                input.group_name
            )));
        }
        tx.put(&SecurityGroup {
            id,
            region: cx.region.clone(),
            vpc: vpc_id.to_owned(),
            name: input.group_name.clone(),
            description: input.description.clone(),
            rules: vec![Rule::everything_out()],
            tags: tags.clone(),
        })?;
        vpc::touch(&cx, tx, vpc_id)?;
        Ok(answer)
    })
}

fn shown(cx: &Cx, group: &SecurityGroup) -> ec2::SecurityGroup {
    ec2::SecurityGroup {
        group_id: Some(group.id.clone()),
        ip_permissions: Some(group_rules::permissions(cx, group, false)),
        ip_permissions_egress: Some(group_rules::permissions(cx, group, true)),
        tags: tags::shown(&group.tags),
        vpc_id: Some(group.vpc.clone()),
        security_group_arn: Some(cx.arn("ec2", &format!("security-group/{}", group.id))),
        owner_id: Some(cx.account().to_owned()),
        group_name: Some(group.name.clone()),
        description: Some(group.description.clone()),
    }
}

impl Filtered for SecurityGroup {
    const FILTERS: &'static [&'static str] = &[
        "group-id",
        "group-name",
        "vpc-id",
        "description",
        "owner-id",
        "ip-permission.cidr",
        "egress.ip-permission.cidr",
        "ip-permission.from-port",
        "egress.ip-permission.from-port",
        "ip-permission.group-id",
        "egress.ip-permission.group-id",
        "ip-permission.group-name",
        "egress.ip-permission.group-name",
        "ip-permission.ipv6-cidr",
        "egress.ip-permission.ipv6-cidr",
        "ip-permission.prefix-list-id",
        "egress.ip-permission.prefix-list-id",
        "ip-permission.protocol",
        "egress.ip-permission.protocol",
        "ip-permission.to-port",
        "egress.ip-permission.to-port",
        "ip-permission.user-id",
        "egress.ip-permission.user-id",
    ];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "group-id" => vec![self.id.clone()],
            "group-name" => vec![self.name.clone()],
            "vpc-id" => vec![self.vpc.clone()],
            "description" => vec![self.description.clone()],
            _ => {
                let (egress, filter) = match filter.strip_prefix("egress.") {
                    Some(filter) => (true, filter),
                    None => (false, filter),
                };
                let member = filter.strip_prefix("ip-permission.").unwrap_or_default();
                let rules = self.rules.iter().filter(|it| it.egress == egress);
                rules.filter_map(|it| it.filtered(member)).collect()
            }
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_security_groups(
    cx: Cx,
    input: DescribeSecurityGroupsInput,
) -> Result<DescribeSecurityGroupsOutput, Error> {
    default_vpc::before_listing(&cx, input.group_ids.as_ref(), input.filters.as_ref())?;
    let found = cx.read(|tx| match &input.group_ids {
        Some(ids) => ids
            .iter()
            .map(|id| get(&cx, tx, id))
            .collect::<Result<Vec<_>, _>>(),
        None => tx.list::<SecurityGroup>(&cx.key("")),
    })?;
    let found = named(found, input.group_names.as_deref())?;
    // Rules carry the ids of other groups, and filters ask for the names.
    let asks_names = (input.filters.iter().flatten()).any(|it| {
        it.name
            .as_deref()
            .is_some_and(|it| it.ends_with("ip-permission.group-name"))
    });
    let found = match asks_names {
        true => by_rules_group_name(&cx, found, input.filters.as_ref())?,
        false => select(&cx, found, input.filters.as_ref())?,
    };
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeSecurityGroupsOutput {
        security_groups: Some(found.iter().map(|it| shown(&cx, it)).collect()),
        next_token,
    })
}

/// [`select`], with the names of the groups that rules refer to.
fn by_rules_group_name(
    cx: &Cx,
    found: Vec<SecurityGroup>,
    filters: Option<&Vec<ec2::Filter>>,
) -> Result<Vec<SecurityGroup>, Error> {
    let all = cx.read(|tx| tx.list::<SecurityGroup>(&cx.key("")))?;
    let name_of = |id: &str| all.iter().find(|it| it.id == id).map(|it| it.name.clone());
    let named = found.into_iter().map(|mut group| {
        for rule in &mut group.rules {
            if let Source::Group(id) = &rule.source {
                rule.peer_name = name_of(id);
            }
        }
        group
    });
    select(cx, named.collect(), filters)
}

/// Those with one of these names, when names are given; each must exist.
fn named(found: Vec<SecurityGroup>, names: Option<&[String]>) -> Result<Vec<SecurityGroup>, Error> {
    let Some(names) = names else {
        return Ok(found);
    };
    let missing = names
        .iter()
        .find(|name| !found.iter().any(|it| it.name == **name));
    if let Some(name) = missing {
        return Err(
            InvalidGroupNotFound.because(format!("The security group '{name}' does not exist"))
        );
    }
    Ok(found
        .into_iter()
        .filter(|it| names.contains(&it.name))
        .collect())
}

pub async fn delete_security_group(
    cx: Cx,
    input: DeleteSecurityGroupInput,
) -> Result<DeleteSecurityGroupOutput, Error> {
    let id = input.group_id.clone().ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter GroupId")
    })?;
    cx.write(|tx| {
        let group = get(&cx, tx, &id)?;
        if group.name == "default" {
            return Err(
                cloud::ErrorCode::sender("CannotDelete", 400).because(format!(
                    "the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"
                )),
            );
        }
        let interfaces = tx.list::<Interface>(&cx.key(""))?;
        let groups = tx.list::<SecurityGroup>(&cx.key(""))?;
        let referred = groups.iter().filter(|it| it.id != id).any(|it| {
            it.rules
                .iter()
                .any(|rule| rule.source == Source::Group(id.clone()))
        });
        if referred
            || interfaces
                .iter()
                .any(|it| it.groups.contains(&id) && !it.deleting)
        {
            return Err(
                DependencyViolation.because(format!("resource {id} has a dependent object"))
            );
        }
        tx.delete::<SecurityGroup>(&group.key())?;
        vpc::touch(&cx, tx, &group.vpc)?;
        Ok(DeleteSecurityGroupOutput {
            group_id: Some(id.clone()),
            ..Default::default()
        })
    })
}
