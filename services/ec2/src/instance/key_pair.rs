//! Key pairs. The private half is told once, to whom it was made for, and kept nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::{Cx, Error, Record};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    CreateKeyPairInput, CreateKeyPairOutput, DeleteKeyPairInput, DeleteKeyPairOutput,
    DescribeKeyPairsInput, DescribeKeyPairsOutput, ImportKeyPairInput, ImportKeyPairOutput,
    KeyFormat, KeyPairInfo, KeyType, ResourceType,
};
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey};

use super::view;
use crate::errors::{
    InvalidKeyFormat, InvalidKeyPairDuplicate, InvalidKeyPairNotFound, InvalidParameterValue,
    MissingParameter, unsupported,
};
use crate::filters::{Filtered, select};
use crate::tags::{self, Tags};

/// AWS's quota for a region.
const KEY_PAIRS_MAX: usize = 5000;
/// AWS's limits of a name, and of a public key.
const NAME_BYTES_MAX: usize = 255;
const MATERIAL_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPairRecord {
    pub id: String,
    pub region: String,
    pub name: String,
    pub kind: KeyType,
    pub fingerprint: String,
    /// In the form of `authorized_keys`.
    pub public: String,
    pub created_ms: i64,
    pub tags: Tags,
}

impl Record for KeyPairRecord {
    const KIND: &'static str = "ec2.key-pair";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    match name.is_empty() || name.len() > NAME_BYTES_MAX || !name.is_ascii() || name.contains('/') {
        true => Err(InvalidParameterValue.because(format!(
            "Value ({name}) for parameter keyName is invalid. It has up to 255 ASCII characters, and no slash here."
        ))),
        false => Ok(()),
    }
}

/// Records a new one; one with its name is in the way.
fn put(cx: &Cx, key: &KeyPairRecord) -> Result<(), Error> {
    cx.write(|tx| {
        let all = tx.list::<KeyPairRecord>(&cx.key(""))?;
        if all.iter().any(|it| it.name == key.name && it.id != key.id) {
            return Err(InvalidKeyPairDuplicate
                .because(format!("The keypair '{}' already exists.", key.name)));
        }
        if all.len() >= KEY_PAIRS_MAX {
            return Err(cloud::ErrorCode::sender("KeyPairLimitExceeded", 400)
                .because("The maximum number of key pairs has been reached."));
        }
        tx.put(key)
    })
}

pub async fn create_key_pair(
    cx: Cx,
    input: CreateKeyPairInput,
) -> Result<CreateKeyPairOutput, Error> {
    check_name(&input.key_name)?;
    if input.key_type != Some(KeyType::Ed25519) {
        return Err(unsupported(
            "KeyType rsa, which is meant where none is given: give ed25519, or import a key",
        ));
    }
    if input.key_format == Some(KeyFormat::Ppk) {
        return Err(unsupported("KeyFormat ppk"));
    }
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::KeyPair)?;
    let private = new_key().map_err(cloud::internal)?;
    let public = private.public_key();
    let record = KeyPairRecord {
        id: cx.new_id("key-", 17),
        region: cx.region.clone(),
        kind: KeyType::Ed25519,
        fingerprint: sha256_of(public),
        public: written(public, &input.key_name)?,
        created_ms: cx.clock().now_ms(),
        tags,
        name: input.key_name,
    };
    put(&cx, &record)?;
    let material = private
        .to_openssh(LineEnding::LF)
        .map_err(cloud::internal)?;
    Ok(CreateKeyPairOutput {
        key_pair_id: Some(record.id),
        tags: tags::shown(&record.tags),
        key_name: Some(record.name),
        key_fingerprint: Some(record.fingerprint),
        key_material: Some(material.to_string()),
    })
}

/// The machine's source of randomness makes the key; the library writes it.
fn new_key() -> Result<PrivateKey, ssh_key::Error> {
    let mut seed = [0; 32];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut seed).map_err(|_| ssh_key::Error::Crypto)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| ssh_key::Error::Crypto)?;
    let public = Ed25519PublicKey::try_from(pair.public_key().as_ref())?;
    let pair = Ed25519Keypair {
        public,
        private: Ed25519PrivateKey::from_bytes(&seed),
    };
    PrivateKey::new(KeypairData::Ed25519(pair), "")
}

