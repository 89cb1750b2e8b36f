//! What a commit changes, before it is written: files put, deleted, moved and given another mode.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use engine::{Fault, GitEdit, GitEntry, GitEntryKind, GitFileKind};
use shapes::codecommit::*;

use crate::names::path;
use crate::repository::RepositoryRecord;
use crate::view::{FILE_BYTES_MAX, file_mode};

/// A commit in the making, over its parent.
pub struct Changes<'a> {
    cx: &'a Cx,
    repository: &'a RepositoryRecord,
    parent: Option<&'a str>,
    edits: BTreeMap<String, GitEdit>,
    /// Paths that the parent has, of those that are edited.
    before: BTreeMap<String, Option<GitEntry>>,
}

fn kind(mode: FileModeTypeEnum) -> GitFileKind {
    match mode {
        FileModeTypeEnum::Executable => GitFileKind::Executable,
        FileModeTypeEnum::Normal => GitFileKind::Plain,
        FileModeTypeEnum::Symlink => GitFileKind::Link,
    }
}

impl<'a> Changes<'a> {
    pub fn new(cx: &'a Cx, repository: &'a RepositoryRecord, parent: Option<&'a str>) -> Self {
        Self {
            cx,
            repository,
            parent,
            edits: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }

    /// The file that the parent has at a path.
    async fn file_before(&mut self, path: &str) -> Result<Option<GitEntry>, Error> {
        if let Some(known) = self.before.get(path) {
            return Ok(known.clone());
        }
        let entry = match self.parent {
            None => None,
            Some(parent) => {
                let git = &self.cx.engine().git;
                match git.entry(&self.repository.id, parent, path).await {
                    Ok(entry) => Some(entry),
                    Err(error) if error.fault == Fault::NotFound => None,
                    Err(error) if error.fault == Fault::Invalid => {
                        return Err(errors::InvalidPathException
                            .because(format!("The path {path} is not valid")));
                    }
                    Err(error) => return Err(cloud::internal(error)),
                }
            }
        };
        match entry.as_ref().map(|it| it.kind) {
            Some(GitEntryKind::Folder) => {
                return Err(
                    errors::FileNameConflictsWithDirectoryNameException.because(format!(
                        "The file name {path} conflicts with a folder of the same name"
                    )),
                );
            }
            Some(GitEntryKind::Submodule) => {
                return Err(errors::FilePathConflictsWithSubmodulePathException
                    .because(format!("The file path {path} conflicts with a submodule")));
            }
            _ => (),
        }
        self.before.insert(path.to_owned(), entry.clone());
        Ok(entry)
    }

    /// A folder of the path must not be a file.
    async fn check_folders(&mut self, path: &str) -> Result<(), Error> {
        let (Some(parent), git) = (self.parent, &self.cx.engine().git) else {
            return Ok(());
        };
        for (at, _) in path.match_indices('/') {
            let entry = git.entry(&self.repository.id, parent, &path[..at]).await;
            if entry.is_ok_and(|it| it.kind != GitEntryKind::Folder) {
                return Err(
                    errors::DirectoryNameConflictsWithFileNameException.because(format!(
                        "The folder name {} conflicts with a file of the same name",
                        &path[..at]
                    )),
                );
            }
        }
        Ok(())
    }

    fn add(&mut self, edit: GitEdit) -> Result<(), Error> {
        let path = edit.path.clone();
        if self.edits.insert(path.clone(), edit).is_some() {
            return Err(errors::SamePathRequestException
                .because(format!("The path {path} is named more than once")));
        }
        Ok(())
    }

    pub async fn put(
        &mut self,
        file_path: &str,
        content: Vec<u8>,
        mode: Option<FileModeTypeEnum>,
    ) -> Result<(), Error> {
        let path = path(file_path).to_owned();
        if content.len() as u64 > FILE_BYTES_MAX {
            return Err(
                errors::FileContentSizeLimitExceededException.because(format!(
                    "The content of {path} is larger than {FILE_BYTES_MAX} bytes"
                )),
            );
        }
        self.check_folders(&path).await?;
        let before = self.file_before(&path).await?;
        let kind = match (mode, before.map(|it| it.kind)) {
            (Some(mode), _) => kind(mode),
            (None, Some(GitEntryKind::File(kind))) => kind,
            _ => GitFileKind::Plain,
        };
        self.add(GitEdit {
            path,
            content: Some(content),
            kind,
        })
    }

    async fn existing(&mut self, file_path: &str) -> Result<(GitEntry, GitFileKind), Error> {
        let path = path(file_path);
        match self.file_before(path).await? {
            Some(entry) => match entry.kind {
                GitEntryKind::File(kind) => Ok((entry, kind)),
                _ => Err(no_file(path)),
            },
            None => Err(no_file(path)),
        }
    }

    async fn content(&self, entry: &GitEntry) -> Result<Vec<u8>, Error> {
        let git = &self.cx.engine().git;
        let content = git.blob(&self.repository.id, &entry.id, FILE_BYTES_MAX);
        content.await.map_err(cloud::internal)
    }

    pub async fn put_entry(&mut self, entry: PutFileEntry) -> Result<(), Error> {
        match (entry.file_content, entry.source_file) {
            (Some(_), Some(_)) => Err(errors::FileContentAndSourceFileSpecifiedException
                .because("Only one of fileContent and sourceFile can be given")),
            (None, None) => Err(errors::SourceFileOrContentRequiredException
                .because("One of fileContent and sourceFile is required")),
            (Some(content), None) => self.put(&entry.file_path, content.0, entry.file_mode).await,
            (None, Some(source)) => {
                let (from, kind) = self.existing(&source.file_path).await?;
                let content = self.content(&from).await?;
                let mode = entry.file_mode.unwrap_or_else(|| file_mode(kind));
                self.put(&entry.file_path, content, Some(mode)).await?;
                match source.is_move {
                    Some(true) => self.delete(&source.file_path).await,
                    _ => Ok(()),
                }
            }
        }
    }

    pub async fn delete(&mut self, file_path: &str) -> Result<(), Error> {
        self.existing(file_path).await?;
        self.add(GitEdit {
            path: path(file_path).to_owned(),
            content: None,
            kind: GitFileKind::Plain,
        })
    }

    pub async fn set_mode(&mut self, entry: SetFileModeEntry) -> Result<(), Error> {
        let (from, _) = self.existing(&entry.file_path).await?;
        let content = self.content(&from).await?;
        self.add(GitEdit {
            path: from.path,
            content: Some(content),
            kind: kind(entry.file_mode),
        })
    }

    pub fn edits(&self) -> Vec<GitEdit> {
        self.edits.values().cloned().collect()
    }

    /// Did the parent have something at this path?
    pub fn was_there(&self, path: &str) -> bool {
        matches!(self.before.get(path), Some(Some(_)))
    }

    pub fn blob_before(&self, path: &str) -> Option<String> {
        Some(self.before.get(path)?.as_ref()?.id.clone())
    }
}

fn no_file(path: &str) -> Error {
    errors::FileDoesNotExistException.because(format!("The file {path} does not exist"))
}
