//! New material for a key, once a period or at once. What was encrypted before stays readable.

use cloud::{Cx, Error};
use shapes::kms::*;

use crate::find::{self, key_itself, limit, own_key, usable};
use crate::key::add_material;
use crate::record::{KeyRecord, Rotation, State, date};

pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// AWS's default.
const PERIOD_DAYS: i32 = 365;
/// AWS's quota of rotations that somebody asked for, per key.
const ON_DEMAND_MAX: usize = 25;

fn next(period_days: i32, from_ms: i64) -> Rotation {
    Rotation {
        period_days,
        next_ms: from_ms + i64::from(period_days) * DAY_MS,
    }
}

/// What the keys that AWS manages have.
pub fn yearly(from_ms: i64) -> Rotation {
    next(PERIOD_DAYS, from_ms)
}

/// Rotates a key whose period is over; otherwise for how long it is not.
pub fn due(cx: &Cx, tx: &cloud::Records<'_>, key: &mut KeyRecord) -> Result<Option<i64>, Error> {
    let Some(rotation) = key.rotation.clone().filter(|_| key.state == State::Enabled) else {
        return Ok(None);
    };
    let now = cx.clock().now_ms();
    if rotation.next_ms > now {
        return Ok(Some(rotation.next_ms - now));
    }
    add_material(cx, tx, key, Some(RotationType::Automatic))?;
    let following = next(rotation.period_days, now);
    let left = following.next_ms - now;
    key.rotation = Some(following);
    tx.put(key)?;
    Ok(Some(left))
}

pub async fn enable_key_rotation(
    cx: Cx,
    input: EnableKeyRotationInput,
) -> Result<EnableKeyRotationOutput, Error> {
    cx.write(|tx| {
        let mut key = own_key(&cx, tx, &input.key_id, "EnableKeyRotation")?;
        usable(&key)?;
        let before = key.rotation.as_ref();
        let period = input.rotation_period_in_days;
        let period = period.or(before.map(|it| it.period_days));
        let period = period.unwrap_or(PERIOD_DAYS);
        if before.is_none_or(|it| it.period_days != period) {
            key.rotation = Some(next(period, cx.clock().now_ms()));
            tx.put(&key)?;
        }
        Ok(EnableKeyRotationOutput {})
    })
}

pub async fn disable_key_rotation(
    cx: Cx,
    input: DisableKeyRotationInput,
) -> Result<DisableKeyRotationOutput, Error> {
    cx.write(|tx| {
        let mut key = own_key(&cx, tx, &input.key_id, "DisableKeyRotation")?;
        usable(&key)?;
        key.rotation = None;
        tx.put(&key)?;
        Ok(DisableKeyRotationOutput {})
    })
}

pub async fn get_key_rotation_status(
    cx: Cx,
    input: GetKeyRotationStatusInput,
) -> Result<GetKeyRotationStatusOutput, Error> {
    let key = cx.read(|tx| key_itself(&cx, tx, &input.key_id))?;
    let is_kept = !matches!(key.state, State::PendingDeletion { .. });
    let rotation = key.rotation.as_ref().filter(|_| is_kept);
    Ok(GetKeyRotationStatusOutput {
        key_rotation_enabled: Some(rotation.is_some()),
        key_id: Some(key.arn()),
        rotation_period_in_days: rotation.map(|it| it.period_days),
        next_rotation_date: rotation.and_then(|it| date(it.next_ms)),
        on_demand_rotation_start_date: None,
    })
}

pub async fn rotate_key_on_demand(
    cx: Cx,
    input: RotateKeyOnDemandInput,
) -> Result<RotateKeyOnDemandOutput, Error> {
    cx.write(|tx| {
        let mut key = own_key(&cx, tx, &input.key_id, "RotateKeyOnDemand")?;
        usable(&key)?;
        let on_demand =
            |it: &&crate::record::MaterialFacts| it.rotated == Some(RotationType::OnDemand);
        if key.materials.iter().filter(on_demand).count() >= ON_DEMAND_MAX {
            return Err(errors::LimitExceededException.because(format!(
                "A key can be rotated on demand no more than {ON_DEMAND_MAX} times."
            )));
        }
        add_material(&cx, tx, &mut key, Some(RotationType::OnDemand))?;
        tx.put(&key)?;
        Ok(RotateKeyOnDemandOutput {
            key_id: Some(key.arn()),
        })
    })
}

pub async fn list_key_rotations(
    cx: Cx,
    input: ListKeyRotationsInput,
) -> Result<ListKeyRotationsOutput, Error> {
    /// AWS's default, and its most.
    const PAGE: usize = 100;
    const PAGE_MAX: usize = 1000;
    let key = cx.read(|tx| key_itself(&cx, tx, &input.key_id))?;
    find::not_pending(&key)?;
    let is_all = input.include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
    let last = key.materials.len().saturating_sub(1);
    let listed = (key.materials.iter().enumerate())
        .filter(|(_, it)| is_all || it.rotated.is_some())
        .skip_while(|(_, it)| {
            let marker = input.marker.as_ref();
            marker.is_some_and(|marker| marker != &it.id)
        })
        .skip(usize::from(input.marker.is_some()));
    let count = limit(input.limit, PAGE, PAGE_MAX);
    let mut rotations: Vec<_> = listed
        .take(count + 1)
        .map(|(at, it)| RotationsListEntry {
            key_id: Some(key.arn()),
            key_material_id: Some(it.id.clone()),
            key_material_state: Some(match at == last {
                true => KeyMaterialState::Current,
                false => KeyMaterialState::NonCurrent,
            }),
            rotation_date: it.rotated.and_then(|_| date(it.made_ms)),
            rotation_type: it.rotated,
            ..Default::default()
        })
        .collect();
    let more = rotations.len() > count;
    rotations.truncate(count);
    let marker = rotations.last().filter(|_| more);
    Ok(ListKeyRotationsOutput {
        next_marker: marker.and_then(|it| it.key_material_id.clone()),
        rotations: Some(rotations),
        truncated: Some(more),
    })
}
