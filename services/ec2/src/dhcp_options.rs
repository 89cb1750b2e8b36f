//! DHCP options: what interfaces of a VPC are told of names when they come up. Every region has a set of its own
//! that its VPCs begin with (VPC User Guide, "DHCP option sets in Amazon VPC").
//!
//! The domain becomes what containers look names up in, and a set without Amazon's name server is one without names.
//! Name servers of somebody else are refused by name; time and NetBIOS servers are kept for who asks: no container
//! asks for them, here or on Fargate.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, AssociateDhcpOptionsInput, AssociateDhcpOptionsOutput, AttributeValue,
    CreateDhcpOptionsInput, CreateDhcpOptionsOutput, DeleteDhcpOptionsInput,
    DeleteDhcpOptionsOutput, DescribeDhcpOptionsInput, DescribeDhcpOptionsOutput,
    DhcpConfiguration, NewDhcpConfiguration, ResourceType,
};

use crate::addresses::private_domain;
use crate::errors::{
    DependencyViolation, InvalidDhcpOptionIdNotFound, InvalidParameterValue, MissingParameter,
    not_found, unsupported,
};
use crate::filters::{Filtered, page, select};
use crate::tags::{self, Tags};
use crate::vpc::{self, Vpc};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DhcpOptions {
    pub id: String,
    pub region: String,
    /// What each option is set to.
    pub options: BTreeMap<String, Vec<String>>,
    pub tags: Tags,
}

impl Record for DhcpOptions {
    const KIND: &'static str = "ec2.dhcp-options";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

const DOMAIN_NAME: &str = "domain-name";
const DOMAIN_NAME_SERVERS: &str = "domain-name-servers";
const AMAZON: &str = "AmazonProvidedDNS";
/// Those that neither a container here nor one on Fargate asks for.
const KEPT: &[&str] = &["netbios-name-servers", "netbios-node-type", "ntp-servers"];
/// Name servers, time servers and NetBIOS servers of one set (EC2 API reference, "CreateDhcpOptions").
const SERVERS_MAX: usize = 4;
/// A domain's name is no longer (RFC 1035).
const DOMAIN_LENGTH_MAX: usize = 253;
/// What stands for no set at all.
const NONE: &str = "default";

/// The id of the region's own, of which there is no record.
pub fn default_id(region: &str) -> String {
    format!("dopt-{}", cloud::token_hex(region, "dopt-", 17))
}

fn default_options(cx: &Cx) -> DhcpOptions {
    DhcpOptions {
        id: default_id(&cx.region),
        region: cx.region.clone(),
        options: BTreeMap::from([
            (DOMAIN_NAME.to_owned(), vec![private_domain(&cx.region)]),
            (DOMAIN_NAME_SERVERS.to_owned(), vec![AMAZON.to_owned()]),
        ]),
        tags: Tags::new(),
    }
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<DhcpOptions, Error> {
    if id == default_id(&cx.region) {
        return Ok(default_options(cx));
    }
    tx.get(&cx.key(id))?
        .ok_or_else(|| not_found(InvalidDhcpOptionIdNotFound, "dhcpOption", id))
}

/// What interfaces of a VPC look names up in. None: nobody tells them who answers names.
pub fn search(cx: &Cx, tx: &Records<'_>, vpc: &Vpc) -> Result<Option<Vec<String>>, Error> {
    let options = match &vpc.dhcp_options {
        None => default_options(cx),
        Some(id) if id == NONE => return Ok(None),
        Some(id) => get(cx, tx, id)?,
    };
    if !options.options.contains_key(DOMAIN_NAME_SERVERS) {
        return Ok(None);
    }
    let domains = options.options.get(DOMAIN_NAME).into_iter().flatten();
    // Linux takes several, with blanks between them.
    let domains = domains.flat_map(|it| it.split_whitespace());
    Ok(Some(domains.map(str::to_owned).collect()))
}

fn read(given: &[NewDhcpConfiguration]) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut options = BTreeMap::new();
    for one in given {
        let key = one.key.clone().unwrap_or_default();
        let values = one.values.clone().unwrap_or_default();
        check(&key, &values)?;
        if options.insert(key.clone(), values).is_some() {
            return Err(InvalidParameterValue.because(format!("The option '{key}' is there twice")));
        }
    }
    match options.is_empty() {
        true => {
            Err(MissingParameter
                .because("The request must contain the parameter DhcpConfigurations"))
        }
        false => Ok(options),
    }
}

fn check(key: &str, values: &[String]) -> Result<(), Error> {
    let invalid = |value: &str| {
        Err(InvalidParameterValue.because(format!(
            "Value ({value}) for parameter {key} is invalid. Invalid DHCP option value."
        )))
    };
    if values.is_empty() || values.len() > SERVERS_MAX {
        return invalid(&values.join(", "));
    }
    match key {
        DOMAIN_NAME => {
            let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_. ".contains(it);
            let fits = |it: &String| it.len() <= DOMAIN_LENGTH_MAX && it.chars().all(is_plain);
            match values.iter().find(|it| !fits(it)) {
                Some(odd) => invalid(odd),
                None => Ok(()),
            }
        }
        DOMAIN_NAME_SERVERS if values == [AMAZON] => Ok(()),
        DOMAIN_NAME_SERVERS => Err(unsupported(&format!(
            "a name server other than {AMAZON} in DHCP options"
        ))),
        _ if KEPT.contains(&key) => Ok(()),
        _ => Err(InvalidParameterValue.because(format!(
            "Value ({key}) for parameter key is invalid. Unknown DHCP option."
        ))),
    }
}

pub async fn create_dhcp_options(
    cx: Cx,
    input: CreateDhcpOptionsInput,
) -> Result<CreateDhcpOptionsOutput, Error> {
    let options = read(&input.dhcp_configurations)?;
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::DhcpOptions)?;
    cx.write(|tx| {
        let made = DhcpOptions {
            id: cx.new_id("dopt-", 17),
            region: cx.region.clone(),
            options: options.clone(),
            tags: tags.clone(),
        };
        let options = match tx.get::<DhcpOptions>(&made.key())? {
            Some(existing) => existing,
            None => {
                tx.put(&made)?;
                made
            }
        };
        Ok(CreateDhcpOptionsOutput {
            dhcp_options: Some(shown(&cx, &options)),
        })
    })
}

