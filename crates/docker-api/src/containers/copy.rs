//! `docker cp`, `export` and `diff`: a container's files, running or not.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{Fault, RootOf};
use http::{Method, Response, StatusCode, header};
use rustix::fs::{AtFlags, FileType, OFlags, fstat, statat};
use serde_json::{Value, json};

use super::record::Mount;
use super::{Container, MAIN};
use crate::answer::{self, Answer, Refusal};
use crate::archive::{Owners, check, pack, pack_tree, spool, unpack, written_by};
use crate::clock::rfc3339;
use crate::disk::blocking;
use crate::docker::Docker;
use crate::limits::FOLDER_DEPTH_MAX;
use crate::routes::Call;
use crate::tree::{Links, Tree, is_directory, link_target, open_directory};

/// Held while a container is started, ended or looked into.
type Working = tokio::sync::OwnedMutexGuard<()>;

/// Which files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// As the container sees them.
    Mounted,
    /// Its own alone.
    Bare,
}

impl Docker {
    /// A container's root, whether it runs or not.
    async fn root_of(&self, container: &Container, view: View) -> Result<Arc<OwnedFd>, Refusal> {
        let record = container.record();
        let seen = record.mounts.iter().filter(|_| view == View::Mounted);
        if record.is_running() {
            let running = self.tasks.root(RootOf::Container {
                task: record.task(),
                container: MAIN.to_owned(),
            });
            match running.await {
                // It has ended in this moment.
                Err(error) if error.fault == Fault::NotFound => container.until_noted().await,
                root => return Ok(root?),
            }
        }
        let image = self.images.prepare_digest(&record.image_id).await?;
        let layers = self.tasks.root(RootOf::Layers {
            directories: image.directories,
            upper: container.upper(),
            mounts: seen.map(Mount::in_root).collect(),
        });
        Ok(layers.await?)
    }
}

/// A path that a client asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// In the root. It ends with `/.` when links are followed at its end, too.
    path: PathBuf,
    /// What an archive of it calls it, and clients replace by what they call it.
    name: PathBuf,
}

impl Asked {
    /// As docker reads it: `dir/.` is what is in the folder, `dir/` is the folder that a link leads to,
    /// and all of the root is called `/`.
    fn parse(text: &str) -> Self {
        let is_dot = text == "." || text.ends_with("/.");
        let follows = is_dot || text.ends_with('/');
        let mut path = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::ParentDir => drop(path.pop()),
                _ => {}
            }
        }
        let name = match path.file_name() {
            _ if is_dot => PathBuf::from("."),
            Some(name) => PathBuf::from(name),
            None => PathBuf::from("/"),
        };
        let path = match follows && name != Path::new("/") {
            true => path.join("."),
            false => path,
        };
        Self { path, name }
    }

    fn shown(&self) -> String {
        format!("/{}", self.path.display())
    }
}

/// What docker's client is told about a path.
fn stat_of(tree: &Tree<'_>, asked: &Asked) -> Result<Value, Refusal> {
    let missing = |_| {
        Refusal::not_found(format!(
            "Could not find the file {} in container",
            asked.shown()
        ))
    };
    // The path itself, not what it links to.
    let handle = tree
        .open(&asked.path, OFlags::PATH | OFlags::NOFOLLOW)
        .map_err(missing)?;
    let stat = fstat(&handle).map_err(missing)?;
    let link = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => link_target(&handle, Path::new("")).ok(),
        _ => None,
    };
    // Go's bits for kinds of files.
    let kind: u32 = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::CharacterDevice | FileType::BlockDevice => 1 << 26,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|it| stat.st_mode & it.0 != 0);
    let special: u32 = special.map(|it| it.1).sum();
    let name = asked.name.to_string_lossy();
    Ok(json!({
        "name": name, "size": stat.st_size, "mode": kind | special | (stat.st_mode & 0o777),
        "mtime": rfc3339(stat.st_mtime * 1000), "linkTarget": link.unwrap_or_default(),
    }))
}

pub async fn archive(call: Call, container: &Arc<Container>, method: &Method) -> Answer {
    let docker = call.docker.clone();
    let path = call.query.get("path");
    let path = path.ok_or_else(|| Refusal::bad("say which path: `path`"))?;
    let asked = Asked::parse(path);
    // One that does not run must not be started meanwhile: its root is looked at from outside.
    let working = container.working.clone().lock_owned().await;
    let working = Some(working).filter(|_| !container.record().is_running());
    let root = docker.root_of(container, View::Mounted).await?;
    match *method {
        Method::PUT => put(&call, root, &asked).await,
        _ => get(root, asked, method, working),
    }
}

async fn put(call: &Call, root: Arc<OwnedFd>, asked: &Asked) -> Answer {
    let tree = Tree::new(&root, Links::Within);
    let directory = tree.open(&asked.path, OFlags::PATH | OFlags::DIRECTORY);
    directory.map_err(|_| {
        Refusal::not_found(format!(
            "Could not find the directory {} in container",
            asked.shown()
        ))
    })?;
    let file = spool(&call.body, &call.docker).await?;
    let path = asked.path.clone();
    blocking(move || {
        check(&file)?;
        unpack(&file, &root, Links::Within, &path, Owners::Kept)
    })
    .await?;
    answer::empty(StatusCode::OK)
}

