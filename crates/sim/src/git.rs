//! Git, in memory: commits are whole sets of files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::*;
use tokio::sync::broadcast;

use crate::SimWorkspaces;

/// Changes that a slow receiver may be behind.
const CHANGES_MAX: usize = 256;

type Files = BTreeMap<String, (Vec<u8>, GitFileKind)>;

#[derive(Default, Clone)]
struct Repository {
    branches: BTreeMap<String, String>,
    default_branch: Option<String>,
    commits: BTreeMap<String, (GitCommit, Files)>,
}

#[derive(Default)]
struct State {
    hosted: BTreeMap<String, Repository>,
    remote: BTreeMap<String, Repository>,
    /// What remote repositories answer with instead, by URL.
    failures: BTreeMap<String, (Fault, String)>,
    commits_made: u64,
}

pub struct SimGit {
    state: Mutex<State>,
    /// Where checkouts go whose folder is one of these.
    workspaces: Arc<SimWorkspaces>,
    changes: broadcast::Sender<String>,
}

impl Default for SimGit {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl SimGit {
    /// Checkouts go to these workspaces, where their folders are.
    pub fn new(workspaces: Arc<SimWorkspaces>) -> Self {
        Self {
            state: Mutex::default(),
            workspaces,
            changes: broadcast::channel(CHANGES_MAX).0,
        }
    }
}

impl SimGit {
    /// A push to a repository: its branch has these files and no others. `source` need not exist.
    pub fn push(&self, source: &GitSource, branch: &str, files: &[(&str, &str)]) -> GitCommit {
        let files = (files.iter())
            .map(|(path, text)| {
                let content = text.as_bytes().to_vec();
                ((*path).to_owned(), (content, GitFileKind::Plain))
            })
            .collect();
        let change = GitChange {
            branch: branch.to_owned(),
            author_name: "Somebody".into(),
            author_email: "somebody@example.com".into(),
            message: "Change".into(),
            ..GitChange::default()
        };
        let mut state = self.state.lock().expect("no panic while it is held");
        let number = state.next();
        let repository = match source {
            GitSource::Hosted(id) => state.hosted.entry(id.clone()).or_default(),
            GitSource::Remote { url, .. } => state.remote.entry(url.clone()).or_default(),
        };
        let commit = repository.commit(number, &change, files);
        drop(state);
        if let GitSource::Hosted(id) = source {
            let _ = self.changes.send(id.clone());
        }
        commit
    }

    /// Lets a remote repository answer with an error, or no longer.
    pub fn fail(&self, url: &str, failure: Option<EngineError>) {
        let mut state = self.state.lock().expect("no panic while it is held");
        match failure {
            Some(error) => {
                let failure = (error.fault, error.message);
                state.failures.insert(url.to_owned(), failure);
            }
            None => {
                state.failures.remove(url);
            }
        }
    }

    fn read<T>(
        &self,
        source: &GitSource,
        body: impl FnOnce(&Repository) -> Result<T>,
    ) -> Result<T> {
        let state = self.state.lock().expect("no panic while it is held");
        let found = match source {
            GitSource::Hosted(id) => state.hosted.get(id),
            GitSource::Remote { url, .. } => {
                if let Some((fault, message)) = state.failures.get(url) {
                    return Err(EngineError::new(*fault, message.clone()));
                }
                state.remote.get(url)
            }
        };
        body(found.ok_or_else(no_repository)?)
    }