fn shown(cx: &Cx, options: &DhcpOptions) -> ec2::DhcpOptions {
    let value = |it: &String| AttributeValue {
        value: Some(it.clone()),
    };
    let all = options
        .options
        .iter()
        .map(|(key, values)| DhcpConfiguration {
            key: Some(key.clone()),
            values: Some(values.iter().map(value).collect()),
        });
    ec2::DhcpOptions {
        owner_id: Some(cx.account().to_owned()),
        tags: tags::shown(&options.tags),
        dhcp_options_id: Some(options.id.clone()),
        dhcp_configurations: Some(all.collect()),
    }
}

impl Filtered for DhcpOptions {
    const FILTERS: &'static [&'static str] = &["dhcp-options-id", "key", "owner-id", "value"];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "dhcp-options-id" => vec![self.id.clone()],
            "key" => self.options.keys().cloned().collect(),
            "value" => self.options.values().flatten().cloned().collect(),
            _ => vec![],
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_dhcp_options(
    cx: Cx,
    input: DescribeDhcpOptionsInput,
) -> Result<DescribeDhcpOptionsOutput, Error> {
    let found = cx.read(|tx| match &input.dhcp_options_ids {
        Some(ids) => ids.iter().map(|id| get(&cx, tx, id)).collect(),
        None => {
            let mut all = tx.list::<DhcpOptions>(&cx.key(""))?;
            all.push(default_options(&cx));
            Ok(all)
        }
    })?;
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeDhcpOptionsOutput {
        next_token,
        dhcp_options: Some(found.iter().map(|it| shown(&cx, it)).collect()),
    })
}

pub async fn delete_dhcp_options(
    cx: Cx,
    input: DeleteDhcpOptionsInput,
) -> Result<DeleteDhcpOptionsOutput, Error> {
    cx.write(|tx| {
        let options = get(&cx, tx, &input.dhcp_options_id)?;
        let vpcs = tx.list::<Vpc>(&cx.key(""))?;
        let uses = |it: &Vpc| !it.deleting && it.dhcp_options_id() == options.id;
        if vpcs.iter().any(uses) {
            return Err(DependencyViolation.because(format!(
                "The dhcpOptions '{}' has dependencies and cannot be deleted.",
                options.id
            )));
        }
        // There is no record of it that could go.
        if options.id == default_id(&cx.region) {
            return Err(unsupported("deleting a region's own set of DHCP options"));
        }
        tx.delete::<DhcpOptions>(&options.key())?;
        Ok(DeleteDhcpOptionsOutput {})
    })
}

pub async fn associate_dhcp_options(
    cx: Cx,
    input: AssociateDhcpOptionsInput,
) -> Result<AssociateDhcpOptionsOutput, Error> {
    cx.write(|tx| {
        let mut vpc = vpc::get(&cx, tx, &input.vpc_id)?;
        let id = &input.dhcp_options_id;
        vpc.dhcp_options = match id.as_str() {
            NONE => Some(NONE.to_owned()),
            _ if *id == default_id(&cx.region) => None,
            _ => Some(get(&cx, tx, id)?.id),
        };
        tx.put(&vpc)?;
        vpc::touch(&cx, tx, &vpc.id)?;
        Ok(AssociateDhcpOptionsOutput {})
    })
}
