//! A content store and a step runner in a temporary folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use engine::*;
use tokio::sync::mpsc;

use crate::digests::{hex, sha256};

pub struct FakeImages {
    /// Itself: all spaces are one here.
    me: Weak<FakeImages>,
    root: PathBuf,
    images: Mutex<BTreeMap<Digest, PreparedImage>>,
    pub names: Mutex<BTreeMap<String, Digest>>,
    pub histories: Mutex<BTreeMap<Digest, Vec<String>>>,
    pub layers_put: AtomicUsize,
    pub prepared: AtomicUsize,
}

impl FakeImages {
    pub fn new(root: PathBuf) -> Arc<Self> {
        std::fs::create_dir_all(&root).unwrap();
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            root,
            images: Mutex::default(),
            names: Mutex::default(),
            histories: Mutex::default(),
            layers_put: AtomicUsize::new(0),
            prepared: AtomicUsize::new(0),
        })
    }

    pub fn image(&self, digest: &Digest) -> PreparedImage {
        self.images.lock().unwrap()[digest].clone()
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    pub fn forget_layers(&self) {
        for image in self.images.lock().unwrap().values() {
            for layer in &image.layers {
                let _ = std::fs::remove_file(self.blob(&layer.blob.digest));
            }
        }
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    format!("sha256:{}", hex(&sha256(bytes))).parse().unwrap()
}

/// Unpacks as a store would: deletions become overlay's marks.
fn unpack(tar: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let real = folder.join(&path);
        if name == ".wh..wh..opq" {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(
                real.parent().unwrap(),
                "trusted.overlay.opaque",
                b"y",
                flags,
            )
            .unwrap();
        } else if let Some(gone) = name.strip_prefix(".wh.") {
            std::fs::create_dir_all(real.parent().unwrap()).unwrap();
            make_whiteout(&real.with_file_name(gone));
        } else {
            let capability = entry.pax_extensions().unwrap().and_then(|mut pax| {
                pax.find_map(|pax| {
                    let pax = pax.unwrap();
                    (pax.key() == Ok("SCHILY.xattr.security.capability"))
                        .then(|| pax.value_bytes().to_vec())
                })
            });
            assert!(
                entry.unpack_in(folder).unwrap(),
                "{path:?} was not unpacked"
            );
            if let Some(value) = capability {
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::lsetxattr(&real, "security.capability", &value, flags).unwrap();
            }
        }
    }
}

pub fn make_whiteout(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

fn unused<T>() -> Result<T> {
    Err(EngineError::machine("the builder has no business here"))
}

#[async_trait]
impl Images for FakeImages {
    async fn resolve(&self, _: &ImageName) -> Result<Digest> {
        unused()
    }
    async fn prepare(&self, name: &ImageName, _: Option<RegistryLogin>) -> Result<PreparedImage> {
        let digest = self.names.lock().unwrap().get(&name.to_string()).cloned();
        match digest {
            Some(digest) => self.prepare_digest(&digest).await,
            None => Err(EngineError::not_found(format!(
                "there is no image `{name}`"
            ))),
        }
    }
    async fn prepare_digest(&self, manifest: &Digest) -> Result<PreparedImage> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        Ok(self.image(manifest))
    }
    async fn pull(&self, _: &ImageName, _: Option<RegistryLogin>) -> Result<Digest> {
        unused()
    }
    async fn repositories(&self) -> Result<Vec<Repository>> {
        unused()
    }
    async fn create_repository(&self, _: &Repository) -> Result<()> {
        unused()
    }
    async fn delete_repository(&self, _: &Repository) -> Result<()> {
        unused()
    }
    async fn manifests(&self, _: &Repository) -> Result<Vec<StoredManifest>> {
        unused()
    }
    async fn manifest(&self, _: &ImageName) -> Result<StoredManifest> {
        unused()
    }
    async fn put_manifest(&self, _: &ImageName, _: &str, _: &[u8]) -> Result<Digest> {
        unused()
    }
    async fn delete_manifest(&self, _: &ImageName) -> Result<()> {
        unused()
    }
    async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(std::fs::metadata(self.blob(digest)).ok().map(|m| m.len()))
    }
    async fn held_blob(&self, _: &Repository, _: &Digest) -> Result<Option<u64>> {
        unused()
    }
    async fn read_blob(&self, _: &Digest) -> Result<PathBuf> {
        unused()
    }
    async fn put_blob(&self, _: &Path) -> Result<(Digest, u64)> {
        unused()
    }
    async fn put_layer(&self, tar: &Path) -> Result<Layer> {
        self.layers_put.fetch_add(1, Ordering::SeqCst);
        let bytes = std::fs::read(tar)?;
        let digest = digest_of(&bytes);
        let folder = self.root.join(format!("{}.d", digest.hex()));
        if !folder.exists() {
            unpack(tar, &folder);
        }
        std::fs::rename(tar, self.blob(&digest))?;
        Ok(Layer {
            blob: Descriptor {
                media_type: "application/vnd.oci.image.layer.v1.tar".into(),
                digest: digest.clone(),
                size_bytes: bytes.len() as u64,
            },
            diff_id: digest,
        })
    }
    async fn put_image(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        history: &[String],
        name: Option<&ImageName>,
    ) -> Result<Digest> {
        let digest = digest_of(&serde_json::to_vec(&(config, layers)).unwrap());
        let image = PreparedImage {
            digest: digest.clone(),
            config: config.clone(),
            layers: layers.to_vec(),
            directories: layers
                .iter()
                .map(|layer| self.root.join(format!("{}.d", layer.blob.digest.hex())))
                .collect(),
        };
        self.images.lock().unwrap().insert(digest.clone(), image);
        self.histories
            .lock()
            .unwrap()
            .insert(digest.clone(), history.to_vec());
        if let Some(name) = name {
            self.names
                .lock()
                .unwrap()
                .insert(name.to_string(), digest.clone());
        }
        Ok(digest)
    }
    async fn tag(&self, from: &ImageName, to: &ImageName) -> Result<Digest> {
        let mut names = self.names.lock().unwrap();
        let digest = names[&from.to_string()].clone();
        names.insert(to.to_string(), digest.clone());
        Ok(digest)
    }
    async fn collect_garbage(&self) -> Result<u64> {
        unused()
    }
    fn space(&self, _: &str) -> Result<Arc<dyn Images>> {
        Ok(self.me.upgrade().expect("the test has it"))
    }
}

