//! How a record is kept from whoever has the store's file and not its key: every value in the file is
//! sealed with AES-256-GCM, bound to its kind and key, so that it opens in its own place only.
//!
//! A sealed value is `version | id of the key | salt | nonce | ciphertext and tag`. Each value has a key
//! of its own, derived from the store's key and the random salt (the construction of XAES-256-GCM with
//! HKDF in CMAC's place): with 24 random bytes a value, no number of writes makes a nonce repeat.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk};
use ring::rand::{SecureRandom, SystemRandom};

use crate::StoreError;
use crate::connect::beside;

/// The first byte of a sealed value. Another construction gets another number.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const SALT_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + ID_BYTES + SALT_BYTES + NONCE_LEN;

/// A key file is 64 digits and the end of a line; what is longer is another file.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// Seals and opens the values of one store.
pub(crate) struct Sealer {
    root: Prk,
    id: [u8; ID_BYTES],
    random: SystemRandom,
}

/// The value does not open: it was changed, belongs to another record, or another key sealed it.
#[derive(Debug)]
pub(crate) struct DoesNotOpen;

impl Sealer {
    fn new(key: &[u8; KEY_BYTES]) -> Result<Self, StoreError> {
        let root = Prk::new_less_safe(HKDF_SHA256, key);
        let mut id = [0; ID_BYTES];
        let named = root.expand(&[b"neargate store key id"], Length(ID_BYTES));
        named
            .and_then(|it| it.fill(&mut id))
            .map_err(|_| StoreError::Cryptography)?;
        Ok(Self {
            root,
            id,
            random: SystemRandom::new(),
        })
    }

    /// Reads the key's file; `None` where there is no such file.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>, StoreError> {
        let failed = |source| StoreError::KeyFile {
            path: file.to_owned(),
            source,
        };
        let size = match fs::metadata(file) {
            Ok(it) => it.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let damaged = || StoreError::KeyDamaged(file.to_owned());
        if size > KEY_FILE_BYTES_MAX {
            return Err(damaged());
        }
        let text = fs::read_to_string(file).map_err(failed)?;
        let key = key_of(text.trim()).ok_or_else(damaged)?;
        Self::new(&key).map(Some)
    }

    /// The key that a store is about to be sealed with, which an earlier start may have made.
    pub(crate) fn provisional(file: &Path) -> Result<Self, StoreError> {
        let file = provisional(file);
        match Self::read(&file)? {
            Some(sealer) => Ok(sealer),
            None => Self::make(&file),
        }
    }

    /// Makes a key and keeps it in a file that its owner alone may read.
    pub(crate) fn make(file: &Path) -> Result<Self, StoreError> {
        let mut key = [0; KEY_BYTES];
        SystemRandom::new()
            .fill(&mut key)
            .map_err(|_| StoreError::Cryptography)?;
        keep(file, &key).map_err(|source| StoreError::KeyFile {
            path: file.to_owned(),
            source,
        })?;
        Self::new(&key)
    }

    /// The key's name: it says nothing about the key.
    pub(crate) fn id(&self) -> String {
        hex(&self.id)
    }

