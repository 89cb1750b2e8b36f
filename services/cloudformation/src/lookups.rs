//! What a request names outside of its template: parameters of the Parameter Store, and things of
//! EC2 that have to exist.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error};
use shapes::{ec2, ssm};
use template::{ParameterType, ParameterValue, Template};

use crate::check::invalid;
use crate::forms::is_public;
use crate::permissions::PRINCIPAL;
use crate::record::Version;

/// How many names one call of GetParameters takes.
const NAMES_IN_A_CALL: usize = 10;

/// Looks up what the version's parameters name. A template or a parameter that is wrong in itself is
/// left for those who check it.
pub async fn complete(cx: &Cx, version: &mut Version) -> Result<(), Error> {
    let Ok(template) = Template::parse(&version.template) else {
        return Ok(());
    };
    version.stored = stored(cx, &template, &version.parameters).await?;
    let Ok(values) = version.values(&template) else {
        return Ok(());
    };
    let mut named: Vec<(String, String, String)> = Vec::new();
    for (name, parameter) in &template.parameters {
        let Some(kind) = parameter.parameter_type.named_kind() else {
            continue;
        };
        let items = match values.get(name).map(|it| &it.value) {
            Some(ParameterValue::Text(one)) => vec![one.clone()],
            Some(ParameterValue::List(items)) => items.clone(),
            None => Vec::new(),
        };
        named.extend(
            items
                .into_iter()
                .map(|it| (name.clone(), kind.to_owned(), it)),
        );
    }
    for (name, kind, value) in named {
        if !exists(cx, &kind, &value).await? {
            return Err(invalid(format!(
                "Parameter validation failed: parameter value {value} for parameter name {name} does not exist"
            )));
        }
    }
    Ok(())
}

/// What is stored under the names that were given, by the template's own names. It is read in the
/// name of whoever asks: a stack's outputs could show it to them.
async fn stored(
    cx: &Cx,
    template: &Template,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Error> {
    let wanted: BTreeMap<&String, &String> = (template.parameters.iter())
        .filter(|(_, it)| {
            matches!(
                it.parameter_type,
                ParameterType::Stored(_) | ParameterType::StoredName
            )
        })
        .filter_map(|(name, it)| Some((name, given.get(name).or(it.default.as_ref())?)))
        .collect();
    let names: Vec<String> = (wanted.values())
        .map(|it| (*it).clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let asking = cx.in_the_callers_name(PRINCIPAL);
    let mut found = BTreeMap::new();
    for names in names.chunks(NAMES_IN_A_CALL) {
        let answer = asking
            .call(ssm::GetParametersInput {
                names: names.to_vec(),
                with_decryption: None,
            })
            .await?;
        for parameter in answer.parameters.unwrap_or_default() {
            if parameter.r#type == Some(ssm::ParameterType::SecureString) {
                return Err(invalid(format!(
                    "Parameters [{}] referenced by template have types not supported by CloudFormation.",
                    parameter.name.unwrap_or_default()
                )));
            }
            let selector = parameter.selector.unwrap_or_default();
            if let (Some(name), Some(value)) = (parameter.name, parameter.value) {
                found.insert(format!("{name}{selector}"), value);
            }
        }
    }
    let missing: Vec<&str> = (names.iter())
        .filter(|it| !found.contains_key(*it))
        .map(String::as_str)
        .collect();
    if let Some(name) = missing.iter().find(|it| is_public(it)) {
        return Err(invalid(format!(
            "AWS's public parameter {name} is not supported by neargate. Give the parameter another name's value, or its literal value."
        )));
    }
    if !missing.is_empty() {
        return Err(invalid(format!(
            "Unable to fetch parameters [{}] from parameter store for this account.",
            missing.join(",")
        )));
    }
    Ok((wanted.into_iter())
        .filter(|(name, _)| {
            matches!(
                template.parameters[*name].parameter_type,
                ParameterType::Stored(_)
            )
        })
        .map(|(name, key)| (name.clone(), found[key].clone()))
        .collect())
}

/// Whether a thing of this kind exists. Of kinds that neargate has nothing of (images, key pairs,
/// volumes), nothing is said: a parameter that is not used does no harm.
async fn exists(cx: &Cx, kind: &str, value: &str) -> Result<bool, Error> {
    let one = || Some(vec![value.to_owned()]);
    let found = match kind {
        "AWS::EC2::VPC::Id" => {
            let input = ec2::DescribeVpcsInput {
                vpc_ids: one(),
                ..Default::default()
            };
            cx.call(input).await.map(|_| true)
        }
        "AWS::EC2::Subnet::Id" => {
            let input = ec2::DescribeSubnetsInput {
                subnet_ids: one(),
                ..Default::default()
            };
            cx.call(input).await.map(|_| true)
        }
        "AWS::EC2::SecurityGroup::Id" => {
            let input = ec2::DescribeSecurityGroupsInput {
                group_ids: one(),
                ..Default::default()
            };
            cx.call(input).await.map(|_| true)
        }
        "AWS::EC2::SecurityGroup::GroupName" => {
            let input = ec2::DescribeSecurityGroupsInput {
                group_names: one(),
                ..Default::default()
            };
            cx.call(input).await.map(|_| true)
        }
        "AWS::EC2::AvailabilityZone::Name" => {
            let zones = cx
                .call(ec2::DescribeAvailabilityZonesInput::default())
                .await?;
            let zones = zones.availability_zones.unwrap_or_default();
            Ok(zones
                .iter()
                .any(|it| it.zone_name.as_deref() == Some(value)))
        }
        _ => Ok(true),
    };
    match found {
        // EC2 says of an unknown id, and of one that is none, that the request is wrong.
        Err(error) if error.status < 500 => Ok(false),
        other => other,
    }
}
