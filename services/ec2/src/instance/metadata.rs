//! What an instance is told at 169.254.169.254: the instance metadata service, in both versions (EC2 User
//! Guide, "Access instance metadata"). The question came by an interface, which says who asks.
//!
//! A token (version 2) is made of its end and of a signature by a key of the instance's own, so nothing is
//! kept of it and it outlives the daemon.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE as BASE64;
use cloud::{Cloud, Cx, Error};
use ring::hmac;
use serde_json::{Value as Json, json};
use shapes::iam::GetInstanceProfileInput;
use shapes::sts::AssumeRoleInput;

use super::record::InstanceRecord;
use super::{run, view};
use crate::addresses;
use crate::group::SecurityGroup;
use crate::interface::{self, Interface};
use crate::subnet::Subnet;
use crate::vpc::Vpc;
use crate::zones;

/// Who takes on the role of an instance's profile.
pub const PRINCIPAL: &str = "ec2.amazonaws.com";

/// A session here may be an hour long.
const SESSION_SECONDS: i32 = 3600;

/// How long a token may be good for: six hours.
const TOKEN_SECONDS_MAX: i64 = 21_600;

/// A question, as far as it matters.
#[derive(Debug, Clone, Copy)]
pub struct MetadataRequest<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// `X-aws-ec2-metadata-token`.
    pub token: Option<&'a str>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`.
    pub seconds: Option<&'a str>,
    /// `X-Forwarded-For` is there: somebody passes on what others ask, who are to have no token.
    pub is_forwarded: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MetadataAnswer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// How many networks it may pass on its way; None: as many as any.
    pub hops: Option<u32>,
    /// For how many seconds the token in it is good.
    pub seconds: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum MetadataTold {
    Answer(MetadataAnswer),
    /// The credentials of the role with this ARN, which [`instance_credentials`] makes.
    Credentials(String),
}

impl MetadataAnswer {
    /// What was asked for.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            content_type: "text/plain",
            body: body.into(),
            hops: None,
            seconds: None,
        }
    }

    /// That there is nothing, or not for who asks.
    pub fn refused(status: u16, title: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 \
             Transitional//EN\"\n\t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html \
             xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n <head>\n  <title>{status} - \
             {title}</title>\n </head>\n <body>\n  <h1>{status} - {title}</h1>\n </body>\n</html>\n"
        );
        Self {
            status,
            content_type: "text/html",
            body: body.into_bytes(),
            hops: None,
            seconds: None,
        }
    }
}

/// The instance that has an interface, and a context of its region.
fn find(cloud: &Arc<Cloud>, interface: &str) -> Option<(Cx, InstanceRecord)> {
    let (region, id) = interface::instance_of(cloud, interface)?;
    let cx = cloud.daemon_context(&region);
    let found = cx
        .read(|tx| tx.get::<InstanceRecord>(&cx.key(&id)))
        .ok()??;
    Some((cx, found))
}

/// What who asks by an interface is told.
pub async fn metadata(
    cloud: &Arc<Cloud>,
    interface: &str,
    request: MetadataRequest<'_>,
) -> Result<MetadataTold, Error> {
    let refused = |status, title| Ok(MetadataTold::Answer(MetadataAnswer::refused(status, title)));
    let Some((cx, instance)) = find(cloud, interface) else {
        return refused(404, "Not Found");
    };
    if !instance.metadata.is_served {
        return refused(403, "Forbidden");
    }
    let now_s = cx.clock().now_ms() / 1000;
    let path = request.path.split('?').next().unwrap_or_default();
    let is_token = path.trim_end_matches('/') == "/latest/api/token";
    match request.method {
        "PUT" if is_token => return Ok(MetadataTold::Answer(token(&instance, request, now_s))),
        "GET" if is_token => return refused(405, "Method Not Allowed"),
        "GET" | "HEAD" => {}
        _ => return refused(405, "Method Not Allowed"),
    }
    match request.token {
        Some(token) if !is_good(&instance, token, now_s) => return refused(401, "Unauthorized"),
        None if instance.metadata.needs_token => return refused(401, "Unauthorized"),
        _ => {}
    }
    let parts: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    let Some((version, parts)) = parts.split_first() else {
        return Ok(MetadataTold::Answer(MetadataAnswer::text(
            "1.0\n2021-07-15\nlatest",
        )));
    };
    if *version != "latest" && !is_version(version) {
        return refused(404, "Not Found");
    }
    let told = told(&cx, &instance, parts).await?;
    Ok(told.unwrap_or_else(|| MetadataTold::Answer(MetadataAnswer::refused(404, "Not Found"))))
}

