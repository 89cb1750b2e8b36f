//! Reads a repository on this disk: one that is kept here, or the copy of a remote one.

use std::collections::BTreeMap;
use std::path::Path;

use engine::{
    EngineError, Fault, GitCommit, GitDifference, GitEntry, GitEntryKind, GitFileKind, Result,
};

use crate::names::{check_path, check_ref, is_object_id};
use crate::run::{Call, git};

/// The tree of nothing: every Git knows it.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

pub async fn branches(repository: &Path) -> Result<BTreeMap<String, String>> {
    let call = git([
        "for-each-ref",
        "--format=%(objectname) %(refname)",
        "refs/heads/",
    ]);
    let text = call.at(repository).text().await?;
    let branch = |line: &str| {
        let (id, name) = line.split_once(' ')?;
        Some((name.strip_prefix("refs/heads/")?.to_owned(), id.to_owned()))
    };
    Ok(text.lines().filter_map(branch).collect())
}

/// The branch that HEAD names, when it is there.
pub async fn default_branch(repository: &Path) -> Result<Option<String>> {
    let head = git(["symbolic-ref", "HEAD"]).at(repository).text().await?;
    if find(repository, &head).await?.is_none() {
        return Ok(None);
    }
    Ok(head.strip_prefix("refs/heads/").map(str::to_owned))
}

