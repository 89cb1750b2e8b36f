//! What calls of Secrets Manager need permission for: secrets, by the record that a name or either form of
//! ARN finds, so that each is one resource however it is spelled. A secret's own policy goes with it.

use cloud::permission::{ConditionKey, Permission};
use cloud::{Cx, Touched, permission};
use shapes::secretsmanager::*;

use crate::names::find_any;
use crate::record::SecretRecord;

/// Of the reference: the only type of resource.
const SECRET: &str = "Secret";

/// The condition keys that every operation on a secret has.
const OF_SECRET: &[&str] = &[
    "secretsmanager:SecretId",
    "secretsmanager:SecretPrimaryRegion",
    "secretsmanager:resource/AllowRotationLambdaArn",
    "secretsmanager:resource/Type",
];

fn touched(secret: SecretRecord) -> Touched {
    Touched::named(secret.arn())
        .tagged(secret.tags)
        .bound_by(secret.policy)
}

/// The secret that an id finds. One that is not there has an ARN whose last letters are anybody's guess.
pub fn secret(cx: &Cx, id: &str) -> Touched {
    match cx.read(|tx| find_any(cx, tx, id)) {
        Ok(found) => touched(found),
        Err(error) if error.status < 500 => absent(cx, id),
        // Its tags and its policy are not known.
        Err(_) => Touched::named(absent(cx, id).arn),
    }
    // The last letters of its ARN are not told to who does not know them.
    .asked_as(id)
}

fn absent(cx: &Cx, id: &str) -> Touched {
    if id.starts_with("arn:") {
        return Touched::absent(id);
    }
    let pattern = cx.arn("secretsmanager", &format!("secret:{id}-??????"));
    Touched {
        is_any: true,
        ..Touched::absent(pattern)
    }
}

/// What all operations on a secret tell of it.
fn keys_of(cx: &Cx, id: &str) -> Vec<ConditionKey> {
    let arn = secret(cx, id).arn;
    vec![
        ConditionKey::new("secretsmanager:SecretId", Some(arn)),
        ConditionKey::new("secretsmanager:SecretPrimaryRegion", Some(&cx.region)),
    ]
}

/// The operation's action on one secret, with the keys that every operation supplies.
pub fn on_secret<I: 'static>(id: fn(&I) -> &str) -> Permission<I> {
    on_secret_with(id, OF_SECRET, |_| Vec::new())
}

/// The same with keys of its own; `names` are all that it supplies.
pub fn on_secret_with<I: 'static>(
    id: fn(&I) -> &str,
    names: &'static [&'static str],
    more: fn(&I) -> Vec<ConditionKey>,
) -> Permission<I> {
    permission::on(SECRET, move |cx, it| secret(cx, id(it))).supplying(names, move |cx, it| {
        let mut keys = keys_of(cx, id(it));
        keys.extend(more(it));
        keys
    })
}

/// On the secret that is going to be made, and on tagging it where it gets tags at once.
pub fn create() -> Permission<CreateSecretInput> {
    const KEYS: &[&str] = &[
        "secretsmanager:AddReplicaRegions",
        "secretsmanager:Description",
        "secretsmanager:ForceOverwriteReplicaSecret",
        "secretsmanager:KmsKeyArn",
        "secretsmanager:KmsKeyId",
        "secretsmanager:Name",
        "secretsmanager:Type",
    ];
    permission::on(SECRET, |cx, it: &CreateSecretInput| absent(cx, &it.name))
        .and(
            "secretsmanager:TagResource",
            SECRET,
            |cx, it: &CreateSecretInput| {
                let has_tags = it.tags.as_ref().is_some_and(|tags| !tags.is_empty());
                has_tags.then(|| absent(cx, &it.name))
            },
        )
        .supplying(KEYS, |_, it| {
            vec![
                ConditionKey::new("secretsmanager:Description", it.description.as_ref()),
                ConditionKey::new("secretsmanager:ForceOverwriteReplicaSecret", Some(false)),
                ConditionKey::new("secretsmanager:KmsKeyId", it.kms_key_id.as_ref()),
                ConditionKey::new("secretsmanager:Name", Some(&it.name)),
            ]
        })
        // A secret that is there has them.
        .lacking(OF_SECRET)
}