/// As AWS tells it of ED25519 keys: base64 of SHA-256, without what `ssh-keygen` puts before it.
fn sha256_of(key: &PublicKey) -> String {
    let text = key.fingerprint(HashAlg::Sha256).to_string();
    let base64 = text.strip_prefix("SHA256:").unwrap_or(&text);
    format!("{base64}=")
}

fn written(key: &PublicKey, comment: &str) -> Result<String, Error> {
    let plain = PublicKey::new(key.key_data().clone(), comment);
    plain.to_openssh().map_err(cloud::internal)
}

pub async fn import_key_pair(
    cx: Cx,
    input: ImportKeyPairInput,
) -> Result<ImportKeyPairOutput, Error> {
    check_name(&input.key_name)?;
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::KeyPair)?;
    let (key, kind) = public_key(&input.public_key_material.0)?;
    let record = KeyPairRecord {
        id: cx.new_id("key-", 17),
        region: cx.region.clone(),
        kind,
        fingerprint: match kind {
            KeyType::Ed25519 => sha256_of(&key),
            KeyType::Rsa => md5_of(&key),
        },
        public: written(&key, &input.key_name)?,
        created_ms: cx.clock().now_ms(),
        tags,
        name: input.key_name,
    };
    put(&cx, &record)?;
    Ok(ImportKeyPairOutput {
        key_fingerprint: Some(record.fingerprint),
        key_name: Some(record.name),
        key_pair_id: Some(record.id),
        tags: tags::shown(&record.tags),
    })
}

/// A key in OpenSSH's form, which clients of AWS may have put into base64 once more.
fn public_key(material: &[u8]) -> Result<(PublicKey, KeyType), Error> {
    let wrong = || InvalidKeyFormat.because("Key is not in valid OpenSSH public key format");
    if material.len() > MATERIAL_BYTES_MAX {
        return Err(wrong());
    }
    let text = String::from_utf8_lossy(material).trim().to_owned();
    let again = || {
        Some(
            String::from_utf8(BASE64.decode(&text).ok()?)
                .ok()?
                .trim()
                .to_owned(),
        )
    };
    let key = PublicKey::from_openssh(&text).ok();
    let key = key.or_else(|| PublicKey::from_openssh(&again()?).ok());
    let key = key.ok_or_else(wrong)?;
    match key.algorithm() {
        Algorithm::Ed25519 => Ok((key, KeyType::Ed25519)),
        Algorithm::Rsa { .. } => Ok((key, KeyType::Rsa)),
        _ => Err(wrong()),
    }
}

/// As AWS tells it of imported RSA keys: MD5 of the key in X.509's form.
fn md5_of(key: &PublicKey) -> String {
    use md5::Digest as _;
    let der = match key.key_data() {
        KeyData::Rsa(rsa) => spki(rsa.n.as_bytes(), rsa.e.as_bytes()),
        _ => Vec::new(),
    };
    let digest = md5::Md5::digest(der);
    let bytes: Vec<String> = digest.iter().map(|it| format!("{it:02x}")).collect();
    bytes.join(":")
}