/// `1.0`, or a date.
fn is_version(text: &str) -> bool {
    let dated = text.len() == 10 && text.bytes().all(|it| it.is_ascii_digit() || it == b'-');
    text == "1.0" || dated
}

async fn told(
    cx: &Cx,
    instance: &InstanceRecord,
    parts: &[&str],
) -> Result<Option<MetadataTold>, Error> {
    let text = |body: String| Some(MetadataTold::Answer(MetadataAnswer::text(body)));
    Ok(match parts {
        [] => text("dynamic\nmeta-data\nuser-data".to_owned()),
        ["user-data"] => match &instance.user_data {
            Some(data) => Some(MetadataTold::Answer(MetadataAnswer {
                content_type: "application/octet-stream",
                ..MetadataAnswer::text(run::decoded(data)?)
            })),
            None => None,
        },
        ["dynamic"] => text("instance-identity/".to_owned()),
        ["dynamic", "instance-identity"] => text("document".to_owned()),
        ["dynamic", "instance-identity", "document"] => {
            text(format!("{:#}", identity(cx, instance)))
        }
        ["meta-data", rest @ ..] => {
            let role = role(cx, instance).await?;
            if let (["iam", "security-credentials", name], Some((known, arn))) = (rest, &role) {
                return Ok((name == known).then(|| MetadataTold::Credentials(arn.clone())));
            }
            let leaves =
                cx.read(|tx| leaves(cx, tx, instance, role.as_ref().map(|it| it.0.as_str())))?;
            look(&leaves, rest).and_then(text)
        }
        _ => None,
    })
}

/// A value, or what there is below a path.
fn look(leaves: &BTreeMap<String, String>, parts: &[&str]) -> Option<String> {
    let path = parts.join("/");
    if let Some(value) = leaves.get(&path) {
        return Some(value.clone());
    }
    let below = match path.as_str() {
        "" => String::new(),
        path => format!("{path}/"),
    };
    let mut names: Vec<String> = Vec::new();
    for name in leaves.keys().filter_map(|it| it.strip_prefix(&below)) {
        let name = match name.split_once('/') {
            // A key is listed with its name.
            Some((index, _)) if path == "public-keys" => {
                format!(
                    "{index}={}",
                    leaves.get("public-keys/0/=").map_or("", |it| it)
                )
            }
            Some((folder, _)) => format!("{folder}/"),
            None => name.to_owned(),
        };
        if name != "=" && names.last() != Some(&name) {
            names.push(name);
        }
    }
    names.dedup();
    (!names.is_empty()).then(|| names.join("\n"))
}

