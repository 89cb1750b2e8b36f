//! What operations touch: records by their ids, with their tags and the condition keys that AWS's
//! service authorization reference has for them. Something to be made has no id yet: it is `…/*`.

use cloud::permission::{everywhere, on};
use cloud::{ConditionKey, Cx, Permission, Touched};
use serde_json::Value as Json;
use shapes::ec2::{
    AssociateAddressInput, AttachInternetGatewayInput, CreateNetworkInterfaceInput,
    CreateTagsInput, DetachInternetGatewayInput, DisassociateAddressInput,
    DisassociateRouteTableInput, ModifyNetworkInterfaceAttributeInput, ReleaseAddressInput,
    ReplaceNetworkAclAssociationInput, ReplaceRouteTableAssociationInput, ResourceType,
    TagSpecification,
};
use wire::Operation;

use crate::dhcp_options::DhcpOptions;
use crate::elastic_address::{self, ElasticAddress};
use crate::gateway::InternetGateway;
use crate::group::SecurityGroup;
use crate::interface::Interface;
use crate::keys;
use crate::launch_template::TemplateRecord;
use crate::nat_gateway::NatGateway;
use crate::network_acl::{self, NetworkAcl};
use crate::route::{self, RouteTable};
use crate::subnet::{self, Subnet};
use crate::tags::{self, Tagged};
use crate::vpc::{self, Vpc};
use crate::zones;

/// A record that permissions are about.
pub trait Touchable: Tagged + 'static {
    /// Its condition keys, beside its tags.
    fn keys(&self, cx: &Cx) -> Vec<(&'static str, String)>;
}

impl Touchable for Vpc {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::VPC_ID, self.id.clone()),
            (keys::TENANCY, self.tenancy.to_string()),
        ]
    }
}

impl Touchable for Subnet {
    fn keys(&self, cx: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::SUBNET_ID, self.id.clone()),
            (keys::VPC, arn::<Vpc>(cx, &self.vpc)),
            (keys::ZONE, self.zone.clone()),
            (keys::ZONE_ID, zones::id(&self.zone)),
        ]
    }
}

impl Touchable for InternetGateway {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        vec![(keys::GATEWAY_ID, self.id.clone())]
    }
}

impl Touchable for RouteTable {
    fn keys(&self, cx: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::TABLE_ID, self.id.clone()),
            (keys::VPC, arn::<Vpc>(cx, &self.vpc)),
        ]
    }
}

impl Touchable for DhcpOptions {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        vec![(keys::DHCP_ID, self.id.clone())]
    }
}

impl Touchable for NetworkAcl {
    fn keys(&self, cx: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::ACL_ID, self.id.clone()),
            (keys::VPC, arn::<Vpc>(cx, &self.vpc)),
        ]
    }
}

impl Touchable for SecurityGroup {
    fn keys(&self, cx: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::GROUP_ID, self.id.clone()),
            (keys::VPC, arn::<Vpc>(cx, &self.vpc)),
        ]
    }
}

impl Touchable for ElasticAddress {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::ALLOCATION_ID, self.id.clone()),
            (keys::PUBLIC_ADDRESS, self.public.to_string()),
            (keys::DOMAIN, "vpc".to_owned()),
        ]
    }
}

impl Touchable for TemplateRecord {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        vec![]
    }
}

impl Touchable for NatGateway {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        vec![]
    }
}

impl Touchable for Interface {
    fn keys(&self, cx: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::INTERFACE_ID, self.id.clone()),
            (keys::SUBNET, arn::<Subnet>(cx, &self.subnet)),
            (keys::VPC, arn::<Vpc>(cx, &self.vpc)),
            (keys::ZONE, self.zone.clone()),
            (keys::ZONE_ID, zones::id(&self.zone)),
        ]
    }
}

fn arn_of(cx: &Cx, kind: ResourceType, id: &str) -> String {
    cx.arn("ec2", &format!("{kind}/{id}"))
}

fn arn<R: Tagged>(cx: &Cx, id: &str) -> String {
    arn_of(cx, R::TYPE, id)
}

/// What has this id.
pub fn touched<R: Touchable>(cx: &Cx, id: &str) -> Touched {
    match cx.read(|tx| tx.get::<R>(&cx.key(id))) {
        Ok(Some(found)) => of_record(cx, &found),
        Ok(None) => Touched::absent(arn::<R>(cx, id)),
        // Nothing is known of its tags.
        Err(_) => Touched::named(arn::<R>(cx, id)),
    }
}

