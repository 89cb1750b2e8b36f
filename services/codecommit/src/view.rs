//! Looking at commits, files, folders and differences.

use cloud::{Cx, Error};
use engine::{EngineError, Fault, GitCommit, GitDifference, GitEntry, GitEntryKind, GitFileKind};
use shapes::codecommit::*;

use crate::names::{no_revision, path, repository, source};
use crate::repository::RepositoryRecord;

/// AWS's limit of a file that its API gives (User Guide, "Quotas").
pub const FILE_BYTES_MAX: u64 = 6 * 1024 * 1024;

/// What a specifier names; without one, the default branch.
async fn revision(
    cx: &Cx,
    repository: &RepositoryRecord,
    specifier: Option<&str>,
) -> Result<GitCommit, Error> {
    let (git, source) = (&cx.engine().git, source(repository));
    let named = match specifier {
        Some(specifier) => {
            let heads = specifier.strip_prefix("refs/heads/");
            let plain = heads.or_else(|| specifier.strip_prefix("refs/tags/"));
            plain.unwrap_or(specifier).to_owned()
        }
        None => {
            let branch = git.default_branch(&source).await.map_err(cloud::internal)?;
            branch.ok_or_else(|| {
                errors::CommitDoesNotExistException.because("The repository has no commits")
            })?
        }
    };
    if named == "HEAD" {
        return Box::pin(revision(cx, repository, None)).await;
    }
    let commit = git.commit(&source, &named).await;
    commit.map_err(|error| no_revision(error, &named))
}

fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|it| it.is_ascii_hexdigit())
}

pub async fn get_commit(cx: Cx, input: GetCommitInput) -> Result<GetCommitOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    if !is_id(&input.commit_id) {
        return Err(errors::InvalidCommitIdException
            .because(format!("The commit ID {} is not valid", input.commit_id)));
    }
    let source = source(&found);
    let commit = cx.engine().git.commit(&source, &input.commit_id).await;
    let commit = commit.map_err(|error| match error.fault {
        Fault::NotFound => errors::CommitIdDoesNotExistException
            .because(format!("The commit ID {} does not exist", input.commit_id)),
        _ => cloud::internal(error),
    })?;
    let person = |seconds: i64| UserInfo {
        name: Some(commit.author_name.clone()),
        email: Some(commit.author_email.clone()),
        date: Some(format!("{seconds} +0000")),
    };
    Ok(GetCommitOutput {
        commit: Commit {
            author: Some(person(commit.authored_at)),
            committer: Some(person(commit.committed_at)),
            commit_id: Some(commit.id),
            tree_id: Some(commit.tree),
            parents: Some(commit.parents),
            message: Some(commit.message),
            additional_data: Some(String::new()),
        },
    })
}

pub fn file_mode(kind: GitFileKind) -> FileModeTypeEnum {
    match kind {
        GitFileKind::Plain => FileModeTypeEnum::Normal,
        GitFileKind::Executable => FileModeTypeEnum::Executable,
        GitFileKind::Link => FileModeTypeEnum::Symlink,
    }
}

fn no_path(error: EngineError, missing: Error) -> Error {
    match error.fault {
        Fault::NotFound | Fault::Invalid => missing,
        _ => cloud::internal(error),
    }
}

pub async fn get_file(cx: Cx, input: GetFileInput) -> Result<GetFileOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    let commit = revision(&cx, &found, input.commit_specifier.as_deref()).await?;
    let git = &cx.engine().git;
    let path = path(&input.file_path);
    let missing = || {
        errors::FileDoesNotExistException.because(format!("Could not find path {path} in commit"))
    };
    let entry = git.entry(&found.id, &commit.id, path).await;
    let entry = entry.map_err(|error| no_path(error, missing()))?;
    let GitEntryKind::File(kind) = entry.kind else {
        return Err(missing());
    };
    let size = entry.size_bytes.unwrap_or_default();
    if size > FILE_BYTES_MAX {
        return Err(errors::FileTooLargeException.because(format!(
            "The file {path} has {size} bytes; the limit is {FILE_BYTES_MAX}"
        )));
    }
    let content = git.file(&found.id, &commit.id, path, FILE_BYTES_MAX).await;
    Ok(GetFileOutput {
        commit_id: commit.id,
        blob_id: entry.id,
        file_path: path.to_owned(),
        file_mode: file_mode(kind),
        file_size: i64::try_from(size).unwrap_or(i64::MAX),
        file_content: wire::Blob(content.map_err(cloud::internal)?),
    })
}

