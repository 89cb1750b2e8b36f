//! What calls of KMS need permission for: keys, by the record that an id, an alias or an ARN of either
//! finds. A key's policy goes with it, and nothing is allowed without it.

use cloud::permission::{ConditionKey, Permission};
use cloud::{Cx, Touched, permission};
use shapes::kms::*;

use crate::attestation;
use crate::cipher::{EncryptionContext, Sealed};
use crate::find::{self, Name};
use crate::managed;
use crate::record::{AliasRecord, KeyRecord};

/// Of the reference: the types of resources.
const KEY: &str = "key";
const ALIAS: &str = "alias";

const CALLER: &str = "kms:CallerAccount";
const VIA: &str = "kms:ViaService";
const REQUEST_ALIAS: &str = "kms:RequestAlias";
const ALGORITHM: &str = "kms:EncryptionAlgorithm";
const CONTEXT: &str = "kms:EncryptionContext:${EncryptionContextKey}";
const CONTEXT_KEYS: &str = "kms:EncryptionContextKeys";
const SAME_KEY: &str = "kms:ReEncryptOnSameKey";
const BYPASS: &str = "kms:BypassPolicyLockoutSafetyCheck";

const OF_ALL: &[&str] = &[CALLER, VIA];
const OF_CIPHER: &[&str] = &[CALLER, VIA, REQUEST_ALIAS, ALGORITHM, CONTEXT, CONTEXT_KEYS];

/// What every call tells.
fn of_call(cx: &Cx) -> Vec<ConditionKey> {
    let via = cx.via.and_then(|it| it.strip_suffix(".amazonaws.com"));
    let via = via.filter(|it| managed::is_via(it));
    let via = via.map(|it| format!("{it}.{}.amazonaws.com", cx.region));
    vec![
        ConditionKey::new(CALLER, Some(cx.account())),
        ConditionKey::new(VIA, via),
    ]
}

fn touched(key: KeyRecord) -> Touched {
    let mut touched = Touched::named(key.arn())
        .tagged(key.tags)
        .granted_by(key.policy);
    let aliases = key.aliases.into_iter().collect();
    touched.keys = of_kind();
    let aliases = ConditionKey::of_many("kms:ResourceAliases", aliases);
    touched.keys.push(aliases);
    touched
}

/// What all keys are here.
fn of_kind() -> Vec<ConditionKey> {
    vec![
        ConditionKey::new("kms:KeyOrigin", Some(OriginType::AwsKms)),
        ConditionKey::new("kms:KeySpec", Some(KeySpec::SymmetricDefault)),
        ConditionKey::new("kms:KeyUsage", Some(KeyUsageType::EncryptDecrypt)),
        ConditionKey::new("kms:MultiRegion", Some(false)),
    ]
}

/// The key that a name finds; of one that AWS manages and that nobody has asked for before, what it will be.
fn key(cx: &Cx, text: &str) -> Touched {
    let error = match cx.read(|tx| find::key(cx, tx, text)) {
        Ok(found) => return touched(found),
        Err(error) => error,
    };
    let name = Name::parse(cx, text).ok();
    let promised = (name.as_ref())
        .and_then(Name::alias)
        .and_then(|it| managed::promised(cx, it));
    if let Some((id, policy)) = promised {
        return Touched::absent(cx.arn("kms", &format!("key/{id}"))).granted_by(policy);
    }
    let arn = match name {
        _ if text.starts_with("arn:") => text.to_owned(),
        Some(Name::Alias(name)) => cx.arn("kms", &name),
        _ => cx.arn("kms", &format!("key/{text}")),
    };
    match error.status < 500 {
        true => Touched::absent(arn),
        // Its tags and its policy are not known.
        false => Touched::named(arn),
    }
}

fn alias(cx: &Cx, name: &str) -> Touched {
    Touched::absent(cx.arn("kms", name))
}

/// The key that an alias stands for now.
fn target(cx: &Cx, name: &str) -> Option<Touched> {
    let there = cx.read(|tx| tx.get::<AliasRecord>(&cx.key(name)));
    there.ok().flatten().map(|it| key(cx, &it.key_id))
}

/// With the alias that the request named it by.
fn asked_as_alias(cx: &Cx, text: &str) -> Option<String> {
    match Name::parse(cx, text) {
        Ok(Name::Alias(name)) => Some(name),
        _ => None,
    }
}

