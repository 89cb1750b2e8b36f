//! Commits that are made by the API instead of a push.

use cloud::{Caller, Cx, Error};
use engine::{Fault, GitChange, GitCommit, GitEntryKind};
use shapes::codecommit::*;

use crate::changes::Changes;
use crate::names::{no_branch, path, repository, source};
use crate::repository::RepositoryRecord;
use crate::view::file_mode;

/// Who a commit is by when nobody is named: who calls.
fn author(cx: &Cx, named: Option<String>) -> String {
    let caller = || match &cx.caller {
        Caller::Root(_) | Caller::RootSession { .. } | Caller::Daemon => "root".to_owned(),
        Caller::Service(name) => (*name).to_owned(),
        Caller::Anonymous => "anonymous".to_owned(),
        Caller::AssumedRole { session_name, .. } => session_name.clone(),
        Caller::User { arn, .. } => arn.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    named.filter(|it| !it.is_empty()).unwrap_or_else(caller)
}

/// The branch's commit, held against what the caller thinks that it is. The first commit of an empty
/// repository makes its branch.
async fn parent(
    cx: &Cx,
    repository: &RepositoryRecord,
    branch: &str,
    given: Option<String>,
) -> Result<Option<String>, Error> {
    let branches = cx.engine().git.branches(&source(repository)).await;
    let branches = branches.map_err(cloud::internal)?;
    match (branches.get(branch), given) {
        (None, None) if branches.is_empty() => Ok(None),
        (None, Some(given)) if branches.is_empty() => {
            Err(errors::ParentCommitDoesNotExistException
                .because(format!("The parent commit {given} does not exist")))
        }
        (None, _) => Err(no_branch(branch)),
        (Some(at), None) => Err(errors::ParentCommitIdRequiredException.because(format!(
            "A parent commit ID is required: the branch {branch} is at {at}"
        ))),
        (Some(at), Some(given)) if *at == given => Ok(Some(given)),
        (Some(_), Some(given)) => Err(errors::ParentCommitIdOutdatedException.because(format!(
            "The parent commit ID {given} is not the current tip of the branch {branch}"
        ))),
    }
}

struct Wanted {
    branch: String,
    author: String,
    email: String,
    message: String,
}

async fn write(
    cx: &Cx,
    repository: &RepositoryRecord,
    parent: Option<String>,
    changes: &Changes<'_>,
    wanted: Wanted,
) -> Result<GitCommit, Error> {
    let branch = wanted.branch.clone();
    let change = GitChange {
        branch: wanted.branch,
        parent,
        author_name: wanted.author,
        author_email: wanted.email,
        message: wanted.message,
        files: changes.edits(),
    };
    let written = cx.engine().git.write(&repository.id, &change).await;
    written.map_err(|error| match error.fault {
        Fault::Conflict => errors::ConcurrentReferenceUpdateException.because(format!(
            "The branch {branch} was changed by somebody else at the same time"
        )),
        Fault::Invalid => errors::InvalidPathException.because(error.to_string()),
        _ => cloud::internal(error),
    })
}

pub async fn put_file(cx: Cx, input: PutFileInput) -> Result<PutFileOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    let parent = parent(&cx, &found, &input.branch_name, input.parent_commit_id).await?;
    let file = path(&input.file_path).to_owned();
    let mut changes = Changes::new(&cx, &found, parent.as_deref());
    let (content, mode) = (input.file_content.0, input.file_mode);
    if let Some(parent) = &parent
        && is_same(&cx, &found, parent, &file, &content, mode).await
    {
        return Err(errors::SameFileContentException.because(format!(
            "The content of {file} is the same as in the branch already"
        )));
    }
    changes.put(&file, content, mode).await?;
    let wanted = Wanted {
        branch: input.branch_name,
        author: author(&cx, input.name),
        email: input.email.unwrap_or_default(),
        message: input
            .commit_message
            .unwrap_or_else(|| format!("Added {file}")),
    };
    let commit = write(&cx, &found, parent.clone(), &changes, wanted).await?;
    let entry = cx.engine().git.entry(&found.id, &commit.id, &file).await;
    Ok(PutFileOutput {
        blob_id: entry.map_err(cloud::internal)?.id,
        commit_id: commit.id,
        tree_id: commit.tree,
    })
}

async fn is_same(
    cx: &Cx,
    repository: &RepositoryRecord,
    parent: &str,
    file: &str,
    content: &[u8],
    mode: Option<FileModeTypeEnum>,
) -> bool {
    let git = &cx.engine().git;
    let Ok(entry) = git.entry(&repository.id, parent, file).await else {
        return false;
    };
    let same_mode = match entry.kind {
        GitEntryKind::File(kind) => mode.is_none_or(|it| it == file_mode(kind)),
        _ => false,
    };
    let size_max = content.len() as u64;
    same_mode
        && git
            .file(&repository.id, parent, file, size_max)
            .await
            .is_ok_and(|there| there == content)
}

pub async fn create_commit(cx: Cx, input: CreateCommitInput) -> Result<CreateCommitOutput, Error> {
    /// AWS's limit (User Guide, "Quotas").
    const FILES_MAX: usize = 100;
    let found = repository(&cx, &input.repository_name)?;
    let puts = input.put_files.unwrap_or_default();
    let deletes = input.delete_files.unwrap_or_default();
    let modes = input.set_file_modes.unwrap_or_default();
    let count = puts.len() + deletes.len() + modes.len();
    if count == 0 {
        return Err(errors::FileEntryRequiredException.because(
            "The commit cannot be created because no file changes were specified. A commit must add, update or delete at least one file",
        ));
    }
    if count > FILES_MAX {
        return Err(errors::MaximumFileEntriesExceededException.because(format!(
            "A commit can have no more than {FILES_MAX} changes"
        )));
    }
    let parent = parent(&cx, &found, &input.branch_name, input.parent_commit_id).await?;
    let mut changes = Changes::new(&cx, &found, parent.as_deref());
    for entry in puts {
        changes.put_entry(entry).await?;
    }
    for entry in deletes {
        changes.delete(&entry.file_path).await?;
    }
    for entry in modes {
        changes.set_mode(entry).await?;
    }
    let wanted = Wanted {
        branch: input.branch_name,
        author: author(&cx, input.author_name),
        email: input.email.unwrap_or_default(),
        message: input.commit_message.unwrap_or_default(),
    };
    let commit = write(&cx, &found, parent.clone(), &changes, wanted).await?;
    answer(&cx, &found, &changes, commit).await
}

async fn answer(
    cx: &Cx,
    repository: &RepositoryRecord,
    changes: &Changes<'_>,
    commit: GitCommit,
) -> Result<CreateCommitOutput, Error> {
    let (mut added, mut updated, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for edit in changes.edits() {
        if edit.content.is_none() {
            deleted.push(FileMetadata {
                blob_id: changes.blob_before(&edit.path),
                absolute_path: Some(edit.path),
                file_mode: None,
            });
            continue;
        }
        let git = &cx.engine().git;
        let entry = git.entry(&repository.id, &commit.id, &edit.path).await;
        let shown = FileMetadata {
            blob_id: Some(entry.map_err(cloud::internal)?.id),
            absolute_path: Some(edit.path.clone()),
            file_mode: Some(file_mode(edit.kind)),
        };
        match changes.was_there(&edit.path) {
            true => updated.push(shown),
            false => added.push(shown),
        }
    }
    Ok(CreateCommitOutput {
        commit_id: Some(commit.id),
        tree_id: Some(commit.tree),
        files_added: Some(added),
        files_updated: Some(updated),
        files_deleted: Some(deleted),
    })
}
