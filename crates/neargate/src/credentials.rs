//! The account owner's key pair: made at first start, readable by the owner alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// The file in the state directory.
const FILE: &str = "credentials.json";

impl Credentials {
    /// The pair of a state directory, if a daemon has been started on it.
    pub fn read(state: &Path) -> Result<Option<Self>> {
        let path = state.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                format!(
                    "`{}` is damaged: move it away to get a new key pair",
                    path.display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot read `{}`: run this as the user who runs the daemon (root)",
                    path.display()
                )
            }),
        }
    }

    pub fn read_or_make(state: &Path) -> Result<Self> {
        if let Some(credentials) = Self::read(state)? {
            return Ok(credentials);
        }
        let made = Self::make()?;
        let (path, fresh) = (state.join(FILE), state.join("credentials.json.new"));
        let _ = fs::remove_file(&fresh);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(&made)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        Ok(made)
    }

    fn make() -> Result<Self> {
        const KEY_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        const SECRET_LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bytes = [0; 56];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| anyhow!("the kernel gives no random bytes"))?;
        let letters = |bytes: &[u8], from: &[u8]| -> String {
            bytes
                .iter()
                .map(|b| from[usize::from(*b) % from.len()] as char)
                .collect()
        };
        Ok(Self {
            access_key_id: format!("AKIA{}", letters(&bytes[..16], KEY_LETTERS)),
            secret_access_key: letters(&bytes[16..], SECRET_LETTERS),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_pair_is_made_once_and_kept_private() {
        let dir = std::env::temp_dir().join(format!("neargate-credentials-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let made = Credentials::read_or_make(&dir).unwrap();
        let again = Credentials::read_or_make(&dir).unwrap();
        assert_eq!(made.secret_access_key, again.secret_access_key);
        assert_eq!(
            (made.access_key_id.len(), made.secret_access_key.len()),
            (20, 40)
        );
        let mode = fs::metadata(dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&dir).unwrap();
    }
}