pub fn of_record<R: Touchable>(cx: &Cx, record: &R) -> Touched {
    let keys = record.keys(cx).into_iter();
    let touched = Touched::named(arn::<R>(cx, record.unique())).tagged(record.tags().clone());
    keys.fold(touched, |it, (name, value)| it.with_key(name, Some(value)))
}

pub fn any<R: Tagged>(cx: &Cx) -> Touched {
    Touched::any(arn::<R>(cx, "*"))
}

/// Something of this type that is to be made.
pub fn new(cx: &Cx, kind: ResourceType) -> Touched {
    Touched::absent(arn_of(cx, kind, "*"))
}

/// The key that every call supplies.
pub fn region<I>(cx: &Cx, _: &I) -> Vec<ConditionKey> {
    vec![ConditionKey::new(keys::REGION, Some(&cx.region))]
}

/// [`region`], and the attributes that a request changes, which it calls by their names: all of its members
/// but those that say of what.
pub fn with_attributes<I: Operation>(of: &'static str) -> impl Fn(&Cx, &I) -> Vec<ConditionKey> {
    move |cx, input| {
        let members = wire::to_json(input);
        let members = members.as_object().into_iter().flatten();
        let given = members.filter(|(name, value)| {
            let is_of = [of, "DryRun"]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(name));
            !is_of && !value.is_null()
        });
        let mut keys = region(cx, input);
        let mut names = Vec::new();
        for (name, value) in given {
            let mut letters = name.chars();
            let name: String = letters
                .next()
                .iter()
                .flat_map(|it| it.to_uppercase())
                .chain(letters)
                .collect();
            let key = format!("{}/{name}", keys::ATTRIBUTE);
            keys.push(ConditionKey::of_many(key, values_of(value)));
            names.push(name);
        }
        keys.push(ConditionKey::of_many(keys::ATTRIBUTE, names));
        keys
    }
}

/// Of `{"Value": true}`, of a list or of a text.
fn values_of(value: &Json) -> Vec<String> {
    match value {
        Json::Object(members) => members.values().flat_map(values_of).collect(),
        Json::Array(items) => items.iter().flat_map(values_of).collect(),
        Json::String(text) => vec![text.clone()],
        Json::Null => vec![],
        scalar => vec![scalar.to_string()],
    }
}

/// Describe operations name no resources.
pub fn describing<I: 'static>() -> Permission<I> {
    everywhere().supplying(&[keys::REGION], region)
}

/// On the one with this id.
pub fn on_one<R: Touchable, I: 'static>(id: fn(&I) -> &String) -> Permission<I> {
    on(R::TYPE.as_str(), move |cx, it| touched::<R>(cx, id(it)))
}

/// On the one with this id; on any where none is given.
pub fn on_some<R: Touchable, I: 'static>(id: fn(&I) -> Option<&String>) -> Permission<I> {
    on(R::TYPE.as_str(), move |cx, it| match id(it) {
        Some(id) => touched::<R>(cx, id),
        None => any::<R>(cx),
    })
}

/// The tags that a request asks for.
type Specified<I> = fn(&I) -> Option<&Vec<TagSpecification>>;

/// On something to be made. Its tags need the permission to tag.
pub fn on_new<R: Touchable, I: Operation>(tags: Specified<I>) -> Permission<I> {
    on(R::TYPE.as_str(), |cx, _: &I| new(cx, R::TYPE))
        .and("ec2:CreateTags", R::TYPE.as_str(), move |cx, it| {
            new_tagged(cx, R::TYPE, tags(it), I::NAME)
        })
        .lacking(keys::OF_ANYTHING)
}

fn new_tagged(
    cx: &Cx,
    kind: ResourceType,
    tags: Option<&Vec<TagSpecification>>,
    action: &str,
) -> Option<Touched> {
    let given = tags.is_some_and(|it| !it.is_empty());
    given.then(|| new(cx, kind).with_key(keys::CREATE_ACTION, Some(action)))
}

/// On a gateway and its VPC.
macro_rules! on_attachment {
    ($name:ident, $input:ident) => {
        pub fn $name() -> Permission<$input> {
            on_one::<InternetGateway, $input>(|it| &it.internet_gateway_id)
                .also(Vpc::TYPE.as_str(), |cx, it| touched::<Vpc>(cx, &it.vpc_id))
                .supplying(keys::OF_ATTACHMENT, region)
        }
    };
}
on_attachment!(on_attached, AttachInternetGatewayInput);
on_attachment!(on_detached, DetachInternetGatewayInput);