    pub(crate) fn seal(&self, kind: &str, key: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let failed = |_| StoreError::Cryptography;
        let mut salt = [0; SALT_BYTES];
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut salt).map_err(failed)?;
        self.random.fill(&mut nonce).map_err(failed)?;
        let cipher = self.cipher(&salt).ok_or(StoreError::Cryptography)?;
        let mut body = value.to_vec();
        let nonce_of_this = Nonce::assume_unique_for_key(nonce);
        cipher
            .seal_in_place_append_tag(nonce_of_this, place(kind, key), &mut body)
            .map_err(failed)?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + body.len());
        sealed.push(VERSION);
        sealed.extend(self.id);
        sealed.extend(salt);
        sealed.extend(nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    pub(crate) fn open(
        &self,
        kind: &str,
        key: &str,
        mut sealed: Vec<u8>,
    ) -> Result<Vec<u8>, DoesNotOpen> {
        let (head, _) = sealed.split_at_checked(HEAD_BYTES).ok_or(DoesNotOpen)?;
        let (name, secret) = head.split_at(1 + ID_BYTES);
        if name[0] != VERSION || name[1..] != self.id {
            return Err(DoesNotOpen);
        }
        let (salt, nonce) = secret.split_at(SALT_BYTES);
        let cipher = self.cipher(salt).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let opened = cipher
            .open_within(nonce, place(kind, key), &mut sealed, HEAD_BYTES..)
            .map_err(|_| DoesNotOpen)?
            .len();
        sealed.truncate(opened);
        Ok(sealed)
    }

    fn cipher(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let info = [b"neargate record".as_slice(), salt];
        let derived = self.root.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

/// What a key is called until a store is sealed with it.
pub(crate) fn provisional(file: &Path) -> PathBuf {
    beside(file, ".provisional")
}

/// Gives the key of a store that is sealed with it its name.
pub(crate) fn establish(file: &Path, sealer: &Sealer) -> Result<(), StoreError> {
    let failed = |source| StoreError::KeyFile {
        path: file.to_owned(),
        source,
    };
    if file.try_exists().map_err(failed)? {
        return Ok(());
    }
    let made = provisional(file);
    let is_it = Sealer::read(&made)?.is_some_and(|it| it.id == sealer.id);
    if !is_it {
        return Err(StoreError::KeyMissing {
            id: sealer.id(),
            path: file.to_owned(),
        });
    }
    fs::rename(&made, file)
        .and_then(|()| fs::File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all())
        .map_err(failed)
}

struct Length(usize);

impl ring::hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Where a value belongs, so that no two places read the same.
fn place(kind: &str, key: &str) -> Aad<Vec<u8>> {
    let mut place = (kind.len() as u64).to_be_bytes().to_vec();
    place.extend(kind.as_bytes());
    place.extend(key.as_bytes());
    Aad::from(place)
}

/// Written beside and renamed, so that a crash leaves a whole key or none.
fn keep(file: &Path, key: &[u8; KEY_BYTES]) -> io::Result<()> {
    let parent = file.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)?;
    let fresh = file.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut options = fs::OpenOptions::new();
    let mut writer = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    writer.write_all(format!("{}\n", hex(key)).as_bytes())?;
    writer.sync_all()?;
    fs::rename(&fresh, file)?;
    fs::File::open(parent)?.sync_all()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn key_of(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != KEY_BYTES * 2 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn sealer() -> Sealer {
        Sealer::new(&[7; KEY_BYTES]).unwrap()
    }

    #[test]
    fn a_value_opens_in_its_own_place_and_with_its_own_key_only() {
        let sealed = sealer().seal("a.kind", "eu/one", b"hush").unwrap();
        let open = |by: &Sealer, kind: &str, key: &str| by.open(kind, key, sealed.clone());
        assert_eq!(open(&sealer(), "a.kind", "eu/one").unwrap(), b"hush");
        open(&sealer(), "a.kind", "eu/two").unwrap_err();
        open(&sealer(), "a.kin", "deu/one").unwrap_err();
        let other = Sealer::new(&[8; KEY_BYTES]).unwrap();
        open(&other, "a.kind", "eu/one").unwrap_err();
    }

    #[test]
    fn no_byte_of_a_sealed_value_can_be_changed_or_left_out() {
        let sealed = sealer().seal("k", "one", b"hush").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            sealer().open("k", "one", changed).unwrap_err();
            sealer()
                .open("k", "one", sealed[..at].to_vec())
                .unwrap_err();
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_alike() {
        let seal = || sealer().seal("k", "one", b"hush").unwrap();
        let (one, two) = (seal(), seal());
        assert_ne!(one[1 + ID_BYTES..], two[1 + ID_BYTES..]);
        assert_ne!(one[HEAD_BYTES..], two[HEAD_BYTES..]);
    }

    #[test]
    fn a_key_is_made_for_its_owner_alone_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys/store.key");
        assert!(Sealer::read(&file).unwrap().is_none());
        let made = Sealer::make(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let read = Sealer::read(&file).unwrap().unwrap();
        assert_eq!(made.id(), read.id());
        for damaged in ["", "abc", &"g".repeat(64), &"0".repeat(300)] {
            fs::write(&file, damaged).unwrap();
            assert!(matches!(
                Sealer::read(&file),
                Err(StoreError::KeyDamaged(_))
            ));
        }
    }
}
