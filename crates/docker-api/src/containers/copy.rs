//! `docker cp`, `export` and `diff`: a container's files, running or not.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::RootOf;
use http::{Method, Response, StatusCode, header};
use rustix::fs::{FileType, OFlags, fstat};
use serde_json::{Value, json};

use super::{Container, MAIN};
use crate::answer::{self, Answer, Refusal};
use crate::archive::{Owners, check, pack, spool, unpack, written_by};
use crate::clock::rfc3339;
use crate::disk::blocking;
use crate::docker::Docker;
use crate::limits::FOLDER_DEPTH_MAX;
use crate::routes::Call;
use crate::tree::{Links, Tree, is_directory, link_target};

impl Docker {
    /// A container's root, whether it runs or not.
    async fn root_of(&self, container: &Container) -> Result<Arc<OwnedFd>, Refusal> {
        let record = container.record();
        let of = match record.is_running() {
            true => RootOf::Container {
                task: record.task(),
                container: MAIN.to_owned(),
            },
            false => RootOf::Layers {
                directories: self
                    .images
                    .prepare_digest(&record.image_id)
                    .await?
                    .directories,
                upper: self.containers.upper(&record.id),
            },
        };
        Ok(self.tasks.root(of).await?)
    }
}

/// What docker's client is told about a path.
fn stat_of(tree: &Tree<'_>, path: &Path) -> Result<Value, Refusal> {
    let missing = |_| {
        Refusal::not_found(format!(
            "Could not find the file /{} in container",
            path.display()
        ))
    };
    // The path itself, not what it links to.
    let handle = tree
        .open(path, OFlags::PATH | OFlags::NOFOLLOW)
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
    let name = path
        .file_name()
        .map_or("/".into(), |it| it.to_string_lossy());
    Ok(json!({
        "name": name, "size": stat.st_size, "mode": kind | (stat.st_mode & 0o777),
        "mtime": rfc3339(stat.st_mtime * 1000), "linkTarget": link.unwrap_or_default(),
    }))
}

pub async fn archive(mut call: Call, container: &Arc<Container>, method: &Method) -> Answer {
    let docker = call.docker.clone();
    let path = call.query.get("path").map(str::to_owned);
    let path = path.ok_or_else(|| Refusal::bad("say which path: `path`"))?;
    let path = PathBuf::from(path.trim_start_matches('/'));
    if container.record().is_running() {
        return in_root(&mut call, docker.root_of(container).await?, &path, method).await;
    }
    // It must not be started meanwhile: its root is looked at from outside.
    let _working = container.working.lock().await;
    in_root(&mut call, docker.root_of(container).await?, &path, method).await
}

async fn in_root(call: &mut Call, root: Arc<OwnedFd>, path: &Path, method: &Method) -> Answer {
    let tree = Tree::new(&root, Links::Within);
    if *method == Method::PUT {
        let directory = tree.open(path, OFlags::PATH | OFlags::DIRECTORY);
        directory.map_err(|_| {
            Refusal::not_found(format!(
                "Could not find the directory /{} in container",
                path.display()
            ))
        })?;
        let file = spool(&mut call.body, &call.docker.scratch()).await?;
        let (root, path) = (root.clone(), path.to_owned());
        blocking(move || {
            check(&file)?;
            unpack(&file, &root, Links::Within, &path, Owners::Kept)
        })
        .await?;
        return answer::empty(StatusCode::OK);
    }
    let stat = stat_of(&tree, path)?;
    let mut response = match *method {
        Method::HEAD => Response::new(answer::full("")),
        _ => {
            // A folder's archive has the folder's own name in it, as docker's has.
            let name = match path.file_name() {
                Some(name) => PathBuf::from(name),
                None => PathBuf::from("."),
            };
            let path = path.to_owned();
            let root = root.clone();
            Response::new(written_by(move |to| pack(&root, &path, &name, to)))
        }
    };
    let encoded = STANDARD.encode(stat.to_string());
    answer::set(&mut response, "x-docker-container-path-stat", &encoded);
    answer::set(&mut response, header::CONTENT_TYPE, "application/x-tar");
    Ok(response)
}

/// `GET /containers/{id}/export`
pub async fn export(call: Call, container: &Arc<Container>) -> Answer {
    let record = container.record();
    let directories = call
        .docker
        .images
        .prepare_digest(&record.image_id)
        .await?
        .directories;
    // Without what is mounted in it, which a look into a running one would show.
    if record.is_running() {
        return Err(Refusal::not_built(
            "exporting a running container (stop it first)",
        ));
    }
    let of = RootOf::Layers {
        directories,
        upper: call.docker.containers.upper(&record.id),
    };
    let root = call.docker.tasks.root(of).await?;
    let body = written_by(move |to| pack(&root, Path::new(""), Path::new("."), to));
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
    let upper = call.docker.containers.upper(&record.id);
    let changes = blocking(move || {
        let mut changes = Vec::new();
        let there = |path: &Path| {
            below
                .iter()
                .any(|it| it.join(path).symlink_metadata().is_ok())
        };
        look(&upper, Path::new(""), &there, &mut changes, 0)?;
        Ok(changes)
    })
    .await?;
    answer::ok(json!(changes))
}

fn look(
    upper: &Path,
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
    let mut names = Vec::new();
    for entry in std::fs::read_dir(upper.join(path))? {
        names.push(entry?.file_name());
    }
    names.sort();
    for name in names {
        let path = path.join(name);
        let stat = rustix::fs::lstat(upper.join(&path)).map_err(std::io::Error::from)?;
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
