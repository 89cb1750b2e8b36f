//! Attributes of an instance, its metadata's options, and what its console says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::{Cx, Error, Records};
use shapes::ec2::{
    AttributeBooleanValue, AttributeValue, DescribeInstanceAttributeInput,
    DescribeInstanceAttributeOutput, EnclaveOptions, GetConsoleOutputInput, GetConsoleOutputOutput,
    GetInstanceUefiDataInput, GetInstanceUefiDataOutput, HttpTokensState, InstanceAttributeName,
    InstanceMetadataEndpointState, InstanceMetadataTagsState, ModifyInstanceAttributeInput,
    ModifyInstanceAttributeOutput, ModifyInstanceMetadataOptionsInput,
    ModifyInstanceMetadataOptionsOutput, ShutdownBehavior,
};

use super::record::{self, InstanceRecord, State};
use super::{reconciler, run, view};
use crate::errors::{
    IncorrectInstanceState, InvalidParameterCombination, InvalidParameterValue, unsupported,
};
use crate::interface;

pub async fn describe_instance_attribute(
    cx: Cx,
    input: DescribeInstanceAttributeInput,
) -> Result<DescribeInstanceAttributeOutput, Error> {
    cx.read(|tx| {
        let instance = record::get(&cx, tx, &input.instance_id)?;
        let mut out = DescribeInstanceAttributeOutput {
            instance_id: Some(instance.id.clone()),
            ..Default::default()
        };
        show_attribute(&cx, tx, &instance, input.attribute, &mut out)?;
        Ok(out)
    })
}

fn show_attribute(
    cx: &Cx,
    tx: &Records<'_>,
    instance: &InstanceRecord,
    attribute: InstanceAttributeName,
    out: &mut DescribeInstanceAttributeOutput,
) -> Result<(), Error> {
    let flag = |value: bool| Some(AttributeBooleanValue { value: Some(value) });
    let text = |value: &str| {
        Some(AttributeValue {
            value: Some(value.to_owned()),
        })
    };
    match attribute {
        InstanceAttributeName::InstanceType => out.instance_type = text(&instance.kind),
        InstanceAttributeName::UserData => {
            out.user_data = Some(AttributeValue {
                value: instance.user_data.clone(),
            });
        }
        InstanceAttributeName::DisableApiTermination => {
            out.disable_api_termination = flag(instance.is_kept_from_termination);
        }
        InstanceAttributeName::DisableApiStop => {
            out.disable_api_stop = flag(instance.is_kept_from_stop);
        }
        InstanceAttributeName::InstanceInitiatedShutdownBehavior => {
            let behavior = match instance.terminates_on_shutdown {
                true => ShutdownBehavior::Terminate,
                false => ShutdownBehavior::Stop,
            };
            out.instance_initiated_shutdown_behavior = text(&behavior.to_string());
        }
        InstanceAttributeName::RootDeviceName => {
            out.root_device_name = text(&instance.volume.device);
        }
        InstanceAttributeName::BlockDeviceMapping => {
            out.block_device_mappings = Some(vec![view::block_device(instance)]);
        }
        InstanceAttributeName::ProductCodes => out.product_codes = Some(vec![]),
        InstanceAttributeName::SourceDestCheck => out.source_dest_check = flag(true),
        InstanceAttributeName::GroupSet => {
            let interface = run::interface_of(cx, tx, instance)?;
            let groups = interface.map(|it| it.groups).unwrap_or_default();
            out.groups = Some(view::groups(cx, tx, &groups)?);
        }
        InstanceAttributeName::EbsOptimized => out.ebs_optimized = flag(instance.is_ebs_optimized),
        InstanceAttributeName::EnaSupport => out.ena_support = flag(true),
        InstanceAttributeName::EnclaveOptions => {
            out.enclave_options = Some(EnclaveOptions {
                enabled: Some(false),
            });
        }
        InstanceAttributeName::Kernel => out.kernel_id = Some(AttributeValue::default()),
        InstanceAttributeName::Ramdisk => out.ramdisk_id = Some(AttributeValue::default()),
        InstanceAttributeName::SriovNetSupport => {
            out.sriov_net_support = Some(AttributeValue::default());
        }
    }
    Ok(())
}

/// An attribute may be changed by its own member, or by its name and a value.
pub async fn modify_instance_attribute(
    cx: Cx,
    input: ModifyInstanceAttributeInput,
) -> Result<ModifyInstanceAttributeOutput, Error> {
    let input = named(input)?;
    cx.write(|tx| {
        let mut instance = record::get(&cx, tx, &input.instance_id)?;
        modify(&cx, tx, &input, &mut instance)?;
        tx.put(&instance)?;
        Ok(ModifyInstanceAttributeOutput {})
    })
}

fn named(mut input: ModifyInstanceAttributeInput) -> Result<ModifyInstanceAttributeInput, Error> {
    let Some(attribute) = input.attribute.take() else {
        return Ok(input);
    };
    let value = input.value.take().unwrap_or_default();
    let flag = || {
        Some(AttributeBooleanValue {
            value: Some(value == "true"),
        })
    };
    let text = || {
        Some(AttributeValue {
            value: Some(value.clone()),
        })
    };
    match attribute {
        InstanceAttributeName::InstanceType => input.instance_type = text(),
        InstanceAttributeName::DisableApiTermination => input.disable_api_termination = flag(),
        InstanceAttributeName::DisableApiStop => input.disable_api_stop = flag(),
        InstanceAttributeName::EbsOptimized => input.ebs_optimized = flag(),
        InstanceAttributeName::InstanceInitiatedShutdownBehavior => {
            input.instance_initiated_shutdown_behavior = text();
        }
        InstanceAttributeName::UserData => {
            let bytes = run::decoded(&value)?;
            input.user_data = Some(shapes::ec2::SecureBlobAttributeValue {
                value: Some(wire::Blob(bytes)),
            });
        }
        InstanceAttributeName::SourceDestCheck if value == "true" => {}
        other => return Err(unsupported(&format!("changing the attribute {other}"))),
    }
    Ok(input)
}