fn get(root: Arc<OwnedFd>, asked: Asked, method: &Method, working: Option<Working>) -> Answer {
    let stat = stat_of(&Tree::new(&root, Links::Within), &asked)?;
    let mut response = match *method {
        Method::HEAD => Response::new(answer::full("")),
        _ => Response::new(written_by(move |to| {
            let _working = working;
            pack(&root, &asked.path, &asked.name, to)
        })),
    };
    let encoded = STANDARD.encode(stat.to_string());
    answer::set(&mut response, "x-docker-container-path-stat", &encoded);
    answer::set(&mut response, header::CONTENT_TYPE, "application/x-tar");
    Ok(response)
}

/// `GET /containers/{id}/export`
pub async fn export(call: Call, container: &Arc<Container>) -> Answer {
    let working = container.working.clone().lock_owned().await;
    // Without what is mounted in it, which a look into a running one would show.
    let (working, links) = match container.record().is_running() {
        true => (None, Links::WithinAlone),
        false => (Some(working), Links::Within),
    };
    let root = call.docker.root_of(container, View::Bare).await?;
    let body = written_by(move |to| {
        let _working = working;
        let tree = Tree::new(&root, links);
        pack_tree(&tree, Path::new(""), Path::new("."), to)
    });
    let mut response = Response::new(body);
    answer::set(&mut response, header::CONTENT_TYPE, "application/x-tar");
    Ok(response)
}

/// `GET /containers/{id}/changes`: what is in its upper directory, told from what is below.
pub async fn changes(call: Call, container: &Arc<Container>) -> Answer {
    let record = container.record();
    let below = call
        .docker
        .images
        .prepare_digest(&record.image_id)
        .await?
        .directories;
    let upper = container.upper();
    let changes = blocking(move || changes_in(&upper, &below)).await?;
    answer::ok(json!(changes))
}

/// What is in the layers, and in the directory above them, is a stranger's: no link in them is
/// followed, also not one that takes a folder's place while it is looked at.
fn changes_in(upper: &Path, below: &[PathBuf]) -> engine::Result<Vec<Value>> {
    let upper = open_directory(upper)?;
    let below: Vec<OwnedFd> = below
        .iter()
        .map(|it| open_directory(it))
        .collect::<engine::Result<_>>()?;
    let there = |path: &Path| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        below
            .iter()
            .any(|it| Tree::new(it, Links::Refuse).open(path, flags).is_ok())
    };
    let mut changes = Vec::new();
    let upper = Tree::new(&upper, Links::Refuse);
    look(&upper, Path::new(""), &there, &mut changes, 0)?;
    Ok(changes)
}

fn look(
    upper: &Tree<'_>,
    path: &Path,
    there: &impl Fn(&Path) -> bool,
    changes: &mut Vec<Value>,
    depth: usize,
) -> engine::Result<()> {
    const MODIFIED: u8 = 0;
    const ADDED: u8 = 1;
    const DELETED: u8 = 2;
    if depth > FOLDER_DEPTH_MAX {
        return Err(engine::EngineError::invalid(
            "folders are nested too deeply",
        ));
    }
    let folder = match upper.open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
        Ok(folder) => folder,
        // It is gone, or something else, since it was seen.
        Err(_) if depth > 0 => return Ok(()),
        Err(error) => return Err(std::io::Error::from(error).into()),
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder).map_err(std::io::Error::from)? {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort();
    for name in names {
        let stat = match statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(_) => continue,
        };
        let path = path.join(name);
        let gone =
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0;
        let kind = match (gone, there(&path)) {
            (true, _) => DELETED,
            (false, true) => MODIFIED,
            (false, false) => ADDED,
        };
        changes.push(json!({ "Path": format!("/{}", path.display()), "Kind": kind }));
        if is_directory(&stat) {
            look(upper, &path, there, changes, depth + 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_dockers() {
        for (text, path, name) in [
            ("/a/b", "a/b", "b"),
            ("a/b/", "a/b/.", "b"),
            ("/a/b/.", "a/b/.", "."),
            ("/", "", "/"),
            ("/.", ".", "."),
            ("/../a/../..", "", "/"),
        ] {
            let expect = Asked {
                path: path.into(),
                name: name.into(),
            };
            let asked = Asked::parse(text);
            // As text: paths that end with a dot are equal to those that do not.
            assert_eq!(asked.path.as_os_str(), expect.path.as_os_str(), "{text}");
            assert_eq!(asked.name, expect.name, "{text}");
        }
    }

    #[test]
    fn links_in_layers_tell_nothing_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let (upper, layer) = (folder.path().join("upper"), folder.path().join("layer"));
        std::fs::create_dir_all(folder.path().join("secret/there")).unwrap();
        std::fs::create_dir_all(upper.join("a/there")).unwrap();
        std::fs::create_dir_all(layer.join("b/there")).unwrap();
        std::fs::create_dir_all(upper.join("b/there")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), layer.join("a")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), upper.join("c")).unwrap();
        let changes = changes_in(&upper, &[layer]).unwrap();
        let expected = [
            ("/a", 0),
            ("/a/there", 1),
            ("/b", 0),
            ("/b/there", 0),
            ("/c", 1),
        ];
        let expected = expected.map(|(path, kind)| json!({ "Path": path, "Kind": kind }));
        assert_eq!(changes, expected);
    }
}