/// `SubjectPublicKeyInfo` of an RSA key (RFC 3279, section 2.3.1). The numbers are as OpenSSH writes them, with
/// a zero before a high bit, as DER wants them.
fn spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    const ALGORITHM: [u8; 15] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let numbers = [tlv(0x02, modulus), tlv(0x02, exponent)].concat();
    let key = [vec![0], tlv(0x30, &numbers)].concat();
    tlv(0x30, &[ALGORITHM.to_vec(), tlv(0x03, &key)].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..=127) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let bytes: Vec<u8> = bytes.into_iter().skip_while(|it| *it == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
            out.extend(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

impl Filtered for KeyPairRecord {
    const FILTERS: &'static [&'static str] = &["fingerprint", "key-name", "key-pair-id"];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "fingerprint" => self.fingerprint.clone(),
            "key-name" => self.name.clone(),
            _ => self.id.clone(),
        }]
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_key_pairs(
    cx: Cx,
    input: DescribeKeyPairsInput,
) -> Result<DescribeKeyPairsOutput, Error> {
    let mut found = cx.read(|tx| tx.list::<KeyPairRecord>(&cx.key("")))?;
    if let Some(names) = input.key_names.as_ref().filter(|it| !it.is_empty()) {
        if let Some(name) = names
            .iter()
            .find(|name| !found.iter().any(|it| it.name == **name))
        {
            return Err(
                InvalidKeyPairNotFound.because(format!("The key pair '{name}' does not exist"))
            );
        }
        found.retain(|it| names.contains(&it.name));
    }
    if let Some(ids) = input.key_pair_ids.as_ref().filter(|it| !it.is_empty()) {
        if let Some(id) = ids.iter().find(|id| !found.iter().any(|it| it.id == **id)) {
            return Err(
                InvalidKeyPairNotFound.because(format!("The key pair '{id}' does not exist"))
            );
        }
        found.retain(|it| ids.contains(&it.id));
    }
    let found = select(&cx, found, input.filters.as_ref())?;
    let with_key = input.include_public_key == Some(true);
    let shown = found.into_iter().map(|it| KeyPairInfo {
        key_pair_id: Some(it.id),
        key_type: Some(it.kind),
        tags: tags::shown(&it.tags),
        public_key: with_key.then(|| format!("{}\n", it.public)),
        create_time: Some(view::at(it.created_ms)),
        key_name: Some(it.name),
        key_fingerprint: Some(it.fingerprint),
    });
    Ok(DescribeKeyPairsOutput {
        key_pairs: Some(shown.collect()),
    })
}

/// One by its name or its id.
pub fn find(
    cx: &Cx,
    name: Option<&String>,
    id: Option<&String>,
) -> Result<Option<KeyPairRecord>, Error> {
    cx.read(|tx| match (name, id) {
        (Some(name), _) => {
            let all = tx.list::<KeyPairRecord>(&cx.key(""))?;
            Ok(all.into_iter().find(|it| it.name == *name))
        }
        (None, Some(id)) => tx.get::<KeyPairRecord>(&cx.key(id)),
        (None, None) => Ok(None),
    })
}

/// Deleting what is not there succeeds, as on AWS.
pub async fn delete_key_pair(
    cx: Cx,
    input: DeleteKeyPairInput,
) -> Result<DeleteKeyPairOutput, Error> {
    if input.key_name.is_none() && input.key_pair_id.is_none() {
        return Err(
            MissingParameter.because("The request must contain the parameter KeyName or KeyPairId")
        );
    }
    let found = find(&cx, input.key_name.as_ref(), input.key_pair_id.as_ref())?;
    if let Some(found) = &found {
        cx.write(|tx| tx.delete::<KeyPairRecord>(&found.key()))?;
    }
    Ok(DeleteKeyPairOutput {
        r#return: Some(true),
        key_pair_id: found.map(|it| it.id).or(input.key_pair_id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_that_openssl_and_ssh_keygen_tell() {
        let ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN4Rpk4skQYJzgivhh4AZfJnkt6+l7+OzFzcD6cnlgTG example";
        let (key, kind) = public_key(ed25519.as_bytes()).unwrap();
        assert_eq!(kind, KeyType::Ed25519);
        assert_eq!(sha256_of(&key).len(), 44);
        // ssh-keygen -e -m PKCS8 | openssl pkey -pubin -outform DER | md5sum
        let rsa = include_str!("../../tests/data/key.pub");
        let (key, kind) = public_key(rsa.as_bytes()).unwrap();
        assert_eq!(kind, KeyType::Rsa);
        assert_eq!(
            md5_of(&key),
            include_str!("../../tests/data/key.md5").trim()
        );
        let again = BASE64.encode(rsa);
        assert_eq!(
            public_key(again.as_bytes()).unwrap().0.key_data(),
            key.key_data()
        );
        assert!(public_key(b"ssh-rsa nonsense").is_err());
    }

    #[test]
    fn a_new_key_is_read_back() {
        let key = new_key().unwrap();
        let text = key.to_openssh(LineEnding::LF).unwrap();
        let read = PrivateKey::from_openssh(text.as_bytes()).unwrap();
        assert_eq!(read.public_key(), key.public_key());
    }
}
