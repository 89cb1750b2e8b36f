//! Account settings: kept and shown. Every one that is shown as effective is what neargate does.

use cloud::{Cx, Error};
use shapes::ecs::*;

use crate::launch::invalid;
use crate::record::AccountSetting;
use crate::refuse::unsupported;

/// Settings with AWS's defaults.
const DEFAULTS: [(SettingName, &str); 9] = [
    (SettingName::AwsvpcTrunking, "disabled"),
    (SettingName::ContainerInsights, "disabled"),
    (SettingName::ContainerInstanceLongArnFormat, "enabled"),
    (SettingName::DefaultLogDriverMode, "non-blocking"),
    (SettingName::FargateFIPSMode, "disabled"),
    (SettingName::FargateTaskRetirementWaitPeriod, "7"),
    (SettingName::ServiceLongArnFormat, "enabled"),
    (SettingName::TagResourceAuthorization, "off"),
    (SettingName::TaskLongArnFormat, "enabled"),
];

fn default_of(name: SettingName) -> Option<&'static str> {
    DEFAULTS
        .iter()
        .find(|(it, _)| *it == name)
        .map(|(_, value)| *value)
}

/// Whether a setting is `on`; one that cannot be read is.
pub fn is_on(cx: &Cx, name: SettingName) -> bool {
    match cx.read(|tx| tx.get::<AccountSetting>(&cx.key(name.as_str()))) {
        Ok(Some(own)) => own.value == "on",
        Ok(None) => default_of(name) == Some("on"),
        Err(_) => true,
    }
}

fn shown(cx: &Cx, name: SettingName, value: &str) -> Setting {
    Setting {
        name: Some(name),
        value: Some(value.to_owned()),
        principal_arn: Some(format!("arn:aws:iam::{}:root", cx.account())),
        r#type: Some(SettingType::User),
    }
}

fn put(cx: &Cx, name: SettingName, value: String) -> Result<Setting, Error> {
    if default_of(name).is_none() {
        return Err(unsupported(format!("account setting {name}")));
    }
    let long_arn = matches!(
        name,
        SettingName::ServiceLongArnFormat
            | SettingName::TaskLongArnFormat
            | SettingName::ContainerInstanceLongArnFormat
    );
    if long_arn && value != "enabled" {
        return Err(invalid(
            "You can not opt out of the long ARN format: it is the only one in use.",
        ));
    }
    let record = AccountSetting {
        region: cx.region.clone(),
        name: name.to_string(),
        value,
    };
    cx.write(|tx| tx.put(&record))?;
    Ok(shown(cx, name, &record.value))
}

pub async fn put_account_setting(
    cx: Cx,
    input: PutAccountSettingInput,
) -> Result<PutAccountSettingOutput, Error> {
    put(&cx, input.name, input.value).map(|it| PutAccountSettingOutput { setting: Some(it) })
}

pub async fn put_account_setting_default(
    cx: Cx,
    input: PutAccountSettingDefaultInput,
) -> Result<PutAccountSettingDefaultOutput, Error> {
    put(&cx, input.name, input.value).map(|it| PutAccountSettingDefaultOutput { setting: Some(it) })
}

pub async fn delete_account_setting(
    cx: Cx,
    input: DeleteAccountSettingInput,
) -> Result<DeleteAccountSettingOutput, Error> {
    cx.write(|tx| tx.delete::<AccountSetting>(&cx.key(input.name.as_str())))?;
    let value = default_of(input.name).unwrap_or_default();
    Ok(DeleteAccountSettingOutput {
        setting: Some(shown(&cx, input.name, value)),
    })
}

pub async fn list_account_settings(
    cx: Cx,
    input: ListAccountSettingsInput,
) -> Result<ListAccountSettingsOutput, Error> {
    let kept = cx.read(|tx| tx.list::<AccountSetting>(&cx.key("")))?;
    let effective = input.effective_settings == Some(true);
    let settings = DEFAULTS.iter().filter_map(|(name, default)| {
        let own = kept
            .iter()
            .find(|it| it.name == name.as_str())
            .map(|it| it.value.as_str());
        own.or(effective.then_some(*default))
            .map(|value| shown(&cx, *name, value))
    });
    let settings = settings
        .filter(|it| input.name.is_none_or(|name| it.name == Some(name)))
        .filter(|it| input.value.is_none() || it.value == input.value);
    Ok(ListAccountSettingsOutput {
        settings: Some(settings.collect()),
        next_token: None,
    })
}
