//! Tags: kept inside the record that they belong to.

use std::collections::BTreeMap;

use cloud::{Cx, Error, ErrorCode, Record, Records, Touched};
use shapes::ec2::{
    CreateTagsInput, CreateTagsOutput, DeleteTagsInput, DeleteTagsOutput, DescribeTagsInput,
    DescribeTagsOutput, ResourceType, Tag, TagDescription, TagSpecification,
};

use crate::dhcp_options::DhcpOptions;
use crate::elastic_address::ElasticAddress;
use crate::errors::{
    InvalidAllocationIdNotFound, InvalidDhcpOptionIdNotFound, InvalidGroupNotFound,
    InvalidIdNotFound, InvalidInstanceIdNotFound, InvalidInternetGatewayIdNotFound,
    InvalidKeyPairNotFound, InvalidLaunchTemplateIdNotFound, InvalidNetworkAclIdNotFound,
    InvalidNetworkInterfaceIdNotFound, InvalidParameterValue, InvalidRouteTableIdNotFound,
    InvalidSubnetIdNotFound, InvalidVpcIdNotFound, NatGatewayNotFound, not_found,
};
use crate::filters::{Filtered, page, select};
use crate::gateway::InternetGateway;
use crate::group::SecurityGroup;
use crate::group_rules;
use crate::instance::key_pair::KeyPairRecord;
use crate::instance::record::InstanceRecord;
use crate::interface::Interface;
use crate::launch_template::TemplateRecord;
use crate::nat_gateway::NatGateway;
use crate::network_acl::NetworkAcl;
use crate::permissions;
use crate::route::RouteTable;
use crate::subnet::Subnet;
use crate::vpc::Vpc;

pub type Tags = BTreeMap<String, String>;

/// What the id of a security group's rule begins with: it is kept in its group's record.
const RULE: &str = "sgr-";

/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

/// The tags that a create operation gives to the resource it makes.
pub fn specified(
    specifications: Option<&Vec<TagSpecification>>,
    kind: ResourceType,
) -> Result<Tags, Error> {
    let mut tags = Tags::new();
    for specification in specifications.into_iter().flatten() {
        if specification.resource_type != Some(kind) {
            let named = specification
                .resource_type
                .map(|it| it.to_string())
                .unwrap_or_default();
            return Err(InvalidParameterValue.because(format!(
                "'{named}' is not a valid taggable resource type for this operation."
            )));
        }
        add(&mut tags, specification.tags.as_deref().unwrap_or_default())?;
    }
    Ok(tags)
}

pub fn add(tags: &mut Tags, more: &[Tag]) -> Result<(), Error> {
    for tag in more {
        let key = tag.key.clone().unwrap_or_default();
        if key.is_empty() || key.len() > 128 {
            return Err(InvalidParameterValue.because("Tag keys must have 1 to 128 characters."));
        }
        tags.insert(key, tag.value.clone().unwrap_or_default());
    }
    if tags.len() > TAGS_MAX {
        return Err(cloud::ErrorCode::sender("TagLimitExceeded", 400)
            .because("More than 50 tags specified"));
    }
    Ok(())
}

/// As they are answered; absent when there are none.
pub fn shown(tags: &Tags) -> Option<Vec<Tag>> {
    let list: Vec<Tag> = tags
        .iter()
        .map(|(key, value)| Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        })
        .collect();
    (!list.is_empty()).then_some(list)
}

