//! Values that a key of one's own encrypts: KMS makes a data key for each of them, in the name of who puts the
//! value, and gives it back to who may get it (Secrets Manager User Guide, "Secret encryption and
//! decryption"). Without a key of one's own a value is sealed with the store.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use shapes::kms::{DataKeySpec, DecryptInput, GenerateDataKeyInput};
use shapes::secretsmanager::errors;

use crate::record::{SealedValue, SecretRecord, Value};

const PRINCIPAL: &str = "secretsmanager.amazonaws.com";
/// How the key is called that AWS manages, which means no key of one's own.
const DEFAULT_KEYS: &[&str] = &["", "alias/aws/secretsmanager", "aws/secretsmanager"];

/// The key of one's own that a request names, if it names one.
pub fn own_key(given: Option<&str>) -> Option<String> {
    let key = given?;
    let is_default = DEFAULT_KEYS.contains(&key) || key.ends_with(":alias/aws/secretsmanager");
    (!is_default).then(|| key.to_owned())
}

fn context(secret: &SecretRecord, version: &str) -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::from([
        ("SecretARN".to_owned(), secret.arn()),
        ("SecretVersionId".to_owned(), version.to_owned()),
    ]))
}

fn cipher(data_key: &[u8]) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&AES_256_GCM, data_key).map_err(|_| unusable_key())?;
    Ok(LessSafeKey::new(key))
}

/// Each data key encrypts one value.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn unusable_key() -> Error {
    errors::EncryptionFailure.because(
        "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS key is available, enabled, and not in an invalid state.",
    )
}

fn unreadable() -> Error {
    errors::DecryptionFailure.because(
        "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
    )
}

fn is_denied(error: &Error) -> bool {
    error.code.starts_with("AccessDenied")
}

fn denied(error: Error) -> Error {
    wire::codes::AccessDeniedException
        .because(format!("Access to KMS is not allowed: {}", error.message))
}

/// The value as it is to be recorded of a version. One that is recorded already stays as it is.
pub async fn seal(
    cx: &Cx,
    secret: &SecretRecord,
    version: &str,
    value: Value,
) -> Result<Value, Error> {
    let Some(key) = &secret.kms_key else {
        return Ok(value);
    };
    if let Some(there) = cx.read(|tx| secret.version(tx, version))?
        && matches!(&there.value, Value::Sealed(it) if it.key == *key)
        && let Ok(opened) = open(cx, secret, version, there.value.clone()).await
        && opened == value
    {
        return Ok(there.value);
    }
    let (mut sealed, is_text) = match value {
        Value::Text(text) => (text.into_bytes(), true),
        Value::Bytes(bytes) => (bytes, false),
        sealed @ Value::Sealed(_) => return Ok(sealed),
    };
    let input = GenerateDataKeyInput {
        key_id: key.clone(),
        key_spec: Some(DataKeySpec::Aes256),
        encryption_context: context(secret, version),
        ..Default::default()
    };
    let made = cx.in_the_callers_name(PRINCIPAL).call(input).await;
    let made = made.map_err(|error| match is_denied(&error) {
        true => denied(error),
        false => unusable_key(),
    })?;
    let cipher = cipher(&made.plaintext.unwrap_or_default().0)?;
    let done = cipher.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed);
    done.map_err(|_| unusable_key())?;
    Ok(Value::Sealed(SealedValue {
        key: key.clone(),
        data_key: made.ciphertext_blob.unwrap_or_default().0,
        sealed,
        is_text,
    }))
}

/// The value of a version, for who may decrypt it.
pub async fn open(
    cx: &Cx,
    secret: &SecretRecord,
    version: &str,
    value: Value,
) -> Result<Value, Error> {
    let Value::Sealed(mut it) = value else {
        return Ok(value);
    };
    let input = DecryptInput {
        ciphertext_blob: Some(wire::Blob(it.data_key)),
        encryption_context: context(secret, version),
        ..Default::default()
    };
    let opened = cx.in_the_callers_name(PRINCIPAL).call(input).await;
    let opened = opened.map_err(|error| match is_denied(&error) {
        true => denied(error),
        false => unreadable(),
    })?;
    let cipher = cipher(&opened.plaintext.unwrap_or_default().0)?;
    let plain = cipher.open_in_place(nonce(), Aad::empty(), &mut it.sealed);
    let plain = plain.map_err(|_| unreadable())?.to_vec();
    match it.is_text {
        true => (String::from_utf8(plain).map(Value::Text)).map_err(|_| unreadable()),
        false => Ok(Value::Bytes(plain)),
    }
}