    fn edit<T>(&self, id: &str, body: impl FnOnce(&mut Repository, u64) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock().expect("no panic while it is held");
        let number = state.next();
        let answer = body(state.hosted.get_mut(id).ok_or_else(no_repository)?, number)?;
        drop(state);
        let _ = self.changes.send(id.to_owned());
        Ok(answer)
    }
}

fn no_repository() -> EngineError {
    EngineError::not_found("there is no such repository")
}

impl State {
    fn next(&mut self) -> u64 {
        self.commits_made += 1;
        self.commits_made
    }
}

fn object_id(content: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{:040x}", hasher.finish())
}

fn mode(kind: GitFileKind) -> String {
    match kind {
        GitFileKind::Plain => "100644",
        GitFileKind::Executable => "100755",
        GitFileKind::Link => "120000",
    }
    .to_owned()
}

impl Repository {
    fn commit(&mut self, number: u64, change: &GitChange, files: Files) -> GitCommit {
        let parent = self.branches.get(&change.branch).cloned();
        let commit = GitCommit {
            id: format!("{number:040x}"),
            tree: format!("{:040x}", number | 1 << 32),
            parents: parent.into_iter().collect(),
            author_name: change.author_name.clone(),
            author_email: change.author_email.clone(),
            authored_at: 1_700_000_000,
            committed_at: 1_700_000_000,
            message: change.message.clone(),
        };
        self.commits
            .insert(commit.id.clone(), (commit.clone(), files));
        self.branches
            .insert(change.branch.clone(), commit.id.clone());
        self.default_branch
            .get_or_insert_with(|| change.branch.clone());
        commit
    }

    fn find(&self, revision: &str) -> Result<&(GitCommit, Files)> {
        let id = self.branches.get(revision).map_or(revision, |it| it);
        self.commits
            .get(id)
            .ok_or_else(|| EngineError::not_found(format!("there is no revision `{revision}`")))
    }

    fn differences(&self, from: Option<&str>, to: &str) -> Result<Vec<GitDifference>> {
        let none = Files::new();
        let before = match from {
            Some(from) => &self.find(from)?.1,
            None => &none,
        };
        let after = &self.find(to)?.1;
        let shown =
            |it: &(Vec<u8>, GitFileKind)| -> (String, String) { (mode(it.1), object_id(&it.0)) };
        let mut paths: Vec<_> = before.keys().chain(after.keys()).collect();
        paths.sort();
        paths.dedup();
        let differs = |path: &&&String| before.get(**path) != after.get(**path);
        let difference = |path: &String| GitDifference {
            path: path.clone(),
            before: before.get(path).map(shown),
            after: after.get(path).map(shown),
        };
        Ok(paths
            .iter()
            .filter(differs)
            .map(|it| difference(it))
            .collect())
    }

