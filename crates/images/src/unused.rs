//! What nobody uses is given up before the disk is full: what can be had again, the longest unused first.
//!
//! First the copies of layers that no container stands on, which are unpacked again from their blobs. Then
//! images: those that were fetched for a task or a build and by nobody's order, and those that have no name any more. No image
//! of the embedded registry goes, none that somebody has pulled, built, tagged or imported, none of a space,
//! and none that a container needs, be it stopped.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, SystemTime};

use engine::{Digest, Reference, Repository, Result, room_in};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::document::{Content, Manifest};
use crate::garbage::if_there;
use crate::names::now_ms;
use crate::space::is_of_space;
use crate::store::Inner;

/// Between two looks at the room: as many images go together.
const IMAGES_AT_ONCE: usize = 5;
/// In one collection; what is short then is short of something else.
const IMAGES_MAX: usize = 100;
/// Names that are told of.
const TOLD_MAX: usize = 20;
const TOLD: &str = "given-up.json";

/// What was given up last because the disk was short of room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    pub at_ms: i64,
    pub bytes: u64,
    /// Copies of layers.
    pub layers: usize,
    pub images: usize,
    /// Some of the images.
    pub names: Vec<String>,
}

impl GivenUp {
    /// Of the store below `root`; None when nothing was.
    pub fn read(root: &std::path::Path) -> Option<Self> {
        let bytes = disk::read(&root.join(TOLD)).ok()??;
        serde_json::from_slice(&bytes).ok()
    }
}

/// An image that may go: what it is called or is, all manifests that lead to it, and when it was used.
struct Candidate {
    repository: Repository,
    root: Digest,
    name: String,
    manifests: HashSet<Digest>,
    used: SystemTime,
}

impl Inner {
    /// Collects what nothing names, and where the disk is short, what can be had again. Nothing goes
    /// that was used within `grace`.
    pub fn collect(&self, grace: Duration) -> Result<u64> {
        let mut freed = self.collect_garbage(grace)?;
        if !room_in(&self.root)?.is_short() {
            return Ok(freed);
        }
        let mut told = GivenUp {
            at_ms: now_ms(),
            bytes: 0,
            layers: 0,
            images: 0,
            names: Vec::new(),
        };
        self.give_up_layers(grace, &mut told)?;
        self.give_up_images(grace, &mut told)?;
        if told.layers + told.images > 0 {
            tracing::warn!(
                bytes = told.bytes,
                layers = told.layers,
                images = told.images,
                names = told.names.join(" "),
                "the disk is short of room: what nobody used was removed"
            );
            let json = serde_json::to_vec(&told).expect("plain text and numbers are JSON");
            self.scratch.write(&self.root.join(TOLD), &json)?;
        }
        freed += told.bytes;
        Ok(freed)
    }

    fn give_up_layers(&self, grace: Duration, told: &mut GivenUp) -> Result<()> {
        let _gate = self.gate.write().unwrap_or_else(|e| e.into_inner());
        let Some(ask) = self.in_use.get() else {
            return Ok(());
        };
        let in_use = ask()?;
        let mut layers = self.layers.list()?;
        layers.retain(|(layer, used)| {
            is_old(*used, grace) && !in_use.contains(&self.layers.path(layer))
        });
        layers.sort_by_key(|it| it.1);
        for (layer, _) in layers {
            if room_in(&self.root)?.lacks_bytes() == 0 {
                break;
            }
            told.bytes += self.layers.remove(&layer)?;
            told.layers += 1;
        }
        Ok(())
    }

    fn give_up_images(&self, grace: Duration, told: &mut GivenUp) -> Result<()> {
        let (Some(in_use), Some(needed)) = (self.in_use.get(), self.needed.get()) else {
            return Ok(());
        };
        while told.images < IMAGES_MAX && room_in(&self.root)?.lacks_bytes() > 0 {
            let gone = {
                let _gate = self.gate.write().unwrap_or_else(|e| e.into_inner());
                let (in_use, needed) = (in_use()?, needed()?);
                let mut candidates = self.candidates()?;
                candidates.retain(|it| is_old(it.used, grace));
                candidates.sort_by_key(|it| it.used);
                let unused = candidates.into_iter().filter(|it| {
                    let mut manifests = it.manifests.iter();
                    !manifests.any(|it| needed.contains(it) || self.is_stood_on(it, &in_use))
                });
                let gone: Vec<Candidate> = unused.take(IMAGES_AT_ONCE).collect();
                for it in &gone {
                    self.forget(it)?;
                }
                gone
            };
            if gone.is_empty() {
                return Ok(());
            }
            told.images += gone.len();
            let names = gone.into_iter().map(|it| it.name);
            told.names
                .extend(names.take(TOLD_MAX - told.names.len().min(TOLD_MAX)));
            told.bytes += self.collect_garbage(grace)?;
        }
        Ok(())
    }