pub async fn get_folder(cx: Cx, input: GetFolderInput) -> Result<GetFolderOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    let commit = revision(&cx, &found, input.commit_specifier.as_deref()).await?;
    let git = &cx.engine().git;
    let folder = path(&input.folder_path);
    let missing = |error| {
        let why = format!("Could not find folder {folder} in commit");
        no_path(error, errors::FolderDoesNotExistException.because(why))
    };
    let tree = git.entry(&found.id, &commit.id, folder).await;
    let tree = tree.map_err(missing)?;
    let entries = git.entries(&found.id, &commit.id, folder).await;
    let mut output = GetFolderOutput {
        commit_id: commit.id,
        folder_path: folder.to_owned(),
        tree_id: Some(tree.id),
        ..Default::default()
    };
    for entry in entries.map_err(missing)? {
        put_entry(&mut output, entry, folder);
    }
    Ok(output)
}

fn put_entry(output: &mut GetFolderOutput, entry: GitEntry, folder: &str) {
    let relative = entry.path.strip_prefix(folder).unwrap_or(&entry.path);
    let relative_path = Some(relative.trim_start_matches('/').to_owned());
    let (id, absolute_path) = (Some(entry.id), Some(entry.path));
    match entry.kind {
        GitEntryKind::Folder => output.sub_folders.get_or_insert_default().push(Folder {
            tree_id: id,
            absolute_path,
            relative_path,
        }),
        GitEntryKind::Submodule => output.sub_modules.get_or_insert_default().push(SubModule {
            commit_id: id,
            absolute_path,
            relative_path,
        }),
        GitEntryKind::File(GitFileKind::Link) => {
            output
                .symbolic_links
                .get_or_insert_default()
                .push(SymbolicLink {
                    blob_id: id,
                    absolute_path,
                    relative_path,
                    file_mode: Some(FileModeTypeEnum::Symlink),
                });
        }
        GitEntryKind::File(kind) => output.files.get_or_insert_default().push(File {
            blob_id: id,
            absolute_path,
            relative_path,
            file_mode: Some(file_mode(kind)),
        }),
    }
}

pub async fn get_differences(
    cx: Cx,
    input: GetDifferencesInput,
) -> Result<GetDifferencesOutput, Error> {
    /// AWS's default, and its most, of a page.
    const PAGE: usize = 100;
    let found = repository(&cx, &input.repository_name)?;
    let after = revision(&cx, &found, Some(&input.after_commit_specifier)).await?;
    let before = match &input.before_commit_specifier {
        Some(before) => Some(revision(&cx, &found, Some(before)).await?.id),
        None => None,
    };
    let git = &cx.engine().git;
    let all = git.differences(&found.id, before.as_deref(), &after.id);
    let mut all = all.await.map_err(cloud::internal)?;
    let within = |wanted: &Option<String>, it: &GitDifference| match wanted.as_deref().map(path) {
        None | Some("") => true,
        Some(wanted) => it.path == wanted || it.path.starts_with(&format!("{wanted}/")),
    };
    all.retain(|it| within(&input.before_path, it) && within(&input.after_path, it));
    if let Some(token) = &input.next_token {
        all.retain(|it| it.path.as_str() > token.as_str());
    }
    let count = input.max_results.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(PAGE).clamp(1, PAGE);
    let more = all.len() > count;
    all.truncate(count);
    Ok(GetDifferencesOutput {
        next_token: all.last().filter(|_| more).map(|it| it.path.clone()),
        differences: Some(all.into_iter().map(difference).collect()),
    })
}

fn difference(it: GitDifference) -> Difference {
    let change_type = match (&it.before, &it.after) {
        (None, _) => ChangeTypeEnum::A,
        (_, None) => ChangeTypeEnum::D,
        _ => ChangeTypeEnum::M,
    };
    let path = it.path;
    let side = |side: Option<(String, String)>| {
        side.map(|(mode, id)| BlobMetadata {
            blob_id: Some(id),
            path: Some(path.clone()),
            mode: Some(mode),
        })
    };
    Difference {
        before_blob: side(it.before),
        after_blob: side(it.after),
        change_type: Some(change_type),
    }
}