fn modify(
    cx: &Cx,
    tx: &Records<'_>,
    input: &ModifyInstanceAttributeInput,
    instance: &mut InstanceRecord,
) -> Result<(), Error> {
    let flag = |it: &Option<AttributeBooleanValue>| it.as_ref().and_then(|it| it.value);
    let text = |it: &Option<AttributeValue>| it.as_ref().and_then(|it| it.value.clone());
    if let Some(kind) = text(&input.instance_type) {
        must_be_stopped(instance, "instanceType")?;
        let found = run::find_kind(&kind)?;
        let burstable = found.family.is_burstable;
        instance.cpu_credits = burstable.then(|| found.family.credits.to_owned());
        instance.kind = kind;
    }
    if let Some(blob) = input.user_data.as_ref().and_then(|it| it.value.as_ref()) {
        must_be_stopped(instance, "userData")?;
        let text = BASE64.encode(&blob.0);
        run::check_user_data(&text)?;
        instance.user_data = Some(text).filter(|it| !it.is_empty());
    }
    if let Some(is_on) = flag(&input.ebs_optimized) {
        must_be_stopped(instance, "ebsOptimized")?;
        instance.is_ebs_optimized = is_on;
    }
    if let Some(is_on) = flag(&input.disable_api_termination) {
        instance.is_kept_from_termination = is_on;
    }
    if let Some(is_on) = flag(&input.disable_api_stop) {
        instance.is_kept_from_stop = is_on;
    }
    if let Some(behavior) = text(&input.instance_initiated_shutdown_behavior) {
        instance.terminates_on_shutdown = match behavior.as_str() {
            "terminate" => true,
            "stop" => false,
            other => {
                return Err(InvalidParameterValue.because(format!(
                    "Value ({other}) for parameter instanceInitiatedShutdownBehavior is invalid. Unknown \
                     shutdown behavior."
                )));
            }
        };
    }
    if let Some(groups) = input.groups.as_ref().filter(|it| !it.is_empty()) {
        interface::set_groups(cx, tx, &instance.interface, groups)?;
    }
    Ok(())
}

fn must_be_stopped(instance: &InstanceRecord, attribute: &str) -> Result<(), Error> {
    match instance.state {
        State::Stopped => Ok(()),
        _ => Err(IncorrectInstanceState.because(format!(
            "The instance '{}' is not in the 'stopped' state: its '{attribute}' cannot be changed.",
            instance.id
        ))),
    }
}

pub async fn modify_metadata_options(
    cx: Cx,
    input: ModifyInstanceMetadataOptionsInput,
) -> Result<ModifyInstanceMetadataOptionsOutput, Error> {
    let nothing = input.http_tokens.is_none()
        && input.http_put_response_hop_limit.is_none()
        && input.http_endpoint.is_none()
        && input.instance_metadata_tags.is_none();
    if nothing {
        return Err(InvalidParameterCombination
            .because("At least one of the metadata options has to be specified."));
    }
    cx.write(|tx| {
        let mut instance = record::get(&cx, tx, &input.instance_id)?;
        let options = &mut instance.metadata;
        if let Some(tokens) = input.http_tokens {
            options.needs_token = tokens == HttpTokensState::Required;
        }
        if let Some(hops) = input.http_put_response_hop_limit {
            options.hops = run::check_hops(hops)?;
        }
        if let Some(endpoint) = input.http_endpoint {
            options.is_served = endpoint == InstanceMetadataEndpointState::Enabled;
        }
        if let Some(has_tags) = input.instance_metadata_tags {
            options.has_tags = has_tags == InstanceMetadataTagsState::Enabled;
        }
        tx.put(&instance)?;
        Ok(ModifyInstanceMetadataOptionsOutput {
            instance_id: Some(instance.id.clone()),
            instance_metadata_options: Some(view::metadata(&instance.metadata)),
        })
    })
}

/// Instances boot as machines with a BIOS do, and such have no UEFI data.
pub async fn get_uefi_data(
    cx: Cx,
    input: GetInstanceUefiDataInput,
) -> Result<GetInstanceUefiDataOutput, Error> {
    let instance = cx.read(|tx| record::get(&cx, tx, &input.instance_id))?;
    Ok(GetInstanceUefiDataOutput {
        instance_id: Some(instance.id),
        uefi_data: Some(String::new()),
    })
}

pub async fn get_console_output(
    cx: Cx,
    input: GetConsoleOutputInput,
) -> Result<GetConsoleOutputOutput, Error> {
    /// What AWS keeps of it.
    const BYTES_MAX: usize = 64 * 1024;
    let instance = cx.read(|tx| record::get(&cx, tx, &input.instance_id))?;
    let events = reconciler::console(&cx, &instance.id).await;
    let events = events.map_err(cloud::internal)?;
    let last_ms = events.last().map(|it| it.timestamp_ms);
    let mut text = String::new();
    for event in &events {
        text.push_str(&event.message);
        text.push_str("\r\n");
    }
    let mut from = text.len().saturating_sub(BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    Ok(GetConsoleOutputOutput {
        instance_id: Some(instance.id),
        timestamp: Some(view::at(last_ms.unwrap_or(instance.launched_ms))),
        output: Some(BASE64.encode(&text[from..])),
    })
}