/// Runs steps whose last word is a script of its own small language, one command a line or after
/// `&&`: `write PATH TEXT`, `mkdir PATH`, `rm PATH`, `print TEXT`, `exit CODE`, `wait`, `meet`.
pub struct FakeSteps {
    /// Every step succeeds without being looked at; for scripts of real shells.
    pub accepts_all: AtomicBool,
    pub seen: Mutex<Vec<RunStep>>,
    /// The names in each folder that was mounted, while it was.
    pub listings: Mutex<Vec<Vec<String>>>,
    /// Steps that were dropped before their end.
    pub dropped: AtomicUsize,
    /// Where two steps wait for each other, to show that they run at the same time.
    meeting: tokio::sync::Barrier,
}

impl Default for FakeSteps {
    fn default() -> Self {
        Self {
            accepts_all: AtomicBool::new(false),
            seen: Mutex::default(),
            listings: Mutex::default(),
            dropped: AtomicUsize::new(0),
            meeting: tokio::sync::Barrier::new(2),
        }
    }
}

struct CountsDrop<'a>(&'a AtomicUsize);

impl Drop for CountsDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Steps for FakeSteps {
    async fn run(&self, step: RunStep, output: mpsc::Sender<String>) -> Result<i32> {
        assert!(
            step.upper.read_dir().unwrap().next().is_none(),
            "upper is not empty"
        );
        self.seen.lock().unwrap().push(step.clone());
        for mount in &step.mounts {
            if let StepSource::Path(path) = &mount.source
                && let Ok(entries) = path.read_dir()
            {
                let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
                let mut names: Vec<_> = entries.map(name).collect();
                names.sort();
                let names = names.into_iter().map(|name| name.into_string().unwrap());
                self.listings.lock().unwrap().push(names.collect());
            }
        }
        if self.accepts_all.load(Ordering::SeqCst) {
            return Ok(0);
        }
        let script = step.argv.last().unwrap().replace("&&", "\n");
        for line in script.lines() {
            let words: Vec<&str> = line.trim().splitn(3, ' ').collect();
            let path = || {
                let path = step.upper.join(words[1].trim_start_matches('/'));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                path
            };
            match words[0] {
                "write" => std::fs::write(path(), words.get(2).unwrap_or(&"")).unwrap(),
                "mkdir" => std::fs::create_dir_all(path()).unwrap(),
                "rm" => make_whiteout(&path()),
                "hide" => {
                    std::fs::create_dir_all(path()).unwrap();
                    let flags = rustix::fs::XattrFlags::empty();
                    rustix::fs::lsetxattr(path(), "trusted.overlay.opaque", b"y", flags).unwrap();
                }
                "link" => std::fs::hard_link(path(), step.upper.join(words[2])).unwrap(),
                "symlink" => std::os::unix::fs::symlink(words[2], path()).unwrap(),
                "chown" => {
                    let id = words[2].parse().unwrap();
                    std::os::unix::fs::lchown(path(), Some(id), Some(id)).unwrap();
                }
                "chmod" => {
                    let mode = u32::from_str_radix(words[2], 8).unwrap();
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
                    std::fs::set_permissions(path(), mode).unwrap();
                }
                "capability" => {
                    let mut value = vec![1, 0, 0, 2, 0, 4, 0, 0];
                    value.resize(20, 0);
                    let flags = rustix::fs::XattrFlags::empty();
                    rustix::fs::lsetxattr(path(), "security.capability", &value, flags).unwrap();
                }
                "print" => output.send(line.trim()[6..].to_owned()).await.unwrap(),
                "exit" => return Ok(words[1].parse().unwrap()),
                "meet" => {
                    let meet = tokio::time::timeout(Duration::from_secs(10), self.meeting.wait());
                    meet.await
                        .map_err(|_| EngineError::machine("nobody came"))?;
                }
                "hang" => {
                    let _counts = CountsDrop(&self.dropped);
                    std::future::pending::<()>().await;
                }
                "" => {}
                other => panic!("`{other}` is no command"),
            }
        }
        set_times(&step.upper);
        Ok(0)
    }
}

/// The same step makes the same layer, whatever the time.
fn set_times(folder: &Path) {
    for entry in folder.read_dir().unwrap() {
        let entry = entry.unwrap();
        let file_type = entry.file_type().unwrap();
        if file_type.is_dir() {
            set_times(&entry.path());
        }
        if file_type.is_dir() || file_type.is_file() {
            let file = std::fs::File::open(entry.path()).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }
}
