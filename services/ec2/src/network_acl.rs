//! Network ACLs: what may enter and leave a subnet, whoever asked. Their entries are in [`crate::acl_entry`].
//!
//! Every subnet is associated with one: with the VPC's own until it is moved to another.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, CreateNetworkAclInput, CreateNetworkAclOutput, DeleteNetworkAclInput,
    DeleteNetworkAclOutput, DescribeNetworkAclsInput, DescribeNetworkAclsOutput,
    NetworkAclAssociation, ReplaceNetworkAclAssociationInput, ReplaceNetworkAclAssociationOutput,
    ResourceType,
};

use crate::acl_entry::Entry;
use crate::default_vpc;
use crate::errors::{
    DependencyViolation, InvalidAssociationIdNotFound, InvalidNetworkAclIdNotFound,
    InvalidParameterValue, not_found,
};
use crate::filters::{Filtered, page, select};
use crate::subnet::Subnet;
use crate::tags::{self, Tags};
use crate::vpc::{self, Vpc};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkAcl {
    pub id: String,
    pub region: String,
    pub vpc: String,
    /// The VPC's own.
    pub is_default: bool,
    pub entries: Vec<Entry>,
    /// Association id to subnet id.
    pub associations: BTreeMap<String, String>,
    pub tags: Tags,
}

impl Record for NetworkAcl {
    const KIND: &'static str = "ec2.network-acl";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// The id of a VPC's own, which follows from the VPC's.
pub fn default_id(vpc: &str) -> String {
    vpc.replace("vpc-", "acl-")
}

/// A VPC's own: everything may pass. A subnet's first association follows from its id.
pub fn default_acl<'a>(vpc: &Vpc, subnets: impl Iterator<Item = &'a Subnet>) -> NetworkAcl {
    let association = |it: &Subnet| (first_association(&it.id), it.id.clone());
    NetworkAcl {
        id: default_id(&vpc.id),
        region: vpc.region.clone(),
        vpc: vpc.id.clone(),
        is_default: true,
        entries: Entry::everything(),
        associations: subnets.map(association).collect(),
        tags: Tags::new(),
    }
}

fn first_association(subnet: &str) -> String {
    subnet.replace("subnet-", "aclassoc-")
}

/// A VPC of a time without network ACLs gets its own, with all of its subnets.
pub fn ensure_default(cx: &Cx, vpc: &Vpc) -> Result<(), Error> {
    let key = cx.key(&default_id(&vpc.id));
    if cx.read(|tx| tx.get::<NetworkAcl>(&key))?.is_some() {
        return Ok(());
    }
    cx.write(|tx| {
        // It may be going at this moment.
        if tx.get::<Vpc>(&vpc.key())?.is_none_or(|it| it.deleting) {
            return Ok(());
        }
        let subnets = tx.list::<Subnet>(&cx.key(""))?;
        tx.put(&default_acl(
            vpc,
            subnets.iter().filter(|it| it.vpc == vpc.id),
        ))
    })
}

/// A new subnet begins with its VPC's own.
pub fn associate_new(cx: &Cx, tx: &Records<'_>, subnet: &Subnet) -> Result<(), Error> {
    let Some(mut acl) = tx.get::<NetworkAcl>(&cx.key(&default_id(&subnet.vpc)))? else {
        return Ok(());
    };
    (acl.associations).insert(first_association(&subnet.id), subnet.id.clone());
    tx.put(&acl)
}

/// A subnet is gone.
pub fn forget_subnet(cx: &Cx, tx: &Records<'_>, subnet: &str) -> Result<(), Error> {
    for mut acl in tx.list::<NetworkAcl>(&cx.key(""))? {
        let before = acl.associations.len();
        acl.associations.retain(|_, it| it != subnet);
        if acl.associations.len() != before {
            tx.put(&acl)?;
        }
    }
    Ok(())
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<NetworkAcl, Error> {
    tx.get(&cx.key(id))?
        .ok_or_else(|| not_found(InvalidNetworkAclIdNotFound, "networkAcl", id))
}

/// The one that holds an association.
pub fn holder(cx: &Cx, tx: &Records<'_>, association: &str) -> Result<NetworkAcl, Error> {
    let all = tx.list::<NetworkAcl>(&cx.key(""))?;
    let found = (all.into_iter()).find(|it| it.associations.contains_key(association));
    found.ok_or_else(|| {
        InvalidAssociationIdNotFound
            .because(format!("The association ID '{association}' does not exist"))
    })
}

pub async fn create_network_acl(
    cx: Cx,
    input: CreateNetworkAclInput,
) -> Result<CreateNetworkAclOutput, Error> {
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::NetworkAcl)?;
    // A client's own token serves as well as one that a caller inside set.
    let named = input.client_token.as_ref().filter(|_| cx.token.is_none());
    let naming = named.map_or_else(|| cx.clone(), |it| cx.with_token(it.as_str()));
    cx.write(|tx| {
        vpc::get(&cx, tx, &input.vpc_id)?;
        let made = NetworkAcl {
            id: naming.new_id("acl-", 17),
            region: cx.region.clone(),
            vpc: input.vpc_id.clone(),
            is_default: false,
            entries: vec![],
            associations: BTreeMap::new(),
            tags: tags.clone(),
        };
        let acl = match tx.get::<NetworkAcl>(&made.key())? {
            Some(existing) => existing,
            None => {
                tx.put(&made)?;
                made
            }
        };
        Ok(CreateNetworkAclOutput {
            network_acl: Some(shown(&cx, &acl)),
            client_token: input.client_token.clone(),
        })
    })
}

