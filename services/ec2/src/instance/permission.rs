//! What operations on instances and key pairs touch.

use cloud::permission::on;
use cloud::{ConditionKey, Cx, Permission, Touched};
use shapes::ec2::{
    AssociateIamInstanceProfileInput, CreateKeyPairInput, DeleteKeyPairInput,
    DisassociateIamInstanceProfileInput, ImportKeyPairInput, ModifyInstanceAttributeInput,
    ModifyInstanceMetadataOptionsInput, ResourceType, RunInstancesInput, Tag,
};
use wire::Operation;

use super::catalogue;
use super::key_pair::{self, KeyPairRecord};
use super::metadata::PRINCIPAL;
use super::profile;
use super::record::InstanceRecord;
use super::view;
use crate::group::SecurityGroup;
use crate::keys;
use crate::launch_template::{self, TemplateRecord, touched_template};
use crate::permissions::{
    Touchable, any, default_group, groups, new, of_record, region, touched, with_attributes,
};
use crate::subnet::Subnet;
use crate::tags::Tagged;
use crate::zones;

impl Touchable for InstanceRecord {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        let metadata = view::metadata(&self.metadata);
        let text = |value: Option<String>| value.unwrap_or_default();
        let mut all = vec![
            (keys::ZONE, self.zone.clone()),
            (keys::ZONE_ID, zones::id(&self.zone)),
            (keys::EBS_OPTIMIZED, self.is_ebs_optimized.to_string()),
            (keys::AUTO_RECOVERY, "default".to_owned()),
            (keys::INSTANCE_ID, self.id.clone()),
            (keys::MARKET_TYPE, "on-demand".to_owned()),
            (keys::INSTANCE_TYPE, self.kind.clone()),
            (
                keys::METADATA_ENDPOINT,
                text(metadata.http_endpoint.map(|it| it.to_string())),
            ),
            (keys::METADATA_HOPS, self.metadata.hops.to_string()),
            (
                keys::METADATA_TOKENS,
                text(metadata.http_tokens.map(|it| it.to_string())),
            ),
            (
                keys::METADATA_TAGS,
                text(metadata.instance_metadata_tags.map(|it| it.to_string())),
            ),
            (keys::ROOT_DEVICE, "ebs".to_owned()),
            (keys::TENANCY, "default".to_owned()),
        ];
        let profile = self.profile.as_ref();
        all.extend(profile.map(|it| (keys::INSTANCE_PROFILE, it.arn.clone())));
        all
    }
}

impl Touchable for KeyPairRecord {
    fn keys(&self, _: &Cx) -> Vec<(&'static str, String)> {
        vec![
            (keys::KEY_NAME, self.name.clone()),
            (keys::KEY_TYPE, self.kind.to_string()),
        ]
    }
}

/// On one instance.
pub fn on_instance<I: 'static>(id: fn(&I) -> &String) -> Permission<I> {
    on(InstanceRecord::TYPE.as_str(), move |cx, it| {
        touched::<InstanceRecord>(cx, id(it))
    })
    .supplying(keys::OF_ONE_INSTANCE, region)
}

/// On each of several.
pub fn on_instances<I: 'static>(ids: fn(&I) -> &Vec<String>) -> Permission<I> {
    on(
        InstanceRecord::TYPE.as_str(),
        move |cx: &Cx, it: &I| -> Vec<Touched> {
            ids(it)
                .iter()
                .map(|id| touched::<InstanceRecord>(cx, id))
                .collect()
        },
    )
    .supplying(keys::OF_ONE_INSTANCE, region)
}

pub fn on_changed_instance() -> Permission<ModifyInstanceAttributeInput> {
    type Input = ModifyInstanceAttributeInput;
    on_instance(|it: &Input| &it.instance_id)
        .also(SecurityGroup::TYPE.as_str(), |cx, it| {
            groups(cx, it.groups.as_deref().unwrap_or_default())
        })
        .supplying(keys::OF_CHANGED_INSTANCE, with_attributes("InstanceId"))
}

