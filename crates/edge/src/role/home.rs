//! The directory that the edge serves, and whether it is still there: one whose directory was removed
//! cannot be found by any daemon, but has the ports that the next edge needs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The control socket, as it was when this edge made it.
pub struct Home {
    socket: PathBuf,
    device: u64,
    inode: u64,
}

impl Home {
    pub fn of(socket: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(socket)?;
        Ok(Self {
            socket: socket.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Whether daemons would not find this edge any more. What cannot be looked at may be there.
    pub fn is_lost(&self) -> bool {
        match std::fs::symlink_metadata(&self.socket) {
            Ok(found) => (found.dev(), found.ino()) != (self.device, self.inode),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_lost_with_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.sock");
        std::fs::write(&path, "").unwrap();
        let home = Home::of(&path).unwrap();
        assert!(!home.is_lost());
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(home.is_lost(), "another one's socket is there");
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(home.is_lost());
    }
}
