//! The cipher: AES-256-GCM. A ciphertext is
//! `version | id of the key | number of its material | salt | nonce | ciphertext and tag`; its key is
//! derived from the material and the random salt, so that no number of calls makes a nonce repeat. The
//! head and the encryption context are its additional data: with another context it does not open.

use std::collections::BTreeMap;

use cloud::Error;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use shapes::kms::errors;

use crate::find::invalid;

pub const MATERIAL_BYTES: usize = 32;
/// Another construction gets another number.
const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
const NUMBER_BYTES: usize = 4;
const NAME_BYTES: usize = 1 + ID_BYTES + NUMBER_BYTES;
const SALT_BYTES: usize = 16;
const HEAD_BYTES: usize = NAME_BYTES + SALT_BYTES + NONCE_LEN;
/// As much as AWS lets a context be, names and values together (KMS Developer Guide, "Resource
/// quotas").
const CONTEXT_BYTES_MAX: usize = 8192;

/// Names and values that have to be the same when something is decrypted.
pub type EncryptionContext = BTreeMap<String, String>;

/// What a ciphertext says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub key_id: String,
    pub material: u32,
}

impl Sealed {
    /// None: it is no ciphertext of ours.
    pub fn read(blob: &[u8]) -> Option<Self> {
        let (version, rest) = blob.split_first()?;
        if *version != VERSION || blob.len() < HEAD_BYTES {
            return None;
        }
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let (number, _) = rest.split_first_chunk::<NUMBER_BYTES>()?;
        Some(Self {
            key_id: cloud::dashed(&hex(id)),
            material: u32::from_be_bytes(*number),
        })
    }

    fn head(&self) -> Option<[u8; NAME_BYTES]> {
        let mut head = [0; NAME_BYTES];
        let digits: Vec<u8> = self.key_id.bytes().filter(|it| *it != b'-').collect();
        let (name, number) = head.split_at_mut(1 + ID_BYTES);
        let (version, id) = name.split_first_mut()?;
        *version = VERSION;
        for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        number.copy_from_slice(&self.material.to_be_bytes());
        Some(head)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

pub fn check_context(context: Option<&EncryptionContext>) -> Result<(), Error> {
    let parts = context
        .into_iter()
        .flatten()
        .map(|it| it.0.len() + it.1.len());
    match parts.sum::<usize>() > CONTEXT_BYTES_MAX {
        true => Err(invalid(format!(
            "1 validation error detected: the encryption context is longer than {CONTEXT_BYTES_MAX} bytes"
        ))),
        false => Ok(()),
    }
}

/// Random bytes that are secret: without them nothing is done.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    (SystemRandom::new().fill(bytes)).map_err(|_| failed())
}

fn failed() -> Error {
    errors::KMSInternalException.because("The machine gives no random bytes.")
}

/// What the ciphertext is bound to: each part with its length, so that no two contexts are one.
fn additional(head: &[u8], context: Option<&EncryptionContext>) -> Aad<Vec<u8>> {
    let mut data = head.to_vec();
    for (name, value) in context.into_iter().flatten() {
        for part in [name, value] {
            data.extend((part.len() as u64).to_be_bytes());
            data.extend(part.as_bytes());
        }
    }
    Aad::from(data)
}

struct Cipher;

impl KeyType for Cipher {
    fn len(&self) -> usize {
        MATERIAL_BYTES
    }
}

fn cipher(material: &[u8; MATERIAL_BYTES], salt: &[u8]) -> Option<LessSafeKey> {
    let derived = Salt::new(HKDF_SHA256, salt).extract(material);
    let mut key = [0; MATERIAL_BYTES];
    let expanded = derived.expand(&[b"neargate kms"], Cipher).ok()?;
    expanded.fill(&mut key).ok()?;
    UnboundKey::new(&AES_256_GCM, &key)
        .ok()
        .map(LessSafeKey::new)
}

pub fn encrypt(
    of: &Sealed,
    material: &[u8; MATERIAL_BYTES],
    context: Option<&EncryptionContext>,
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_LEN]);
    fill(&mut salt)?;
    fill(&mut nonce)?;
    let head = of.head().ok_or_else(failed)?;
    let key = cipher(material, &salt).ok_or_else(failed)?;
    let mut body = plaintext.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        additional(&head, context),
        &mut body,
    )
    .map_err(|_| failed())?;
    Ok([&head[..], &salt, &nonce, &body].concat())
}

/// None: it was changed, or the context is another one.
pub fn decrypt(
    material: &[u8; MATERIAL_BYTES],
    context: Option<&EncryptionContext>,
    blob: &[u8],
) -> Option<Vec<u8>> {
    let (head, rest) = blob.split_at_checked(NAME_BYTES)?;
    let (salt, rest) = rest.split_at_checked(SALT_BYTES)?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
    let key = cipher(material, salt)?;
    let mut body = body.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = key
        .open_in_place(nonce, additional(head, context), &mut body)
        .ok()?;
    Some(opened.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ciphertext_opens_with_its_material_and_context_alone() {
        let of = Sealed {
            key_id: "00112233-4455-4677-a899-aabbccddeeff".into(),
            material: 3,
        };
        let context = EncryptionContext::from([("a".into(), "b".into())]);
        // The same letters in other places.
        let shifted = EncryptionContext::from([("ab".into(), String::new())]);
        let blob = encrypt(&of, &[1; 32], Some(&context), b"secret").unwrap();
        assert_eq!(Sealed::read(&blob), Some(of.clone()));
        let open = |material, context: Option<&_>, blob: &[u8]| decrypt(material, context, blob);
        let opened = open(&[1; 32], Some(&context), &blob);
        assert_eq!(opened.as_deref(), Some(&b"secret"[..]));
        assert_eq!(open(&[2; 32], Some(&context), &blob), None);
        assert_eq!(open(&[1; 32], Some(&shifted), &blob), None);
        assert_eq!(open(&[1; 32], None, &blob), None);
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert_eq!(open(&[1; 32], Some(&context), &changed), None, "byte {at}");
        }
        for length in 0..blob.len() {
            assert_eq!(open(&[1; 32], Some(&context), &blob[..length]), None);
        }
        assert_ne!(
            blob,
            encrypt(&of, &[1; 32], Some(&context), b"secret").unwrap()
        );
    }
}