    fn entries(&self, revision: &str, folder: &str) -> Result<Vec<GitEntry>> {
        let (_, files) = self.find(revision)?;
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let mut entries: BTreeMap<String, GitEntry> = BTreeMap::new();
        for (path, (content, kind)) in files {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            let entry = match rest.split_once('/') {
                Some((child, _)) => GitEntry {
                    path: format!("{prefix}{child}"),
                    id: object_id(child.as_bytes()),
                    kind: GitEntryKind::Folder,
                    size_bytes: None,
                },
                None => GitEntry {
                    path: path.clone(),
                    id: object_id(content),
                    kind: GitEntryKind::File(*kind),
                    size_bytes: Some(content.len() as u64),
                },
            };
            entries.insert(entry.path.clone(), entry);
        }
        if entries.is_empty() && !folder.is_empty() {
            return Err(EngineError::not_found(format!(
                "there is no folder `{folder}`"
            )));
        }
        Ok(entries.into_values().collect())
    }
}

fn hosted(id: &str) -> GitSource {
    GitSource::Hosted(id.to_owned())
}

fn bounded(content: &[u8], size_max: u64) -> Result<Vec<u8>> {
    if content.len() as u64 > size_max {
        return Err(EngineError::invalid("the file is too large"));
    }
    Ok(content.to_vec())
}

#[async_trait]
impl Git for SimGit {
    async fn create(&self, id: &str) -> Result<()> {
        let mut state = self.state.lock().expect("no panic while it is held");
        state.hosted.entry(id.to_owned()).or_default();
        Ok(())
    }
    async fn delete(&self, id: &str) -> Result<()> {
        let mut state = self.state.lock().expect("no panic while it is held");
        state.hosted.remove(id);
        Ok(())
    }
    async fn branches(&self, source: &GitSource) -> Result<BTreeMap<String, String>> {
        self.read(source, |it| Ok(it.branches.clone()))
    }
    async fn default_branch(&self, source: &GitSource) -> Result<Option<String>> {
        self.read(source, |it| Ok(it.default_branch.clone()))
    }
    async fn set_default_branch(&self, id: &str, branch: &str) -> Result<()> {
        self.edit(id, |it, _| {
            it.find(branch)?;
            it.default_branch = Some(branch.to_owned());
            Ok(())
        })
    }
    async fn commit(&self, source: &GitSource, revision: &str) -> Result<GitCommit> {
        self.read(source, |it| Ok(it.find(revision)?.0.clone()))
    }
    async fn checkout(
        &self,
        source: &GitSource,
        revision: &str,
        into: &Path,
        _history: GitHistory,
    ) -> Result<GitCommit> {
        let (commit, files) = self.read(source, |it| Ok(it.find(revision)?.clone()))?;
        if self.workspaces.fill(into, &files) {
            return Ok(commit);
        }
        if into.is_dir() {
            for (path, (content, _)) in files {
                let path = into.join(path);
                std::fs::create_dir_all(path.parent().unwrap_or(into))?;
                std::fs::write(path, content)?;
            }
        }
        Ok(commit)
    }
    async fn changed_paths(
        &self,
        source: &GitSource,
        from: Option<&str>,
        to: &str,
    ) -> Result<Vec<String>> {
        let differences = self.read(source, |it| it.differences(from, to))?;
        Ok(differences.into_iter().map(|it| it.path).collect())
    }
    async fn differences(
        &self,
        id: &str,
        from: Option<&str>,
        to: &str,
    ) -> Result<Vec<GitDifference>> {
        self.read(&hosted(id), |it| it.differences(from, to))
    }
    async fn entry(&self, id: &str, revision: &str, path: &str) -> Result<GitEntry> {
        let folder = path.rsplit_once('/').map_or("", |it| it.0);
        if path.is_empty() {
            return self.read(&hosted(id), |it| {
                Ok(GitEntry {
                    path: String::new(),
                    id: it.find(revision)?.0.tree.clone(),
                    kind: GitEntryKind::Folder,
                    size_bytes: None,
                })
            });
        }
        let entries = self.entries(id, revision, folder).await?;
        let found = entries.into_iter().find(|it| it.path == path);
        found.ok_or_else(|| EngineError::not_found(format!("there is no `{path}`")))
    }
    async fn entries(&self, id: &str, revision: &str, folder: &str) -> Result<Vec<GitEntry>> {
        self.read(&hosted(id), |it| it.entries(revision, folder))
    }
    async fn file(&self, id: &str, revision: &str, path: &str, size_max: u64) -> Result<Vec<u8>> {
        self.read(&hosted(id), |it| {
            let found = it.find(revision)?.1.get(path);
            let (content, _) =
                found.ok_or_else(|| EngineError::not_found(format!("there is no `{path}`")))?;
            bounded(content, size_max)
        })
    }
    async fn blob(&self, id: &str, blob: &str, size_max: u64) -> Result<Vec<u8>> {
        self.read(&hosted(id), |it| {
            let mut contents = it.commits.values().flat_map(|it| it.1.values());
            let found = contents.find(|it| object_id(&it.0) == blob);
            let (content, _) =
                found.ok_or_else(|| EngineError::not_found("there is no such object"))?;
            bounded(content, size_max)
        })
    }
    async fn set_branch(&self, id: &str, branch: &str, commit: Option<&str>) -> Result<()> {
        self.edit(id, |it, _| {
            match commit {
                Some(commit) => {
                    it.find(commit)?;
                    it.branches.insert(branch.to_owned(), commit.to_owned());
                    it.default_branch.get_or_insert_with(|| branch.to_owned());
                }
                None => {
                    it.branches.remove(branch);
                }
            }
            Ok(())
        })
    }
    async fn write(&self, id: &str, change: &GitChange) -> Result<GitCommit> {
        self.edit(id, |it, number| {
            if it.branches.get(&change.branch) != change.parent.as_ref() {
                return Err(EngineError::conflict("the branch has moved"));
            }
            let mut files = match &change.parent {
                Some(parent) => it.find(parent)?.1.clone(),
                None => Files::new(),
            };
            for edit in &change.files {
                match &edit.content {
                    Some(content) => {
                        files.insert(edit.path.clone(), (content.clone(), edit.kind));
                    }
                    None => {
                        files.remove(&edit.path);
                    }
                }
            }
            Ok(it.commit(number, change, files))
        })
    }
    fn changes(&self) -> Changes {
        self.changes.subscribe()
    }
}