fn shown(cx: &Cx, acl: &NetworkAcl) -> ec2::NetworkAcl {
    let association = |(id, subnet): (&String, &String)| NetworkAclAssociation {
        network_acl_association_id: Some(id.clone()),
        network_acl_id: Some(acl.id.clone()),
        subnet_id: Some(subnet.clone()),
    };
    let entries = acl.sorted().into_iter().map(Entry::shown);
    ec2::NetworkAcl {
        associations: Some(acl.associations.iter().map(association).collect()),
        entries: Some(entries.chain(Entry::last_ones()).collect()),
        is_default: Some(acl.is_default),
        network_acl_id: Some(acl.id.clone()),
        tags: tags::shown(&acl.tags),
        vpc_id: Some(acl.vpc.clone()),
        owner_id: Some(cx.account().to_owned()),
    }
}

impl NetworkAcl {
    /// Its entries in the order in which they are asked.
    pub fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|it| (it.egress, it.number));
        entries
    }
}

impl Filtered for NetworkAcl {
    const FILTERS: &'static [&'static str] = &[
        "association.association-id",
        "association.network-acl-id",
        "association.subnet-id",
        "default",
        "entry.cidr",
        "entry.icmp.code",
        "entry.icmp.type",
        "entry.ipv6-cidr",
        "entry.port-range.from",
        "entry.port-range.to",
        "entry.protocol",
        "entry.rule-action",
        "entry.egress",
        "entry.rule-number",
        "network-acl-id",
        "owner-id",
        "vpc-id",
    ];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "association.association-id" => self.associations.keys().cloned().collect(),
            "association.subnet-id" => self.associations.values().cloned().collect(),
            "association.network-acl-id" if self.associations.is_empty() => vec![],
            "association.network-acl-id" | "network-acl-id" => vec![self.id.clone()],
            "default" => vec![self.is_default.to_string()],
            "vpc-id" => vec![self.vpc.clone()],
            _ => {
                let member = filter.strip_prefix("entry.").unwrap_or_default();
                let entries = self.entries.iter().map(Entry::shown);
                let entries = entries.chain(Entry::last_ones());
                entries
                    .filter_map(|it| Entry::filtered(&it, member))
                    .collect()
            }
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_network_acls(
    cx: Cx,
    input: DescribeNetworkAclsInput,
) -> Result<DescribeNetworkAclsOutput, Error> {
    default_vpc::before_listing(&cx, input.network_acl_ids.as_ref(), input.filters.as_ref())?;
    let found = cx.read(|tx| match &input.network_acl_ids {
        Some(ids) => ids.iter().map(|id| get(&cx, tx, id)).collect(),
        None => tx.list::<NetworkAcl>(&cx.key("")),
    })?;
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeNetworkAclsOutput {
        network_acls: Some(found.iter().map(|it| shown(&cx, it)).collect()),
        next_token,
    })
}

pub async fn delete_network_acl(
    cx: Cx,
    input: DeleteNetworkAclInput,
) -> Result<DeleteNetworkAclOutput, Error> {
    cx.write(|tx| {
        let acl = get(&cx, tx, &input.network_acl_id)?;
        if acl.is_default {
            return Err(InvalidParameterValue
                .because(format!("cannot delete default network ACL {}", acl.id)));
        }
        if !acl.associations.is_empty() {
            return Err(DependencyViolation.because(format!(
                "The networkAcl '{}' has dependencies and cannot be deleted.",
                acl.id
            )));
        }
        tx.delete::<NetworkAcl>(&acl.key())?;
        vpc::touch(&cx, tx, &acl.vpc)?;
        Ok(DeleteNetworkAclOutput {})
    })
}

pub async fn replace_network_acl_association(
    cx: Cx,
    input: ReplaceNetworkAclAssociationInput,
) -> Result<ReplaceNetworkAclAssociationOutput, Error> {
    cx.write(|tx| {
        let id = cx.new_id("aclassoc-", 17);
        let answer = ReplaceNetworkAclAssociationOutput {
            new_association_id: Some(id.clone()),
        };
        let new = get(&cx, tx, &input.network_acl_id)?;
        // The same request once more.
        if new.associations.contains_key(&id) {
            return Ok(answer);
        }
        let mut old = holder(&cx, tx, &input.association_id)?;
        if new.vpc != old.vpc {
            return Err(InvalidParameterValue.because(format!(
                "Network ACL {} and network ACL {} belong to different networks",
                new.id, old.id
            )));
        }
        let subnet = old.associations.remove(&input.association_id);
        tx.put(&old)?;
        // Both may be the same one.
        let mut new = get(&cx, tx, &input.network_acl_id)?;
        new.associations.extend(subnet.map(|it| (id.clone(), it)));
        tx.put(&new)?;
        vpc::touch(&cx, tx, &new.vpc)?;
        Ok(answer)
    })
}