/// A record that carries tags.
pub trait Tagged: Record + Filtered {
    const TYPE: ResourceType;
    /// How EC2 calls it, and its error, when there is none with an id.
    const MISSING: (&'static str, ErrorCode);
    /// Whether it is there still: one that is being deleted is not, to callers.
    fn lives(&self) -> bool;
    fn tags_mut(&mut self) -> &mut Tags;
}

macro_rules! tagged {
    ($($record:ty: $prefix:literal = $kind:ident, $word:literal, $missing:ident, $lives:expr;)*) => {
        $(impl Tagged for $record {
            const TYPE: ResourceType = ResourceType::$kind;
            const MISSING: (&'static str, ErrorCode) = ($word, $missing);
            fn lives(&self) -> bool { let lives: fn(&Self) -> bool = $lives; lives(self) }
            fn tags_mut(&mut self) -> &mut Tags { &mut self.tags }
        })*

        /// Changes the tags of the resource with this id, whatever it is.
        fn change(cx: &Cx, tx: &Records<'_>, id: &str, edit: &dyn Fn(&mut Tags) -> Result<(), Error>) -> Result<(), Error> {
            $(if id.starts_with($prefix) { return change_record::<$record>(cx, tx, id, edit); })*
            if id.starts_with(RULE) { return group_rules::change_tags(cx, tx, id, edit); }
            Err(InvalidIdNotFound.because(format!("The ID '{id}' is not valid")))
        }

        /// The types of what may be tagged: the first, and the others.
        pub const TYPES: (&ResourceType, &[ResourceType]) = {
            const ALL: &[ResourceType] = &[$(<$record as Tagged>::TYPE,)* ResourceType::SecurityGroupRule];
            match ALL {
                [first, others @ ..] => (first, others),
                [] => panic!("there is none"),
            }
        };

        /// The type of the resource that has such an id.
        pub fn type_of(id: &str) -> Option<ResourceType> {
            $(if id.starts_with($prefix) { return Some(<$record as Tagged>::TYPE); })*
            id.starts_with(RULE).then_some(ResourceType::SecurityGroupRule)
        }

        /// What permissions say of the resource that has such an id.
        pub fn touched_by_id(cx: &Cx, id: &str) -> Option<Touched> {
            $(if id.starts_with($prefix) { return Some(permissions::touched::<$record>(cx, id)); })*
            id.starts_with(RULE).then(|| group_rules::touched(cx, id))
        }

        fn everything(cx: &Cx, tx: &Records<'_>) -> Result<Vec<Described>, Error> {
            let mut found = Vec::new();
            $(for mut it in tx.list::<$record>(&cx.key(""))?.into_iter().filter(Tagged::lives) {
                let (id, tags) = (it.unique().to_owned(), std::mem::take(it.tags_mut()));
                found.extend(tags.into_iter().map(|(key, value)| Described { order: format!("{id} {key}"), id: id.clone(), kind: <$record as Tagged>::TYPE, key, value, none: Tags::new() }));
            })*
            for group in tx.list::<SecurityGroup>(&cx.key(""))? {
                for rule in group.rules {
                    let (id, kind) = (rule.id, ResourceType::SecurityGroupRule);
                    found.extend(rule.tags.into_iter().map(|(key, value)| Described { order: format!("{id} {key}"), id: id.clone(), kind, key, value, none: Tags::new() }));
                }
            }
            Ok(found)
        }
    };
}

tagged! {
    Vpc: "vpc-" = Vpc, "vpc", InvalidVpcIdNotFound, |it| !it.deleting;
    Subnet: "subnet-" = Subnet, "subnet", InvalidSubnetIdNotFound, |_| true;
    InternetGateway: "igw-" = InternetGateway, "internetGateway", InvalidInternetGatewayIdNotFound, |_| true;
    RouteTable: "rtb-" = RouteTable, "routeTable", InvalidRouteTableIdNotFound, |_| true;
    DhcpOptions: "dopt-" = DhcpOptions, "dhcpOption", InvalidDhcpOptionIdNotFound, |_| true;
    NetworkAcl: "acl-" = NetworkAcl, "networkAcl", InvalidNetworkAclIdNotFound, |_| true;
    SecurityGroup: "sg-" = SecurityGroup, "security group", InvalidGroupNotFound, |_| true;
    ElasticAddress: "eipalloc-" = ElasticIp, "allocation", InvalidAllocationIdNotFound, |_| true;
    NatGateway: "nat-" = Natgateway, "natGateway", NatGatewayNotFound, |it| it.deleted_ms.is_none();
    InstanceRecord: "i-" = Instance, "instance", InvalidInstanceIdNotFound, |_| true;
    KeyPairRecord: "key-" = KeyPair, "key pair", InvalidKeyPairNotFound, |_| true;
    Interface: "eni-" = NetworkInterface, "networkInterface", InvalidNetworkInterfaceIdNotFound, |it| !it.deleting;
    TemplateRecord: "lt-" = LaunchTemplate, "launchTemplate", InvalidLaunchTemplateIdNotFound, |_| true;
}

fn change_record<R: Tagged>(
    cx: &Cx,
    tx: &Records<'_>,
    id: &str,
    edit: &dyn Fn(&mut Tags) -> Result<(), Error>,
) -> Result<(), Error> {
    let found: Option<R> = tx.get(&cx.key(id))?;
    let mut record = found.filter(Tagged::lives).ok_or_else(|| {
        let (word, code) = R::MISSING;
        not_found(code, word, id)
    })?;
    edit(record.tags_mut())?;
    tx.put(&record)
}

pub async fn create_tags(cx: Cx, input: CreateTagsInput) -> Result<CreateTagsOutput, Error> {
    cx.write(|tx| {
        for id in &input.resources {
            change(&cx, tx, id, &|tags| add(tags, &input.tags))?;
        }
        Ok(CreateTagsOutput {})
    })
}

pub async fn delete_tags(cx: Cx, input: DeleteTagsInput) -> Result<DeleteTagsOutput, Error> {
    cx.write(|tx| {
        for id in &input.resources {
            change(&cx, tx, id, &|tags| {
                let Some(unwanted) = &input.tags else {
                    tags.clear();
                    return Ok(());
                };
                tags.retain(|key, value| {
                    !unwanted.iter().any(|it| {
                        it.key.as_deref() == Some(key)
                            && it.value.as_deref().is_none_or(|given| given == value)
                    })
                });
                Ok(())
            })?;
        }
        Ok(DeleteTagsOutput {})
    })
}

struct Described {
    id: String,
    kind: ResourceType,
    key: String,
    value: String,
    /// Id and key: what it is told apart by.
    order: String,
    none: Tags,
}

impl Filtered for Described {
    const FILTERS: &'static [&'static str] = &["key", "value", "resource-id", "resource-type"];
    fn unique(&self) -> &str {
        &self.order
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "key" => self.key.clone(),
            "value" => self.value.clone(),
            "resource-id" => self.id.clone(),
            "resource-type" => self.kind.to_string(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.none
    }
}

pub async fn describe_tags(cx: Cx, input: DescribeTagsInput) -> Result<DescribeTagsOutput, Error> {
    let found = cx.read(|tx| everything(&cx, tx))?;
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    let tags = found
        .into_iter()
        .map(|it| TagDescription {
            key: Some(it.key),
            value: Some(it.value),
            resource_id: Some(it.id),
            resource_type: Some(it.kind),
        })
        .collect();
    Ok(DescribeTagsOutput {
        tags: Some(tags),
        next_token,
    })
}
