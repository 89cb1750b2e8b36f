//! Folders to put online.

use std::fs;
use std::path::{Path, PathBuf};

/// A copy of a folder, for a test to edit.
pub struct Site {
    directory: tempfile::TempDir,
    name: String,
}

/// The example that the README begins with.
pub fn example() -> Site {
    let source = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/website"
    ));
    let site = Site::empty("website");
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), site.path().join(entry.file_name())).unwrap();
    }
    site
}

impl Site {
    pub fn empty(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(name)).unwrap();
        Self {
            directory,
            name: name.to_owned(),
        }
    }

    /// A page, and nothing more.
    pub fn page(name: &str, text: &str) -> Self {
        let site = Self::empty(name);
        site.write("index.html", text);
        site
    }

    /// The page behind a Dockerfile: the executable itself is the web server.
    pub fn dockerfile(name: &str, text: &str, dockerfile: &str) -> Self {
        let site = Self::empty(name);
        fs::create_dir(site.path().join("site")).unwrap();
        site.write("site/index.html", text);
        site.write("Dockerfile", dockerfile);
        fs::copy(crate::neargate(), site.path().join("server")).unwrap();
        site
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    pub fn argument(&self) -> String {
        self.path().display().to_string()
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).unwrap();
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path().join(file)).unwrap()
    }
}