/// On a group whose rules are added to; their tags are those of new rules.
pub fn on_rules_of<I: Operation>(
    group: fn(&I) -> Option<&String>,
    tags: Specified<I>,
) -> Permission<I> {
    const RULE: ResourceType = ResourceType::SecurityGroupRule;
    on_some::<SecurityGroup, I>(group)
        .also(RULE.as_str(), move |cx, it| {
            let given = tags(it).is_some_and(|it| !it.is_empty());
            given.then(|| new(cx, RULE))
        })
        .and("ec2:CreateTags", RULE.as_str(), move |cx, it| {
            new_tagged(cx, RULE, tags(it), I::NAME)
        })
        .supplying(keys::OF_GROUP, region)
        .lacking(keys::OF_ANYTHING)
}

/// On the table that holds an association, and on its subnet.
pub fn on_association() -> Permission<DisassociateRouteTableInput> {
    on(
        RouteTable::TYPE.as_str(),
        |cx, it: &DisassociateRouteTableInput| match held_table(cx, &it.association_id) {
            Some(table) => of_record(cx, &table),
            None => any::<RouteTable>(cx),
        },
    )
    .also(Subnet::TYPE.as_str(), |cx, it| {
        associated_subnet(cx, &it.association_id)
    })
    .supplying(keys::OF_ASSOCIATION, region)
}

/// On the table that gets an association, the one that had it, and its subnet.
pub fn on_replaced_association() -> Permission<ReplaceRouteTableAssociationInput> {
    on_one::<RouteTable, ReplaceRouteTableAssociationInput>(|it| &it.route_table_id)
        .also(RouteTable::TYPE.as_str(), |cx, it| {
            held_table(cx, &it.association_id).map(|it| of_record(cx, &it))
        })
        .also(Subnet::TYPE.as_str(), |cx, it| {
            associated_subnet(cx, &it.association_id)
        })
        .supplying(keys::OF_ASSOCIATION, region)
}

/// On the network ACL that gets a subnet, the one that had it, and the subnet.
pub fn on_moved_acl() -> Permission<ReplaceNetworkAclAssociationInput> {
    type Input = ReplaceNetworkAclAssociationInput;
    let held = |cx: &Cx, it: &Input| -> Option<NetworkAcl> {
        cx.read(|tx| network_acl::holder(cx, tx, &it.association_id))
            .ok()
    };
    on_one::<NetworkAcl, Input>(|it| &it.network_acl_id)
        .also(NetworkAcl::TYPE.as_str(), move |cx, it| {
            held(cx, it).map(|it| of_record(cx, &it))
        })
        .also(Subnet::TYPE.as_str(), move |cx, it| {
            let acl = held(cx, it)?;
            let subnet = acl.associations.get(&it.association_id)?;
            Some(touched::<Subnet>(cx, subnet))
        })
        .supplying(keys::OF_MOVED_ACL, region)
}

fn held_table(cx: &Cx, association: &str) -> Option<RouteTable> {
    cx.read(|tx| route::holder(cx, tx, association)).ok()
}

fn associated_subnet(cx: &Cx, association: &str) -> Option<Touched> {
    let table = held_table(cx, association)?;
    let subnet = table.associations.get(association)?;
    Some(touched::<Subnet>(cx, subnet))
}

/// On an interface to be made, in its subnet, with its groups: the VPC's own when none is given.
pub fn on_new_interface() -> Permission<CreateNetworkInterfaceInput> {
    type Input = CreateNetworkInterfaceInput;
    const KIND: ResourceType = ResourceType::NetworkInterface;
    on(KIND.as_str(), |cx, it: &Input| {
        let subnet = touched::<Subnet>(cx, &it.subnet_id);
        let mut new = new(cx, KIND);
        let is_shared = |it: &ConditionKey| it.name != keys::SUBNET_ID;
        new.keys.extend(subnet.keys.into_iter().filter(is_shared));
        new
    })
    .also(Subnet::TYPE.as_str(), |cx, it| {
        touched::<Subnet>(cx, &it.subnet_id)
    })
    .also(SecurityGroup::TYPE.as_str(), |cx, it| {
        let given = it.groups.as_deref().unwrap_or_default();
        match given.is_empty() {
            true => default_group(cx, &it.subnet_id).into_iter().collect(),
            false => groups(cx, given),
        }
    })
    .and("ec2:CreateTags", KIND.as_str(), |cx, it| {
        new_tagged(cx, KIND, it.tag_specifications.as_ref(), Input::NAME)
    })
    .supplying(keys::OF_NEW_INTERFACE, region)
    .lacking(keys::OF_ANYTHING)
}