fn leaves(
    cx: &Cx,
    tx: &cloud::Records<'_>,
    instance: &InstanceRecord,
    role: Option<&str>,
) -> Result<BTreeMap<String, String>, Error> {
    let interface = run::interface_of(cx, tx, instance)?;
    let vpc = tx.get::<Vpc>(&cx.key(&instance.vpc))?;
    let public = interface.as_ref().and_then(|it| it.public_address);
    let has_names = vpc.as_ref().is_some_and(|it| it.dns_hostnames);
    let public_name = public
        .filter(|_| has_names)
        .map(|it| view::public_name(&instance.region, it));
    let local_name = view::private_name(instance);
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |name: &str, value: &str| drop(out.insert(name.to_owned(), value.to_owned()));
    put("ami-id", &instance.image);
    put("ami-launch-index", &instance.launch_index.to_string());
    put("ami-manifest-path", "(unknown)");
    put(
        "block-device-mapping/ami",
        instance.volume.device.trim_start_matches("/dev/"),
    );
    put("block-device-mapping/root", &instance.volume.device);
    put("hostname", &local_name);
    put("instance-action", "none");
    put("instance-id", &instance.id);
    put("instance-life-cycle", "on-demand");
    put("instance-type", &instance.kind);
    put("local-hostname", &local_name);
    put("local-ipv4", &instance.address.to_string());
    put(
        "mac",
        &addresses::mac_text(addresses::mac(instance.address)),
    );
    put("placement/availability-zone", &instance.zone);
    put("placement/availability-zone-id", &zones::id(&instance.zone));
    put("placement/region", &instance.region);
    put("profile", "default-hvm");
    put(
        "public-hostname",
        public_name.as_deref().unwrap_or_default(),
    );
    if let Some(public) = public {
        put("public-ipv4", &public.to_string());
    }
    put("reservation-id", &instance.reservation);
    put("services/domain", "amazonaws.com");
    put("services/partition", "aws");
    if let (Some(name), Some(key)) = (&instance.key_name, &instance.public_key) {
        put("public-keys/0/openssh-key", &format!("{key}\n"));
        put("public-keys/0/=", name);
    }
    if let Some(profile) = &instance.profile {
        let info = json!({
            "Code": "Success",
            "LastUpdated": view::at(profile.since_ms).to_string(),
            "InstanceProfileArn": profile.arn,
            "InstanceProfileId": profile.id,
        });
        put("iam/info", &format!("{info:#}"));
    }
    if let Some(role) = role {
        put(&format!("iam/security-credentials/{role}"), "");
    }
    if instance.metadata.has_tags {
        for (name, value) in &instance.tags {
            put(&format!("tags/instance/{name}"), value);
        }
    }
    if let Some(interface) = interface {
        let groups = names_of(cx, tx, &interface)?;
        put("security-groups", &groups.join("\n"));
        let subnet = tx.get::<Subnet>(&cx.key(&interface.subnet))?;
        let of = OfNetwork {
            vpc: vpc.map(|it| it.range.to_string()),
            subnet: subnet.map(|it| it.range.to_string()),
            groups,
            public,
            public_name,
            local_name,
        };
        network(cx, instance, &interface, &of, &mut put);
    }
    Ok(out)
}

fn names_of(cx: &Cx, tx: &cloud::Records<'_>, interface: &Interface) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for id in &interface.groups {
        names.extend(tx.get::<SecurityGroup>(&cx.key(id))?.map(|it| it.name));
    }
    Ok(names)
}

struct OfNetwork {
    vpc: Option<String>,
    subnet: Option<String>,
    groups: Vec<String>,
    public: Option<Ipv4Addr>,
    public_name: Option<String>,
    local_name: String,
}

fn network(
    cx: &Cx,
    instance: &InstanceRecord,
    interface: &Interface,
    of: &OfNetwork,
    put: &mut impl FnMut(&str, &str),
) {
    let mac = addresses::mac_text(addresses::mac(interface.address));
    let mut put = |name: &str, value: &str| {
        put(&format!("network/interfaces/macs/{mac}/{name}"), value);
    };
    put("device-number", "0");
    put("interface-id", &interface.id);
    put("local-hostname", &of.local_name);
    put("local-ipv4s", &interface.address.to_string());
    put("mac", &mac);
    put("owner-id", cx.account());
    put("security-group-ids", &interface.groups.join("\n"));
    put("security-groups", &of.groups.join("\n"));
    put("subnet-id", &instance.subnet);
    put(
        "subnet-ipv4-cidr-block",
        of.subnet.as_deref().unwrap_or_default(),
    );
    put("vpc-id", &instance.vpc);
    put("vpc-ipv4-cidr-block", of.vpc.as_deref().unwrap_or_default());
    put(
        "vpc-ipv4-cidr-blocks",
        of.vpc.as_deref().unwrap_or_default(),
    );
    if let Some(public) = of.public {
        let (public, private) = (public.to_string(), interface.address.to_string());
        put(&format!("ipv4-associations/{public}"), &private);
        put(
            "public-hostname",
            of.public_name.as_deref().unwrap_or_default(),
        );
        put("public-ipv4s", &public);
    }
}

fn identity(cx: &Cx, instance: &InstanceRecord) -> Json {
    json!({
        "accountId": cx.account(),
        "architecture": view::architecture(instance),
        "availabilityZone": instance.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.kind,
        "kernelId": null,
        "pendingTime": view::at(instance.launched_ms / 1000 * 1000).to_string(),
        "privateIp": instance.address.to_string(),
        "ramdiskId": null,
        "region": instance.region,
        "version": "2017-09-30",
    })
}

