//! Instance profiles of instances that are there.

use cloud::{Cx, Error};
use shapes::ec2::{
    AssociateIamInstanceProfileInput, AssociateIamInstanceProfileOutput,
    DescribeIamInstanceProfileAssociationsInput, DescribeIamInstanceProfileAssociationsOutput,
    DisassociateIamInstanceProfileInput, DisassociateIamInstanceProfileOutput,
    IamInstanceProfileAssociation, IamInstanceProfileAssociationState,
};

use super::record::{self, InstanceRecord, ProfileUse, State};
use super::{run, view};
use crate::errors::{IncorrectState, InvalidParameterValue, NoSuchAssociation};
use crate::filters::{Filtered, page, select};
use crate::tags::Tags;

struct FoundAssociation {
    profile: ProfileUse,
    instance: String,
    none: Tags,
}

impl Filtered for FoundAssociation {
    const FILTERS: &'static [&'static str] = &["instance-id", "state"];
    fn unique(&self) -> &str {
        &self.profile.association
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "instance-id" => vec![self.instance.clone()],
            _ => vec!["associated".into()],
        }
    }
    fn tags(&self) -> &Tags {
        &self.none
    }
}

fn shown(
    profile: &ProfileUse,
    instance: &str,
    state: IamInstanceProfileAssociationState,
) -> IamInstanceProfileAssociation {
    IamInstanceProfileAssociation {
        association_id: Some(profile.association.clone()),
        iam_instance_profile: Some(view::profile(profile)),
        instance_id: Some(instance.to_owned()),
        state: Some(state),
        timestamp: Some(view::at(profile.since_ms)),
    }
}

pub async fn associate_profile(
    cx: Cx,
    input: AssociateIamInstanceProfileInput,
) -> Result<AssociateIamInstanceProfileOutput, Error> {
    let profile = run::profile(&cx, &input.iam_instance_profile).await?;
    let profile = profile.ok_or_else(|| {
        InvalidParameterValue.because("An instance profile's name or ARN has to be given.")
    })?;
    cx.write(|tx| {
        let mut instance = record::get(&cx, tx, &input.instance_id)?;
        if instance.profile.is_some() {
            return Err(IncorrectState.because(format!(
                "There is an existing association for instance {}",
                instance.id
            )));
        }
        if instance.state.is_ending() {
            return Err(IncorrectState.because(format!(
                "The instance {} is not in the 'running' or 'stopped' states.",
                instance.id
            )));
        }
        let profile = ProfileUse {
            association: cx.new_id("iip-assoc-", 17),
            ..profile
        };
        let associating = IamInstanceProfileAssociationState::Associating;
        let association = shown(&profile, &instance.id, associating);
        instance.profile = Some(profile);
        tx.put(&instance)?;
        Ok(AssociateIamInstanceProfileOutput {
            iam_instance_profile_association: Some(association),
        })
    })
}

pub async fn disassociate_profile(
    cx: Cx,
    input: DisassociateIamInstanceProfileInput,
) -> Result<DisassociateIamInstanceProfileOutput, Error> {
    cx.write(|tx| {
        let all = tx.list::<InstanceRecord>(&cx.key(""))?;
        let held = |it: &ProfileUse| it.association == input.association_id;
        let found = all
            .into_iter()
            .find(|it| it.profile.as_ref().is_some_and(held));
        let mut instance = found.ok_or_else(|| {
            NoSuchAssociation.because(format!(
                "An invalid association-id of '{}' was given",
                input.association_id
            ))
        })?;
        let profile = instance.profile.take();
        tx.put(&instance)?;
        let disassociating = IamInstanceProfileAssociationState::Disassociating;
        Ok(DisassociateIamInstanceProfileOutput {
            iam_instance_profile_association: profile
                .map(|it| shown(&it, &instance.id, disassociating)),
        })
    })
}

/// The instance that has an association, for permissions.
pub fn holder(cx: &Cx, association: &str) -> Option<String> {
    let all = cx.read(|tx| tx.list::<InstanceRecord>(&cx.key(""))).ok()?;
    let held = |it: &ProfileUse| it.association == association;
    let found = all
        .into_iter()
        .find(|it| it.profile.as_ref().is_some_and(held));
    Some(found?.id)
}

pub async fn describe_profile_associations(
    cx: Cx,
    input: DescribeIamInstanceProfileAssociationsInput,
) -> Result<DescribeIamInstanceProfileAssociationsOutput, Error> {
    let all = cx.read(|tx| tx.list::<InstanceRecord>(&cx.key("")))?;
    let live = all.into_iter().filter(|it| it.state != State::Terminated);
    let mut found: Vec<FoundAssociation> = live
        .filter_map(|it| {
            Some(FoundAssociation {
                profile: it.profile?,
                instance: it.id,
                none: Tags::new(),
            })
        })
        .collect();
    if let Some(ids) = input.association_ids.as_ref().filter(|it| !it.is_empty()) {
        found.retain(|it| ids.contains(&it.profile.association));
    }
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    let associated = IamInstanceProfileAssociationState::Associated;
    let shown = found
        .iter()
        .map(|it| shown(&it.profile, &it.instance, associated));
    Ok(DescribeIamInstanceProfileAssociationsOutput {
        iam_instance_profile_associations: Some(shown.collect()),
        next_token,
    })
}