pub fn on_changed_metadata() -> Permission<ModifyInstanceMetadataOptionsInput> {
    on_instance(|it: &ModifyInstanceMetadataOptionsInput| &it.instance_id)
        .supplying(keys::OF_CHANGED_METADATA, with_attributes("InstanceId"))
}

pub fn on_new_profile() -> Permission<AssociateIamInstanceProfileInput> {
    on_instance(|it: &AssociateIamInstanceProfileInput| &it.instance_id)
        .passing_by_itself(PRINCIPAL)
        .supplying(keys::OF_NEW_PROFILE, |cx, it| {
            let mut all = region(cx, it);
            let arn = profile_arn(
                cx,
                it.iam_instance_profile.arn.as_ref(),
                it.iam_instance_profile.name.as_ref(),
            );
            all.push(ConditionKey::new(keys::NEW_PROFILE, arn));
            all
        })
}

/// A profile that is named is taken for one at the root of all paths.
fn profile_arn(cx: &Cx, arn: Option<&String>, name: Option<&String>) -> Option<String> {
    let named = name.map(|it| format!("arn:aws:iam::{}:instance-profile/{it}", cx.account()));
    arn.cloned().or(named)
}

pub fn on_associated_profile() -> Permission<DisassociateIamInstanceProfileInput> {
    type Input = DisassociateIamInstanceProfileInput;
    on(
        InstanceRecord::TYPE.as_str(),
        |cx, it: &Input| match profile::holder(cx, &it.association_id) {
            Some(id) => touched::<InstanceRecord>(cx, &id),
            None => any::<InstanceRecord>(cx),
        },
    )
    .supplying(keys::OF_ONE_INSTANCE, region)
}

/// Whether a request gives tags to what it makes of this kind.
fn tags_for(it: &RunInstancesInput, kind: ResourceType) -> impl Iterator<Item = &Tag> {
    let all = it.tag_specifications.iter().flatten();
    let own = all.filter(move |it| it.resource_type == Some(kind));
    own.flat_map(|it| it.tags.iter().flatten())
}

pub fn on_run() -> Permission<RunInstancesInput> {
    type Input = RunInstancesInput;
    const INSTANCE: ResourceType = ResourceType::Instance;
    const VOLUME: ResourceType = ResourceType::Volume;
    const INTERFACE: ResourceType = ResourceType::NetworkInterface;
    let tagged = |kind: ResourceType| {
        launched(move |cx: &Cx, it: &Input| {
            let given = tags_for(it, kind).next().is_some();
            given.then(|| new(cx, kind).with_key(keys::CREATE_ACTION, Some(Input::NAME)))
        })
    };
    on(ResourceType::Image.as_str(), launched(image))
        .also(INSTANCE.as_str(), launched(new_instance))
        .also(VOLUME.as_str(), launched(new_volume))
        .also(
            INTERFACE.as_str(),
            launched(|cx, it| {
                let mut interface = new(cx, INTERFACE);
                let public = it.network_interfaces.iter().flatten();
                let public = public
                    .filter_map(|it| it.associate_public_ip_address)
                    .next();
                interface
                    .keys
                    .push(ConditionKey::new(keys::PUBLIC_ON_LAUNCH, public));
                let subnet = subnet(it).map(|id| touched::<Subnet>(cx, id));
                let is_shared = |it: &ConditionKey| it.name != keys::SUBNET_ID;
                let shared = subnet.into_iter().flat_map(|it| it.keys).filter(is_shared);
                interface.keys.extend(shared);
                interface
            }),
        )
        .also(
            Subnet::TYPE.as_str(),
            launched(|cx, it| match subnet(it) {
                Some(id) => touched::<Subnet>(cx, id),
                None => any::<Subnet>(cx),
            }),
        )
        .also(SecurityGroup::TYPE.as_str(), launched(security_groups))
        .also(
            KeyPairRecord::TYPE.as_str(),
            launched(|cx, it| key(cx, it.key_name.as_ref())),
        )
        .also(TemplateRecord::TYPE.as_str(), template)
        .and("ec2:CreateTags", INSTANCE.as_str(), tagged(INSTANCE))
        .and("ec2:CreateTags", VOLUME.as_str(), tagged(VOLUME))
        .and("ec2:CreateTags", INTERFACE.as_str(), tagged(INTERFACE))
        .passing_by_itself(PRINCIPAL)
        .supplying(keys::OF_NEW_INSTANCE, |cx, it| {
            let mut all = region(cx, it);
            let template = template(cx, it).map(|it| it.arn);
            let alone = template.is_some().then(|| is_of_template_alone(it));
            all.push(ConditionKey::new(keys::LAUNCH_TEMPLATE, template));
            all.push(ConditionKey::new(keys::OF_TEMPLATE_ALONE, alone));
            all
        })
        .lacking(keys::OF_ANYTHING)
}