/// The commit that a name of Git's stands for.
async fn find(repository: &Path, name: &str) -> Result<Option<String>> {
    let name = format!("{name}^{{commit}}");
    let call = git([
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &name,
    ]);
    match call.at(repository).text().await {
        Ok(id) => Ok(Some(id)),
        // It says nothing when there is none.
        Err(error) if error.fault == Fault::NotFound || error.message.contains("said nothing") => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A branch, a tag or a commit's id: branches come first.
pub async fn resolve(repository: &Path, revision: &str) -> Result<String> {
    check_ref(revision)?;
    for name in [
        format!("refs/heads/{revision}"),
        format!("refs/tags/{revision}"),
    ] {
        if let Some(id) = find(repository, &name).await? {
            return Ok(id);
        }
    }
    let is_id =
        (4..=40).contains(&revision.len()) && revision.bytes().all(|it| it.is_ascii_hexdigit());
    if is_id && let Some(id) = find(repository, revision).await? {
        return Ok(id);
    }
    Err(EngineError::not_found(format!(
        "there is no branch, tag or commit `{revision}`"
    )))
}

pub async fn has_commit(repository: &Path, id: &str) -> bool {
    is_object_id(id) && matches!(find(repository, id).await, Ok(Some(_)))
}

pub async fn commit(repository: &Path, id: &str) -> Result<GitCommit> {
    let call = git([
        "log",
        "-1",
        "--no-show-signature",
        "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%ct%x00%B",
        "--end-of-options",
        id,
        "--",
    ]);
    let text = call.at(repository).text().await?;
    let parts: Vec<_> = text.splitn(8, '\0').collect();
    let [id, tree, parents, name, email, authored, committed, message] = parts[..] else {
        return Err(EngineError::machine(
            "git describes a commit in another way",
        ));
    };
    let parents = match parents {
        // In a copy without history a commit seems to have none: its object names them.
        "" => named_parents(repository, id).await?,
        parents => parents.split_whitespace().map(str::to_owned).collect(),
    };
    Ok(GitCommit {
        id: id.to_owned(),
        tree: tree.to_owned(),
        parents,
        author_name: name.to_owned(),
        author_email: email.to_owned(),
        authored_at: authored.parse().unwrap_or_default(),
        committed_at: committed.parse().unwrap_or_default(),
        message: message.trim_end().to_owned(),
    })
}

/// The parents that a commit's object names, whether they are here or not.
async fn named_parents(repository: &Path, id: &str) -> Result<Vec<String>> {
    let text = git(["cat-file", "commit", id])
        .at(repository)
        .text()
        .await?;
    let head = text.lines().take_while(|it| !it.is_empty());
    Ok(head
        .filter_map(|it| it.strip_prefix("parent "))
        .map(str::to_owned)
        .collect())
}

/// Paths that differ; both are commits' ids.
pub async fn differences(
    repository: &Path,
    from: Option<&str>,
    to: &str,
) -> Result<Vec<GitDifference>> {
    let from = from.unwrap_or(EMPTY_TREE);
    let call = git([
        "diff-tree",
        "-r",
        "-z",
        "--no-renames",
        "--end-of-options",
        from,
        to,
    ]);
    let output = call.at(repository).run().await?;
    let text = String::from_utf8_lossy(&output);
    let mut fields = text.split('\0');
    let mut differences = Vec::new();
    while let (Some(what), Some(path)) = (fields.next(), fields.next()) {
        let parts: Vec<_> = what.trim_start_matches(':').split(' ').collect();
        let [mode_before, mode_after, id_before, id_after, _] = parts[..] else {
            return Err(EngineError::machine(
                "git describes differences in another way",
            ));
        };
        let side =
            |mode: &str, id: &str| (mode != "000000").then(|| (mode.to_owned(), id.to_owned()));
        differences.push(GitDifference {
            path: path.to_owned(),
            before: side(mode_before, id_before),
            after: side(mode_after, id_after),
        });
    }
    Ok(differences)
}

/// What a path of a commit is.
pub async fn entry(repository: &Path, commit: &str, path: &str) -> Result<GitEntry> {
    if path.is_empty() {
        let name = format!("{commit}^{{tree}}");
        let call = git([
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ]);
        return Ok(GitEntry {
            path: String::new(),
            id: call.at(repository).text().await?,
            kind: GitEntryKind::Folder,
            size_bytes: None,
        });
    }
    check_path(path)?;
    let found = list(repository, commit, path).await?.into_iter().next();
    found.ok_or_else(|| EngineError::not_found(format!("there is no `{path}`")))
}

/// What is in a folder of a commit.
pub async fn entries(repository: &Path, commit: &str, folder: &str) -> Result<Vec<GitEntry>> {
    if entry(repository, commit, folder).await?.kind != GitEntryKind::Folder {
        return Err(EngineError::not_found(format!(
            "`{folder}` is not a folder"
        )));
    }
    let below = match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    list(repository, commit, &below).await
}

async fn list(repository: &Path, commit: &str, path: &str) -> Result<Vec<GitEntry>> {
    let mut arguments = vec!["ls-tree", "-z", "-l", "--full-tree", commit];
    if !path.is_empty() {
        arguments.extend(["--", path]);
    }
    let output = git(arguments).at(repository).run().await?;
    let text = String::from_utf8_lossy(&output);
    text.split('\0')
        .filter(|it| !it.is_empty())
        .map(|line| {
            parse_entry(line)
                .ok_or_else(|| EngineError::machine("git describes a folder in another way"))
        })
        .collect()
}

/// `100644 blob <id>    <size>\t<path>`
fn parse_entry(line: &str) -> Option<GitEntry> {
    let (what, path) = line.split_once('\t')?;
    let mut parts = what.split_whitespace();
    let (mode, _, id, size) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let kind = match mode {
        "040000" => GitEntryKind::Folder,
        "160000" => GitEntryKind::Submodule,
        "100755" => GitEntryKind::File(GitFileKind::Executable),
        "120000" => GitEntryKind::File(GitFileKind::Link),
        _ => GitEntryKind::File(GitFileKind::Plain),
    };
    Some(GitEntry {
        path: path.to_owned(),
        id: id.to_owned(),
        kind,
        size_bytes: size.parse().ok(),
    })
}

pub async fn file(repository: &Path, commit: &str, path: &str, size_max: u64) -> Result<Vec<u8>> {
    let entry = entry(repository, commit, path).await?;
    if !matches!(entry.kind, GitEntryKind::File(_)) {
        return Err(EngineError::not_found(format!("`{path}` is not a file")));
    }
    blob(repository, &entry.id, size_max).await
}

pub async fn blob(repository: &Path, id: &str, size_max: u64) -> Result<Vec<u8>> {
    if !is_object_id(id) {
        return Err(EngineError::invalid(format!(
            "`{id}` is not an object's id"
        )));
    }
    let call = git(["cat-file", "-s", id]).at(repository);
    let size: u64 = call.text().await?.parse().unwrap_or(u64::MAX);
    if size > size_max {
        return Err(EngineError::invalid(format!(
            "the file has {size} bytes, more than {size_max}"
        )));
    }
    git(["cat-file", "blob", id]).at(repository).run().await
}

/// Puts the files of a commit into an empty folder. `index` is a file that it may use meanwhile.
pub async fn check_out(repository: &Path, commit: &str, into: &Path, index: &Path) -> Result<()> {
    let at = |call: Call| {
        call.at(repository)
            .with("GIT_INDEX_FILE", index)
            .with("GIT_WORK_TREE", into)
            .set("core.bare", "false")
            .within(crate::limits::FETCH_TIMEOUT)
    };
    let done = async {
        at(git(["read-tree", commit])).run().await?;
        at(git(["checkout-index", "--all", "--force", "--quiet"]))
            .run()
            .await
    };
    let outcome = done.await;
    let _ = tokio::fs::remove_file(index).await;
    outcome.map(|_| ())
}