/// With the encryption context, each of its pairs a key of its own.
fn within(mut touched: Touched, context: Option<&EncryptionContext>) -> Touched {
    let (family, _) = CONTEXT.split_at(CONTEXT.len() - "${EncryptionContextKey}".len());
    let keys = &mut touched.keys;
    let pairs = context.cloned().into_iter().flatten();
    keys.extend(ConditionKey::of_family(family, pairs));
    let names = context.into_iter().flatten().map(|it| it.0.clone());
    keys.push(ConditionKey::of_many(CONTEXT_KEYS, names.collect()));
    touched
}

fn of_cipher(cx: &Cx, key_id: Option<&str>) -> Vec<ConditionKey> {
    let alias = key_id.and_then(|it| asked_as_alias(cx, it));
    let algorithm = EncryptionAlgorithmSpec::SymmetricDefault;
    let mut keys = of_call(cx);
    keys.push(ConditionKey::new(REQUEST_ALIAS, alias));
    keys.push(ConditionKey::new(ALGORITHM, Some(algorithm)));
    keys
}

/// The operation's action on one key.
pub fn on_key<I: 'static>(id: fn(&I) -> &str) -> Permission<I> {
    permission::on(KEY, move |cx, it| key(cx, id(it))).supplying(OF_ALL, |cx, _| of_call(cx))
}

/// The same with keys of its own; `names` are all that it supplies.
fn on_key_with<I: 'static>(
    id: fn(&I) -> &str,
    names: &'static [&'static str],
    more: fn(&I) -> ConditionKey,
) -> Permission<I> {
    permission::on(KEY, move |cx, it| key(cx, id(it))).supplying(names, move |cx, it| {
        let mut keys = of_call(cx);
        keys.push(more(it));
        keys
    })
}

pub fn create() -> Permission<CreateKeyInput> {
    const KEYS: &[&str] = &[
        CALLER,
        VIA,
        BYPASS,
        "kms:KeyOrigin",
        "kms:KeySpec",
        "kms:KeyUsage",
        "kms:MultiRegion",
        "kms:MultiRegionKeyType",
    ];
    permission::everywhere().supplying(KEYS, |cx, it: &CreateKeyInput| {
        let mut keys = of_call(cx);
        let spec = it.key_spec.map(|it| it.to_string());
        let spec = spec.or(it.customer_master_key_spec.map(|it| it.to_string()));
        let spec = spec.unwrap_or_else(|| KeySpec::SymmetricDefault.to_string());
        let bypass = it.bypass_policy_lockout_safety_check == Some(true);
        keys.push(ConditionKey::new(BYPASS, Some(bypass)));
        let origin = it.origin.unwrap_or(OriginType::AwsKms);
        keys.push(ConditionKey::new("kms:KeyOrigin", Some(origin)));
        keys.push(ConditionKey::new("kms:KeySpec", Some(spec)));
        let usage = it.key_usage.unwrap_or(KeyUsageType::EncryptDecrypt);
        keys.push(ConditionKey::new("kms:KeyUsage", Some(usage)));
        keys.push(ConditionKey::new("kms:MultiRegion", Some(false)));
        keys
    })
}

pub fn describe() -> Permission<DescribeKeyInput> {
    const KEYS: &[&str] = &[CALLER, VIA, REQUEST_ALIAS];
    permission::on(KEY, |cx, it: &DescribeKeyInput| key(cx, &it.key_id)).supplying(
        KEYS,
        |cx, it| {
            let mut keys = of_call(cx);
            let alias = asked_as_alias(cx, &it.key_id);
            keys.push(ConditionKey::new(REQUEST_ALIAS, alias));
            keys
        },
    )
}

pub fn schedule() -> Permission<ScheduleKeyDeletionInput> {
    const DAYS: &str = "kms:ScheduleKeyDeletionPendingWindowInDays";
    on_key_with(
        |it| &it.key_id,
        &[CALLER, VIA, DAYS],
        |it| ConditionKey::new(DAYS, it.pending_window_in_days),
    )
}

pub fn put_policy() -> Permission<PutKeyPolicyInput> {
    on_key_with(
        |it| &it.key_id,
        &[CALLER, VIA, BYPASS],
        |it| {
            let bypass = it.bypass_policy_lockout_safety_check == Some(true);
            ConditionKey::new(BYPASS, Some(bypass))
        },
    )
}

pub fn enable_rotation() -> Permission<EnableKeyRotationInput> {
    const DAYS: &str = "kms:RotationPeriodInDays";
    on_key_with(
        |it| &it.key_id,
        &[CALLER, VIA, DAYS],
        |it| ConditionKey::new(DAYS, it.rotation_period_in_days),
    )
}