/// What is touched follows from what is launched: the request's own members over those of its template.
fn launched<T>(
    touches: impl Fn(&Cx, &RunInstancesInput) -> T,
) -> impl Fn(&Cx, &RunInstancesInput) -> T {
    move |cx, it| touches(cx, &launch_template::filled(cx, it))
}

fn template(cx: &Cx, it: &RunInstancesInput) -> Option<Touched> {
    let given = it.launch_template.as_ref()?;
    let (id, name) = (&given.launch_template_id, &given.launch_template_name);
    Some(touched_template(cx, id.as_ref(), name.as_ref()))
}

/// AWS says it of each resource; who replaces one of them is told of all that they are not the template's.
fn is_of_template_alone(it: &RunInstancesInput) -> bool {
    let bare = RunInstancesInput {
        min_count: it.min_count,
        max_count: it.max_count,
        launch_template: it.launch_template.clone(),
        client_token: it.client_token.clone(),
        dry_run: it.dry_run,
        tag_specifications: it.tag_specifications.clone(),
        ..Default::default()
    };
    bare == *it
}

fn subnet(it: &RunInstancesInput) -> Option<&String> {
    let of_interface = it.network_interfaces.iter().flatten();
    let of_interface = of_interface.filter_map(|it| it.subnet_id.as_ref()).next();
    of_interface.or(it.subnet_id.as_ref())
}

fn image(cx: &Cx, it: &RunInstancesInput) -> Touched {
    let id = it.image_id.as_deref().unwrap_or("*");
    // An image is its owner's: its ARN has no account.
    let arn = format!("arn:aws:ec2:{}::image/{id}", cx.region);
    let found = catalogue::find(&cx.region, id);
    let owner = found
        .as_ref()
        .map(|it| it.owner.alias.unwrap_or(it.owner.account));
    Touched::absent(arn)
        .with_key(keys::IMAGE_TYPE, Some("machine"))
        .with_key(keys::OWNER, owner)
        .with_key(keys::IS_PUBLIC, Some("true"))
        .with_key(keys::ROOT_DEVICE, Some("ebs"))
}

fn new_instance(cx: &Cx, it: &RunInstancesInput) -> Touched {
    let metadata = it.metadata_options.clone().unwrap_or_default();
    let profile = it.iam_instance_profile.as_ref();
    let profile = profile.and_then(|it| profile_arn(cx, it.arn.as_ref(), it.name.as_ref()));
    new(cx, ResourceType::Instance)
        .with_key(keys::INSTANCE_TYPE, it.instance_type.as_ref())
        .with_key(keys::INSTANCE_PROFILE, profile)
        .with_key(keys::EBS_OPTIMIZED, Some(it.ebs_optimized == Some(true)))
        .with_key(keys::MARKET_TYPE, Some("on-demand"))
        .with_key(keys::METADATA_ENDPOINT, metadata.http_endpoint)
        .with_key(keys::METADATA_HOPS, metadata.http_put_response_hop_limit)
        .with_key(keys::METADATA_TOKENS, metadata.http_tokens)
        .with_key(keys::METADATA_TAGS, metadata.instance_metadata_tags)
        .with_key(keys::ROOT_DEVICE, Some("ebs"))
        .with_key(keys::TENANCY, Some("default"))
}