    /// Images that are nobody's, used or not.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for repository in self.names.all_repositories()? {
            if self.embedded.contains(&repository.host) || is_of_space(&repository.host) {
                continue;
            }
            let (mut owned, mut fetched) = (Vec::new(), HashMap::new());
            for (tag, digest) in self.names.tags(&repository)? {
                match self.names.is_fetched(&repository, &tag)? {
                    true => drop(fetched.insert(digest, tag)),
                    false => owned.push(digest),
                }
            }
            let kept = self.lead_to(owned)?;
            let named = self.lead_to(fetched.keys().cloned())?;
            for root in self.names.manifests(&repository)? {
                // What a tag leads to goes with the tag.
                let is_root = fetched.contains_key(&root) || !named.contains(&root);
                if kept.contains(&root) || !is_root {
                    continue;
                }
                let reference = match fetched.get(&root) {
                    Some(tag) => Reference::Tag(tag.clone()),
                    None => Reference::Digest(root.clone()),
                };
                let manifests = self.lead_to([root.clone()])?;
                candidates.push(Candidate {
                    used: self.last_use(&manifests),
                    name: engine::ImageName {
                        repository: repository.clone(),
                        reference,
                    }
                    .to_string(),
                    repository: repository.clone(),
                    root,
                    manifests,
                });
            }
        }
        Ok(candidates)
    }

    /// These manifests, and those that indexes among them name.
    fn lead_to(&self, roots: impl IntoIterator<Item = Digest>) -> Result<HashSet<Digest>> {
        let mut found = HashSet::new();
        let mut pending: Vec<Digest> = roots.into_iter().collect();
        while let Some(digest) = pending.pop() {
            if !found.insert(digest.clone()) {
                continue;
            }
            let Some(bytes) = if_there(self.manifest_bytes(&digest))? else {
                continue;
            };
            if let Ok(Content::Index(entries)) = Manifest::parse(&bytes, None).map(|it| it.content)
            {
                pending.extend(entries.into_iter().map(|it| it.manifest.digest));
            }
        }
        Ok(found)
    }

    /// Preparing an image marks its manifest as used.
    fn last_use(&self, manifests: &HashSet<Digest>) -> SystemTime {
        let used = manifests.iter().filter_map(|digest| {
            let metadata = fs::metadata(self.blobs.path(digest)).ok()?;
            metadata.modified().ok()
        });
        used.max().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Whether containers stand on all of an image's layers.
    fn is_stood_on(&self, manifest: &Digest, in_use: &HashSet<std::path::PathBuf>) -> bool {
        let layers = self.layers_of(manifest).unwrap_or_default();
        !layers.is_empty()
            && layers
                .iter()
                .all(|it| in_use.contains(&self.layers.path(it)))
    }

    /// Takes an image's names away; those of its manifests that others lead to stay.
    fn forget(&self, gone: &Candidate) -> Result<()> {
        let reference = Reference::Digest(gone.root.clone());
        self.names.delete_reference(&gone.repository, &reference)?;
        let tags = self.names.tags(&gone.repository)?.into_iter();
        let named = self.lead_to(tags.map(|it| it.1))?;
        for digest in gone.manifests.iter().filter(|it| !named.contains(*it)) {
            let reference = Reference::Digest(digest.clone());
            if self.names.record(&gone.repository, digest)?.is_some() {
                self.names.delete_reference(&gone.repository, &reference)?;
            }
        }
        Ok(())
    }
}

fn is_old(used: SystemTime, grace: Duration) -> bool {
    // What was used in the future was not: a clock was set.
    used.elapsed().map_or(true, |age| age >= grace)
}