pub fn create_alias() -> Permission<CreateAliasInput> {
    permission::on(ALIAS, |cx, it: &CreateAliasInput| alias(cx, &it.alias_name))
        .also(KEY, |cx, it: &CreateAliasInput| key(cx, &it.target_key_id))
        .supplying(OF_ALL, |cx, _| of_call(cx))
}

/// On the key that the alias leaves, too.
pub fn update_alias() -> Permission<UpdateAliasInput> {
    permission::on(ALIAS, |cx, it: &UpdateAliasInput| alias(cx, &it.alias_name))
        .also(KEY, |cx, it: &UpdateAliasInput| {
            let mut keys = vec![key(cx, &it.target_key_id)];
            keys.extend(target(cx, &it.alias_name));
            keys
        })
        .supplying(OF_ALL, |cx, _| of_call(cx))
}

pub fn delete_alias() -> Permission<DeleteAliasInput> {
    permission::on(ALIAS, |cx, it: &DeleteAliasInput| alias(cx, &it.alias_name))
        .also(KEY, |cx, it: &DeleteAliasInput| target(cx, &it.alias_name))
        .supplying(OF_ALL, |cx, _| of_call(cx))
}

pub fn encrypt() -> Permission<EncryptInput> {
    permission::on(KEY, |cx, it: &EncryptInput| {
        within(key(cx, &it.key_id), it.encryption_context.as_ref())
    })
    .supplying(OF_CIPHER, |cx, it| of_cipher(cx, Some(&it.key_id)))
}

pub fn data_key() -> Permission<GenerateDataKeyInput> {
    permission::on(KEY, |cx, it: &GenerateDataKeyInput| {
        within(key(cx, &it.key_id), it.encryption_context.as_ref())
    })
    .supplying(OF_CIPHER, |cx, it| of_cipher(cx, Some(&it.key_id)))
    .lacking(attestation::KEYS)
}

pub fn data_key_without_plaintext() -> Permission<GenerateDataKeyWithoutPlaintextInput> {
    permission::on(KEY, |cx, it: &GenerateDataKeyWithoutPlaintextInput| {
        within(key(cx, &it.key_id), it.encryption_context.as_ref())
    })
    .supplying(OF_CIPHER, |cx, it| of_cipher(cx, Some(&it.key_id)))
}

/// The key that a ciphertext tells; of one that tells none, the key that was asked for.
fn of_ciphertext(cx: &Cx, blob: Option<&wire::Blob>, asked: Option<&str>) -> Touched {
    match blob.and_then(|it| Sealed::read(&it.0)) {
        Some(of) => key(cx, &of.key_id),
        None => key(cx, asked.unwrap_or("*")),
    }
}

pub fn decrypt() -> Permission<DecryptInput> {
    permission::on(KEY, |cx, it: &DecryptInput| {
        let blob = it.ciphertext_blob.as_ref();
        let touched = of_ciphertext(cx, blob, it.key_id.as_deref());
        within(touched, it.encryption_context.as_ref())
    })
    .supplying(OF_CIPHER, |cx, it| of_cipher(cx, it.key_id.as_deref()))
    .lacking(attestation::KEYS)
}

/// On the key that it is decrypted with, and on the one that it is encrypted with.
pub fn re_encrypt() -> Permission<ReEncryptInput> {
    const KEYS: &[&str] = &[
        CALLER,
        VIA,
        REQUEST_ALIAS,
        ALGORITHM,
        CONTEXT,
        CONTEXT_KEYS,
        SAME_KEY,
    ];
    fn source(cx: &Cx, it: &ReEncryptInput) -> Touched {
        let blob = it.ciphertext_blob.as_ref();
        of_ciphertext(cx, blob, it.source_key_id.as_deref())
    }
    let from = |cx: &Cx, it: &ReEncryptInput| {
        let id = it.source_key_id.as_deref();
        let alias = id.and_then(|it| asked_as_alias(cx, it));
        within(source(cx, it), it.source_encryption_context.as_ref()).with_key(REQUEST_ALIAS, alias)
    };
    let to = |cx: &Cx, it: &ReEncryptInput| {
        let touched = key(cx, &it.destination_key_id);
        let alias = asked_as_alias(cx, &it.destination_key_id);
        within(touched, it.destination_encryption_context.as_ref()).with_key(REQUEST_ALIAS, alias)
    };
    permission::as_action("kms:ReEncryptFrom", KEY, from)
        .and("kms:ReEncryptTo", KEY, to)
        .supplying(KEYS, |cx, it| {
            let mut keys = of_cipher(cx, None);
            let is_same = source(cx, it).arn == key(cx, &it.destination_key_id).arn;
            keys.push(ConditionKey::new(SAME_KEY, Some(is_same)));
            keys
        })
}
