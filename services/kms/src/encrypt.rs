//! Encrypt, decrypt, and encrypt again with another key.

use cloud::{Cx, Error};
use shapes::kms::*;

use crate::cipher::{self, EncryptionContext, Sealed, check_context};
use crate::find::{self, dry_run, invalid, key_in_use, no_grants, usable};
use crate::record::KeyRecord;

/// What symmetric keys have.
pub fn check_algorithm(algorithm: Option<EncryptionAlgorithmSpec>) -> Result<(), Error> {
    match algorithm {
        None | Some(EncryptionAlgorithmSpec::SymmetricDefault) => Ok(()),
        Some(other) => Err(errors::InvalidKeyUsageException.because(format!(
            "Algorithm {other} is incompatible with key spec SYMMETRIC_DEFAULT."
        ))),
    }
}

/// Encrypts with the material that the key has now.
pub fn sealed(
    cx: &Cx,
    key: &KeyRecord,
    context: Option<&EncryptionContext>,
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    check_context(context)?;
    let number = key.current();
    let material = cx.read(|tx| key.material(tx, number))?;
    let material = material.ok_or_else(|| lost(key))?;
    let of = Sealed {
        key_id: key.id.clone(),
        material: number,
    };
    cipher::encrypt(&of, &material.secret, context, plaintext)
}

fn lost(key: &KeyRecord) -> Error {
    errors::KMSInternalException.because(format!("{} has no material.", key.arn()))
}

struct Opened {
    plaintext: Vec<u8>,
    key: KeyRecord,
    material_id: Option<String>,
}

fn opened(
    cx: &Cx,
    blob: Option<&wire::Blob>,
    context: Option<&EncryptionContext>,
    key_id: Option<&str>,
) -> Result<Opened, Error> {
    let blob = &blob
        .ok_or_else(|| invalid("CiphertextBlob must be given"))?
        .0;
    // AWS says no word about what is wrong with a ciphertext.
    let unreadable = || errors::InvalidCiphertextException.because("");
    check_context(context)?;
    let of = Sealed::read(blob).ok_or_else(unreadable)?;
    let (key, material) = cx.read(|tx| {
        let asked = key_id.map(|it| find::key(cx, tx, it)).transpose()?;
        let key = tx.get::<KeyRecord>(&cx.key(&of.key_id))?;
        if asked.is_some_and(|it| key.as_ref().is_none_or(|key| key.id != it.id)) {
            return Err(errors::IncorrectKeyException.because(
                "The key ID in the request does not identify a CMK that can perform this operation.",
            ));
        }
        let Some(key) = key else {
            return Err(wire::codes::AccessDeniedException.because(
                "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
            ));
        };
        let material = key.material(tx, of.material)?;
        Ok((key, material))
    })?;
    usable(&key)?;
    let material = material.ok_or_else(unreadable)?;
    let plaintext = cipher::decrypt(&material.secret, context, blob).ok_or_else(unreadable)?;
    let facts = key.materials.get(of.material as usize);
    Ok(Opened {
        plaintext,
        material_id: facts.map(|it| it.id.clone()),
        key,
    })
}

pub async fn encrypt(cx: Cx, input: EncryptInput) -> Result<EncryptOutput, Error> {
    no_grants(input.grant_tokens.as_ref())?;
    check_algorithm(input.encryption_algorithm)?;
    let key = key_in_use(&cx, &input.key_id)?;
    let context = input.encryption_context.as_ref();
    let blob = sealed(&cx, &key, context, &input.plaintext.0)?;
    dry_run(input.dry_run)?;
    Ok(EncryptOutput {
        ciphertext_blob: Some(wire::Blob(blob)),
        key_id: Some(key.arn()),
        encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
    })
}

pub async fn decrypt(cx: Cx, input: DecryptInput) -> Result<DecryptOutput, Error> {
    no_grants(input.grant_tokens.as_ref())?;
    check_algorithm(input.encryption_algorithm)?;
    let opened = opened(
        &cx,
        input.ciphertext_blob.as_ref(),
        input.encryption_context.as_ref(),
        input.key_id.as_deref(),
    )?;
    dry_run(input.dry_run)?;
    Ok(DecryptOutput {
        key_id: Some(opened.key.arn()),
        plaintext: Some(wire::Blob(opened.plaintext)),
        encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        ciphertext_for_recipient: None,
        key_material_id: opened.material_id,
    })
}

pub async fn re_encrypt(cx: Cx, input: ReEncryptInput) -> Result<ReEncryptOutput, Error> {
    no_grants(input.grant_tokens.as_ref())?;
    check_algorithm(input.source_encryption_algorithm)?;
    check_algorithm(input.destination_encryption_algorithm)?;
    let opened = opened(
        &cx,
        input.ciphertext_blob.as_ref(),
        input.source_encryption_context.as_ref(),
        input.source_key_id.as_deref(),
    )?;
    let key = key_in_use(&cx, &input.destination_key_id)?;
    let context = input.destination_encryption_context.as_ref();
    let blob = sealed(&cx, &key, context, &opened.plaintext)?;
    dry_run(input.dry_run)?;
    Ok(ReEncryptOutput {
        ciphertext_blob: Some(wire::Blob(blob)),
        source_key_id: Some(opened.key.arn()),
        key_id: Some(key.arn()),
        source_encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        destination_encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        source_key_material_id: opened.material_id,
        destination_key_material_id: key.current_id(),
    })
}
