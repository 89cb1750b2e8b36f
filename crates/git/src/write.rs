//! Writes commits to a repository that is kept here, without a working tree.

use std::path::Path;

use engine::{EngineError, GitChange, GitEdit, GitFileKind, Result};

use crate::names::{check_path, check_ref, is_object_id};
use crate::read;
use crate::run::git;

/// What a ref is expected to be at when it is expected not to be there.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// Writes the commit and answers its id. The branch moves only when it is where the change says.
pub async fn write(repository: &Path, change: &GitChange, scratch: &str) -> Result<String> {
    check_ref(&change.branch)?;
    if let Some(parent) = &change.parent
        && !is_object_id(parent)
    {
        return Err(EngineError::invalid(format!(
            "`{parent}` is not a commit's id"
        )));
    }
    for edit in &change.files {
        check_path(&edit.path)?;
    }
    let branch = format!("refs/heads/{}", change.branch);
    let draft = format!("refs/neargate/{scratch}");
    let import = git(["fast-import", "--quiet", "--date-format=now", "--force"]);
    import
        .at(repository)
        .input(stream(change, &draft))
        .run()
        .await?;
    let id = git(["rev-parse", "--verify", "--end-of-options", &draft])
        .at(repository)
        .text()
        .await;
    let moved = match &id {
        Ok(id) => {
            let expected = change.parent.as_deref().unwrap_or(NOTHING);
            move_branch(repository, &branch, id, expected).await
        }
        Err(_) => Ok(()),
    };
    git(["update-ref", "-d", &draft])
        .at(repository)
        .run()
        .await?;
    moved?;
    settle_head(repository, Some(&change.branch)).await?;
    id
}

async fn move_branch(repository: &Path, branch: &str, to: &str, expected: &str) -> Result<()> {
    let call = git(["update-ref", branch, to, expected]).at(repository);
    match call.run().await {
        Ok(_) => Ok(()),
        Err(error) if error.message.contains("cannot lock ref") => {
            Err(EngineError::conflict("the branch has moved").because(error))
        }
        Err(error) => Err(error),
    }
}

pub async fn set_branch(repository: &Path, branch: &str, commit: Option<&str>) -> Result<()> {
    check_ref(branch)?;
    let name = format!("refs/heads/{branch}");
    match commit {
        Some(commit) => {
            let id = read::resolve(repository, commit).await?;
            git(["update-ref", &name, &id]).at(repository).run().await?;
            settle_head(repository, Some(branch)).await
        }
        None => {
            git(["update-ref", "-d", &name])
                .at(repository)
                .run()
                .await?;
            Ok(())
        }
    }
}

pub async fn set_default_branch(repository: &Path, branch: &str) -> Result<()> {
    check_ref(branch)?;
    if !read::branches(repository).await?.contains_key(branch) {
        return Err(EngineError::not_found(format!(
            "there is no branch `{branch}`"
        )));
    }
    point_head(repository, branch).await
}

async fn point_head(repository: &Path, branch: &str) -> Result<()> {
    let name = format!("refs/heads/{branch}");
    let call = git(["symbolic-ref", "HEAD", &name]).at(repository);
    call.run().await.map(|_| ())
}

/// The first branch of a repository becomes the one that clones begin on.
pub async fn settle_head(repository: &Path, branch: Option<&str>) -> Result<()> {
    if read::default_branch(repository).await?.is_some() {
        return Ok(());
    }
    let branches = read::branches(repository).await?;
    let first = branch.filter(|it| branches.contains_key(*it));
    match first.or_else(|| branches.keys().next().map(String::as_str)) {
        Some(branch) => point_head(repository, branch).await,
        None => Ok(()),
    }
}

/// The commit in the language of `git fast-import`.
fn stream(change: &GitChange, reference: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let person = format!(
        "{} <{}> now",
        plain(&change.author_name),
        plain(&change.author_email)
    );
    out.extend_from_slice(format!("commit {reference}\nauthor {person}\n").as_bytes());
    out.extend_from_slice(format!("committer {person}\n").as_bytes());
    data(&mut out, change.message.as_bytes());
    if let Some(parent) = &change.parent {
        out.extend_from_slice(format!("from {parent}\n").as_bytes());
    }
    for GitEdit {
        path,
        content,
        kind,
    } in &change.files
    {
        let path = quoted(path);
        let Some(content) = content else {
            out.extend_from_slice(format!("D {path}\n").as_bytes());
            continue;
        };
        let mode = match kind {
            GitFileKind::Plain => "100644",
            GitFileKind::Executable => "100755",
            GitFileKind::Link => "120000",
        };
        out.extend_from_slice(format!("M {mode} inline {path}\n").as_bytes());
        data(&mut out, content);
    }
    out.extend_from_slice(b"\ndone\n");
    out
}

fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("data {}\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

/// A name without what ends it in Git's own format.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|it| !it.is_control() && !"<>".contains(*it))
        .collect()
}

/// A path as C writes it, which is what may hold any character.
fn quoted(path: &str) -> String {
    let mut out = String::from("\"");
    for it in path.chars() {
        match it {
            '"' | '\\' => out.extend(['\\', it]),
            '\n' => out.push_str("\\n"),
            _ => out.push(it),
        }
    }
    out.push('"');
    out
}