/// Name and ARN of the role that its profile has now.
async fn role(cx: &Cx, instance: &InstanceRecord) -> Result<Option<(String, String)>, Error> {
    let Some(profile) = &instance.profile else {
        return Ok(None);
    };
    let input = GetInstanceProfileInput {
        instance_profile_name: profile.name.clone(),
    };
    let found = match cx.call(input).await {
        Ok(found) => found.instance_profile,
        Err(error) if error.status >= 500 => return Err(error),
        Err(_) => return Ok(None),
    };
    // Another one that was given its name since is another's.
    if found.instance_profile_id != profile.id {
        return Ok(None);
    }
    let role = found.roles.into_iter().next();
    Ok(role.map(|it| (it.role_name, it.arn)))
}

/// The credentials of the role of an instance's profile, as the SDKs read them there. None when who asks has
/// none.
pub async fn instance_credentials(
    cloud: &Arc<Cloud>,
    interface: &str,
) -> Result<Option<Json>, Error> {
    let Some((cx, instance)) = find(cloud, interface) else {
        return Ok(None);
    };
    let Some((_, role_arn)) = role(&cx, &instance).await? else {
        return Ok(None);
    };
    let input = AssumeRoleInput {
        role_arn,
        role_session_name: instance.id.clone(),
        duration_seconds: Some(SESSION_SECONDS),
        ..Default::default()
    };
    let own_arn = cx.arn("ec2", &format!("instance/{}", instance.id));
    let session = cx.as_service_for(PRINCIPAL, own_arn).call(input).await?;
    let session = session.credentials.unwrap_or_default();
    Ok(Some(json!({
        "Code": "Success",
        "LastUpdated": view::at(cx.clock().now_ms() / 1000 * 1000).to_string(),
        "Type": "AWS-HMAC",
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "Expiration": session.expiration.to_string(),
    })))
}

fn key_of(instance: &InstanceRecord) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, instance.metadata_key.as_bytes())
}

/// Bytes of a token before its signature: its end.
const END_BYTES: usize = 8;

fn token(instance: &InstanceRecord, request: MetadataRequest<'_>, now_s: i64) -> MetadataAnswer {
    if request.is_forwarded {
        return MetadataAnswer::refused(403, "Forbidden");
    }
    let seconds = request.seconds.and_then(|it| it.trim().parse::<i64>().ok());
    let Some(seconds) = seconds.filter(|it| (1..=TOKEN_SECONDS_MAX).contains(it)) else {
        return MetadataAnswer::refused(400, "Bad Request");
    };
    let end = now_s.saturating_add(seconds).to_be_bytes();
    let signature = hmac::sign(&key_of(instance), &end);
    let token = BASE64.encode([&end[..], signature.as_ref()].concat());
    MetadataAnswer {
        hops: u32::try_from(instance.metadata.hops).ok(),
        seconds: Some(seconds),
        ..MetadataAnswer::text(token)
    }
}

fn is_good(instance: &InstanceRecord, token: &str, now_s: i64) -> bool {
    let Ok(bytes) = BASE64.decode(token.trim()) else {
        return false;
    };
    let Some((end, signature)) = bytes.split_first_chunk::<END_BYTES>() else {
        return false;
    };
    let is_ours = hmac::verify(&key_of(instance), end, signature).is_ok();
    is_ours && now_s < i64::from_be_bytes(*end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_value_or_what_is_below_it() {
        let leaves: BTreeMap<String, String> = [
            ("ami-id", "ami-1"),
            ("placement/region", "r"),
            ("public-keys/0/openssh-key", "ssh-rsa x"),
            ("public-keys/0/=", "mine"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let at = |path: &[&str]| look(&leaves, path);
        assert_eq!(at(&[]).unwrap(), "ami-id\nplacement/\npublic-keys/");
        assert_eq!(at(&["placement"]).unwrap(), "region");
        assert_eq!(at(&["placement", "region"]).unwrap(), "r");
        assert_eq!(at(&["public-keys"]).unwrap(), "0=mine");
        assert_eq!(at(&["public-keys", "0"]).unwrap(), "openssh-key");
        assert_eq!(at(&["nothing"]), None);
    }
}