pub fn groups(cx: &Cx, ids: &[String]) -> Vec<Touched> {
    ids.iter()
        .map(|it| touched::<SecurityGroup>(cx, it))
        .collect()
}

pub fn default_group(cx: &Cx, subnet: &str) -> Option<Touched> {
    let vpc = cx.read(|tx| {
        let subnet = subnet::get(cx, tx, subnet)?;
        vpc::get(cx, tx, &subnet.vpc)
    });
    Some(touched::<SecurityGroup>(cx, &vpc.ok()?.default_group))
}

/// On an interface and the groups that it gets.
pub fn on_changed_interface() -> Permission<ModifyNetworkInterfaceAttributeInput> {
    type Input = ModifyNetworkInterfaceAttributeInput;
    on_one::<Interface, Input>(|it| &it.network_interface_id)
        .also(SecurityGroup::TYPE.as_str(), |cx, it| {
            groups(cx, it.groups.as_deref().unwrap_or_default())
        })
        .supplying(
            keys::OF_CHANGED_INTERFACE,
            with_attributes("NetworkInterfaceId"),
        )
        .lacking(keys::OF_INSTANCE)
}

pub fn on_released() -> Permission<ReleaseAddressInput> {
    type Input = ReleaseAddressInput;
    on(ElasticAddress::TYPE.as_str(), |cx, it: &Input| {
        address(cx, it.allocation_id.as_ref(), it.public_ip.as_ref())
    })
    .supplying(keys::OF_ADDRESS, region)
}

pub fn on_associated_address() -> Permission<AssociateAddressInput> {
    type Input = AssociateAddressInput;
    on(ElasticAddress::TYPE.as_str(), |cx, it: &Input| {
        address(cx, it.allocation_id.as_ref(), it.public_ip.as_ref())
    })
    .also(Interface::TYPE.as_str(), |cx, it| {
        let id = it.network_interface_id.as_ref();
        id.map(|it| touched::<Interface>(cx, it))
    })
    .supplying(keys::OF_ASSOCIATED_ADDRESS, region)
    .lacking(keys::OF_INSTANCE)
}

/// On the address that an association id or the address itself names, and on its interface.
pub fn on_disassociated_address() -> Permission<DisassociateAddressInput> {
    type Input = DisassociateAddressInput;
    let held = |cx: &Cx, it: &Input| {
        let (id, public) = (it.association_id.as_ref(), it.public_ip.as_ref());
        cx.read(|tx| elastic_address::held(cx, tx, id, public)).ok()
    };
    on(
        ElasticAddress::TYPE.as_str(),
        move |cx, it: &Input| match held(cx, it) {
            Some(found) => of_record(cx, &found),
            None => any::<ElasticAddress>(cx),
        },
    )
    .also(Interface::TYPE.as_str(), move |cx, it| {
        let association = held(cx, it)?.association?;
        Some(touched::<Interface>(cx, &association.interface))
    })
    .supplying(keys::OF_DISASSOCIATED_ADDRESS, region)
}

fn address(cx: &Cx, id: Option<&String>, public: Option<&String>) -> Touched {
    let unknown = match id {
        Some(id) => Touched::absent(arn::<ElasticAddress>(cx, id)),
        None => any::<ElasticAddress>(cx),
    };
    match cx.read(|tx| elastic_address::find(cx, tx, id, public)) {
        Ok(found) => of_record(cx, &found).asked_as(unknown.arn),
        Err(_) => unknown,
    }
}

/// On what has these ids, of whatever types.
pub fn on_ids<I: 'static>(ids: fn(&I) -> &Vec<String>) -> Permission<I> {
    let of = move |kind: ResourceType| {
        move |cx: &Cx, it: &I| -> Vec<Touched> {
            let of_kind = ids(it).iter().filter(|id| tags::type_of(id) == Some(kind));
            of_kind
                .filter_map(|id| tags::touched_by_id(cx, id))
                .collect()
        }
    };
    let (first, others) = tags::TYPES;
    let first = on(first.as_str(), of(*first));
    (others.iter()).fold(first, |it, kind| it.also(kind.as_str(), of(*kind)))
}

/// Whoever tags something that is there already creates nothing.
pub fn on_tagged() -> Permission<CreateTagsInput> {
    on_ids(|it: &CreateTagsInput| &it.resources)
        .supplying(&[keys::REGION], region)
        .lacking(keys::OF_ANYTHING)
}