fn new_volume(cx: &Cx, it: &RunInstancesInput) -> Touched {
    let given = it.block_device_mappings.iter().flatten();
    let given = given.filter_map(|it| it.ebs.as_ref()).next();
    new(cx, ResourceType::Volume)
        .with_key(keys::ENCRYPTED, Some(false))
        .with_key(keys::VOLUME_SIZE, given.and_then(|it| it.volume_size))
        .with_key(keys::VOLUME_TYPE, given.and_then(|it| it.volume_type))
}

fn security_groups(cx: &Cx, it: &RunInstancesInput) -> Vec<Touched> {
    let of_interface = it.network_interfaces.iter().flatten();
    let mut of_interface = of_interface.filter_map(|it| it.groups.as_deref());
    let given = of_interface.next().or(it.security_group_ids.as_deref());
    let given = given.unwrap_or_default();
    match (given, subnet(it)) {
        ([], Some(subnet)) if it.security_groups.is_none() => {
            default_group(cx, subnet).into_iter().collect()
        }
        ([], _) => vec![any::<SecurityGroup>(cx)],
        (given, _) => groups(cx, given),
    }
}

fn key(cx: &Cx, name: Option<&String>) -> Option<Touched> {
    let name = name?;
    // A key pair's ARN has its name.
    Some(match key_pair::find(cx, Some(name), None) {
        Ok(Some(found)) => Touched {
            arn: key_arn(cx, name),
            ..of_record(cx, &found)
        },
        _ => Touched::absent(key_arn(cx, name)),
    })
}

fn key_arn(cx: &Cx, name: &str) -> String {
    cx.arn("ec2", &format!("key-pair/{name}"))
}

pub fn on_created_key() -> Permission<CreateKeyPairInput> {
    type Input = CreateKeyPairInput;
    on(KeyPairRecord::TYPE.as_str(), |cx, it: &Input| {
        Touched::absent(key_arn(cx, &it.key_name)).with_key(keys::KEY_TYPE, it.key_type)
    })
    .and("ec2:CreateTags", KeyPairRecord::TYPE.as_str(), |cx, it| {
        let given = it
            .tag_specifications
            .as_ref()
            .is_some_and(|it| !it.is_empty());
        given.then(|| new_key(cx, &it.key_name, Input::NAME))
    })
    .supplying(keys::OF_NEW_KEY, region)
    .lacking(keys::OF_ANYTHING)
}

pub fn on_imported_key() -> Permission<ImportKeyPairInput> {
    type Input = ImportKeyPairInput;
    on(KeyPairRecord::TYPE.as_str(), |cx, it: &Input| {
        Touched::absent(key_arn(cx, &it.key_name))
    })
    .and("ec2:CreateTags", KeyPairRecord::TYPE.as_str(), |cx, it| {
        let given = it
            .tag_specifications
            .as_ref()
            .is_some_and(|it| !it.is_empty());
        given.then(|| new_key(cx, &it.key_name, Input::NAME))
    })
    .supplying(&[keys::REGION], region)
    .lacking(keys::OF_ANYTHING)
}

fn new_key(cx: &Cx, name: &str, action: &str) -> Touched {
    Touched::absent(key_arn(cx, name)).with_key(keys::CREATE_ACTION, Some(action))
}

pub fn on_key() -> Permission<DeleteKeyPairInput> {
    type Input = DeleteKeyPairInput;
    on(
        KeyPairRecord::TYPE.as_str(),
        |cx, it: &Input| match key_pair::find(cx, it.key_name.as_ref(), it.key_pair_id.as_ref()) {
            Ok(Some(found)) => key(cx, Some(&found.name)),
            _ => Some(any::<KeyPairRecord>(cx)),
        },
    )
    .supplying(keys::OF_KEY, region)
}