pub fn update() -> Permission<UpdateSecretInput> {
    const KEYS: &[&str] = &[
        "secretsmanager:Description",
        "secretsmanager:KmsKeyArn",
        "secretsmanager:KmsKeyId",
        "secretsmanager:SecretId",
        "secretsmanager:SecretPrimaryRegion",
        "secretsmanager:Type",
        "secretsmanager:resource/AllowRotationLambdaArn",
        "secretsmanager:resource/Type",
    ];
    on_secret_with(
        |it: &UpdateSecretInput| &it.secret_id,
        KEYS,
        |it| {
            vec![
                ConditionKey::new("secretsmanager:Description", it.description.as_ref()),
                ConditionKey::new("secretsmanager:KmsKeyId", it.kms_key_id.as_ref()),
            ]
        },
    )
}

/// Also asked for each of the values of `BatchGetSecretValue`.
pub fn get_value() -> Permission<GetSecretValueInput> {
    const KEYS: &[&str] = &[
        "secretsmanager:SecretId",
        "secretsmanager:SecretPrimaryRegion",
        "secretsmanager:VersionId",
        "secretsmanager:VersionStage",
        "secretsmanager:resource/AllowRotationLambdaArn",
        "secretsmanager:resource/Type",
    ];
    on_secret_with(
        |it: &GetSecretValueInput| &it.secret_id,
        KEYS,
        |it| {
            // Who names no version gets the current one.
            let stage = match (&it.version_id, &it.version_stage) {
                (None, None) => Some(crate::record::CURRENT.to_owned()),
                (_, stage) => stage.clone(),
            };
            vec![
                ConditionKey::new("secretsmanager:VersionId", it.version_id.as_ref()),
                ConditionKey::new("secretsmanager:VersionStage", stage),
            ]
        },
    )
}

pub fn move_stage() -> Permission<UpdateSecretVersionStageInput> {
    const KEYS: &[&str] = &[
        "secretsmanager:SecretId",
        "secretsmanager:SecretPrimaryRegion",
        "secretsmanager:VersionStage",
        "secretsmanager:resource/AllowRotationLambdaArn",
        "secretsmanager:resource/Type",
    ];
    on_secret_with(
        |it: &UpdateSecretVersionStageInput| &it.secret_id,
        KEYS,
        |it| {
            let stage = Some(&it.version_stage);
            vec![ConditionKey::new("secretsmanager:VersionStage", stage)]
        },
    )
}

pub fn delete() -> Permission<DeleteSecretInput> {
    const KEYS: &[&str] = &[
        "secretsmanager:ForceDeleteWithoutRecovery",
        "secretsmanager:RecoveryWindowInDays",
        "secretsmanager:SecretId",
        "secretsmanager:SecretPrimaryRegion",
        "secretsmanager:resource/AllowRotationLambdaArn",
        "secretsmanager:resource/Type",
    ];
    on_secret_with(
        |it: &DeleteSecretInput| &it.secret_id,
        KEYS,
        |it| {
            let forced = it.force_delete_without_recovery == Some(true);
            vec![
                ConditionKey::new("secretsmanager:ForceDeleteWithoutRecovery", Some(forced)),
                ConditionKey::new(
                    "secretsmanager:RecoveryWindowInDays",
                    it.recovery_window_in_days,
                ),
            ]
        },
    )
}

pub fn put_policy() -> Permission<PutResourcePolicyInput> {
    const KEYS: &[&str] = &[
        "secretsmanager:BlockPublicPolicy",
        "secretsmanager:SecretId",
        "secretsmanager:SecretPrimaryRegion",
        "secretsmanager:resource/AllowRotationLambdaArn",
        "secretsmanager:resource/Type",
    ];
    on_secret_with(
        |it: &PutResourcePolicyInput| &it.secret_id,
        KEYS,
        |_| {
            vec![ConditionKey::new(
                "secretsmanager:BlockPublicPolicy",
                Some(false),
            )]
        },
    )
}
