//! SecureStrings that a key of one's own encrypts: KMS is asked in the name of who puts or gets the value,
//! with the parameter as the encryption context (Systems Manager User Guide, "AWS KMS encryption for
//! Parameter Store SecureString parameters").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::{Cx, Error};
use shapes::kms::{DecryptInput, EncryptInput};
use shapes::ssm::errors;

use crate::record::{Hidden, Version, arn};

/// The key of SecureStrings that name none. What it would encrypt is sealed with the store.
pub const DEFAULT_KEY: &str = "alias/aws/ssm";
pub const PRINCIPAL: &str = "ssm.amazonaws.com";
const CONTEXT: &str = "PARAMETER_ARN";

type Context = std::collections::BTreeMap<String, String>;

/// A value as a key encrypted it.
pub struct Sealed {
    pub key: String,
    pub text: String,
}

fn context(cx: &Cx, name: &str) -> Option<Context> {
    Some(Context::from([(CONTEXT.to_owned(), arn(cx, name))]))
}

pub async fn seal(cx: &Cx, key: &str, name: &str, value: &str) -> Result<Sealed, Error> {
    let input = EncryptInput {
        key_id: key.to_owned(),
        plaintext: wire::Blob(value.as_bytes().to_vec()),
        encryption_context: context(cx, name),
        ..Default::default()
    };
    let sealed = cx
        .in_the_callers_name(PRINCIPAL)
        .call(input)
        .await
        .map_err(refusal)?;
    Ok(Sealed {
        key: key.to_owned(),
        text: BASE64.encode(sealed.ciphertext_blob.unwrap_or_default().0),
    })
}

/// Puts the value in its place, where it is encrypted and asked for.
pub async fn open(cx: &Cx, version: &mut Version, decrypted: bool) -> Result<(), Error> {
    if !decrypted || version.own_key.is_none() {
        return Ok(());
    }
    let text = version.sealed.as_deref().unwrap_or_default();
    let input = DecryptInput {
        ciphertext_blob: BASE64.decode(text).ok().map(wire::Blob),
        encryption_context: context(cx, &version.name),
        ..Default::default()
    };
    let opened = cx
        .in_the_callers_name(PRINCIPAL)
        .call(input)
        .await
        .map_err(refusal)?;
    let value = String::from_utf8(opened.plaintext.unwrap_or_default().0);
    version.value = Hidden(value.map_err(cloud::internal)?);
    Ok(())
}

fn refusal(error: Error) -> Error {
    match error.code {
        "NotFoundException" | "DisabledException" | "KMSInvalidStateException" => {
            errors::InvalidKeyId.because(error.message)
        }
        _ => error,
    }
}
