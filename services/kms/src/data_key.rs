//! Keys for who encrypts by itself, and random bytes.

use cloud::{Cx, Error};
use shapes::kms::*;

use crate::cipher::{EncryptionContext, fill};
use crate::encrypt::sealed;
use crate::find::{dry_run, invalid, key_in_use, no_grants};
use crate::record::KeyRecord;

/// AWS's highest number of random bytes, which is the model's, too.
const BYTES_MAX: usize = 1024;

fn length(spec: Option<DataKeySpec>, bytes: Option<i32>) -> Result<usize, Error> {
    match (spec, bytes) {
        (Some(DataKeySpec::Aes256), None) => Ok(32),
        (Some(DataKeySpec::Aes128), None) => Ok(16),
        (None, Some(bytes)) => count(bytes),
        _ => Err(invalid(
            "Please specify either number of bytes or key spec.",
        )),
    }
}

fn count(bytes: i32) -> Result<usize, Error> {
    let bytes = usize::try_from(bytes)
        .ok()
        .filter(|it| (1..=BYTES_MAX).contains(it));
    bytes.ok_or_else(|| invalid(format!("NumberOfBytes must be between 1 and {BYTES_MAX}")))
}

struct DataKey {
    plaintext: Vec<u8>,
    blob: Vec<u8>,
    key: KeyRecord,
}

fn data_key(
    cx: &Cx,
    key_id: &str,
    length: usize,
    context: Option<&EncryptionContext>,
) -> Result<DataKey, Error> {
    let key = key_in_use(cx, key_id)?;
    let mut plaintext = vec![0; length];
    fill(&mut plaintext)?;
    let blob = sealed(cx, &key, context, &plaintext)?;
    Ok(DataKey {
        plaintext,
        blob,
        key,
    })
}

pub async fn generate_data_key(
    cx: Cx,
    input: GenerateDataKeyInput,
) -> Result<GenerateDataKeyOutput, Error> {
    no_grants(input.grant_tokens.as_ref())?;
    let length = length(input.key_spec, input.number_of_bytes)?;
    let context = input.encryption_context.as_ref();
    let made = data_key(&cx, &input.key_id, length, context)?;
    dry_run(input.dry_run)?;
    Ok(GenerateDataKeyOutput {
        ciphertext_blob: Some(wire::Blob(made.blob)),
        plaintext: Some(wire::Blob(made.plaintext)),
        key_id: Some(made.key.arn()),
        ciphertext_for_recipient: None,
        key_material_id: made.key.current_id(),
    })
}

pub async fn generate_data_key_without_plaintext(
    cx: Cx,
    input: GenerateDataKeyWithoutPlaintextInput,
) -> Result<GenerateDataKeyWithoutPlaintextOutput, Error> {
    no_grants(input.grant_tokens.as_ref())?;
    let length = length(input.key_spec, input.number_of_bytes)?;
    let context = input.encryption_context.as_ref();
    let made = data_key(&cx, &input.key_id, length, context)?;
    dry_run(input.dry_run)?;
    Ok(GenerateDataKeyWithoutPlaintextOutput {
        ciphertext_blob: Some(wire::Blob(made.blob)),
        key_id: Some(made.key.arn()),
        key_material_id: made.key.current_id(),
    })
}

pub async fn generate_random(
    _: Cx,
    input: GenerateRandomInput,
) -> Result<GenerateRandomOutput, Error> {
    let bytes = input
        .number_of_bytes
        .ok_or_else(|| invalid("NumberOfBytes is required."))?;
    let mut plaintext = vec![0; count(bytes)?];
    fill(&mut plaintext)?;
    Ok(GenerateRandomOutput {
        plaintext: Some(wire::Blob(plaintext)),
        ciphertext_for_recipient: None,
    })
}
