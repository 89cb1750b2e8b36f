//! DOWNLOAD_SOURCE: sources into the build's workspaces.

use std::path::Path;

use cloud::{Cx, Error, Need};
use engine::{Fault, GitHistory, GitSource};
use shapes::codebuild::{ProjectSource, SourceType};
use shapes::codecommit::GetRepositoryInput;

use crate::buildspec;
use crate::record::{BuildRecord, SourceCredential};
use crate::{role, s3};

/// Why a phase failed: AWS's code and a message. Or an error of the machine, to be tried again.
pub enum Failure {
    Phase(&'static str, String),
    Again(converge::Error),
}

impl Failure {
    pub fn client(message: impl Into<String>) -> Self {
        Self::Phase("CLIENT_ERROR", message.into())
    }
}

impl From<engine::EngineError> for Failure {
    fn from(error: engine::EngineError) -> Self {
        match error.fault {
            Fault::Machine => Self::Again(error.into()),
            _ => Self::client(error.chain()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // An operation that is not built (501) will not be built by trying again.
        if error.status >= 500 && error.status != 501 {
            Self::Again(error.into())
        } else {
            Self::client(format!("{}: {}", error.code, error.message))
        }
    }
}

/// Puts a source into a workspace that is made empty for it. What was found: a commit, a version.
pub async fn download(
    cx: &Cx,
    source: &ProjectSource,
    version: Option<&str>,
    workspace: &str,
) -> Result<Option<String>, Failure> {
    let workspaces = &cx.engine().workspaces;
    workspaces.remove(workspace).await?;
    let place = workspaces.create(workspace).await?;
    let location = source.location.as_deref().unwrap_or_default();
    let version = version.filter(|it| !it.is_empty());
    match source.r#type {
        SourceType::NoSource => Ok(None),
        SourceType::S3 => download_s3(cx, location, version, workspace).await,
        SourceType::Codecommit | SourceType::Github | SourceType::GithubEnterprise => {
            let git = git_source(cx, source, location).await?;
            let revision = match version {
                Some(version) => version.to_owned(),
                None => default_branch(cx, &git).await?,
            };
            let commit = cx
                .engine()
                .git
                .checkout(&git, &revision, &place, GitHistory::Full)
                .await
                .map_err(|error| match error.fault {
                    Fault::Machine => Failure::Again(error.into()),
                    _ => Failure::client(format!(
                        "{} for primary source and source version {revision}",
                        error.chain()
                    )),
                })?;
            Ok(Some(commit.id))
        }
        other => Err(Failure::client(format!(
            "source type {other} is not supported by neargate"
        ))),
    }
}

async fn download_s3(
    cx: &Cx,
    location: &str,
    version: Option<&str>,
    workspace: &str,
) -> Result<Option<String>, Failure> {
    let workspaces = &cx.engine().workspaces;
    let (bucket, key) = s3::split(location).ok_or_else(|| {
        Failure::client(format!(
            "Invalid S3 source location `{location}`: bucket/key expected"
        ))
    })?;
    if !key.ends_with('/') {
        let object = s3::get(cx, &bucket, &key, version).await?;
        let archive = s3::stream(object.bytes);
        workspaces.unzip(workspace, Path::new(""), archive).await?;
        let version = object.version.or(version.map(str::to_owned));
        let etag = object.etag.map(|it| it.trim_matches('"').to_owned());
        return Ok(version.or(etag));
    }
    for name in s3::keys(cx, &bucket, &key).await? {
        let inner = name.strip_prefix(&key).unwrap_or(&name);
        // What ends with a slash stands for a folder.
        if !inner.is_empty() && !inner.ends_with('/') {
            let object = s3::get(cx, &bucket, &name, None).await?;
            workspaces
                .write(workspace, Path::new(inner), &object.bytes)
                .await?;
        }
    }
    Ok(None)
}

async fn default_branch(cx: &Cx, git: &GitSource) -> Result<String, Failure> {
    let found = cx.engine().git.default_branch(git).await?;
    found.ok_or_else(|| Failure::client("the repository has no default branch, or is empty"))
}

async fn git_source(cx: &Cx, source: &ProjectSource, location: &str) -> Result<GitSource, Failure> {
    if source.r#type == SourceType::Codecommit {
        let name = location.trim_end_matches('/').rsplit('/').next();
        let name = name.unwrap_or_default();
        // The role pulls; where the repository is, CodeBuild asks in its own name.
        let touched = cx.find_resource("codecommit", name);
        cx.authorize_one("codecommit", Need::new("codecommit:GitPull", touched))?;
        let asked = GetRepositoryInput {
            repository_name: name.to_owned(),
        };
        let found = role::codebuild(cx)
            .call(asked)
            .await?
            .repository_metadata
            .unwrap_or_default();
        return Ok(GitSource::Hosted(found.repository_id.unwrap_or_default()));
    }
    let server = match source.r#type {
        SourceType::GithubEnterprise => "GITHUB_ENTERPRISE",
        _ => "GITHUB",
    };
    let key = format!("{}/{server}", cx.region);
    let known = cx.read(|tx| tx.get::<SourceCredential>(&key))?;
    let login = known.map(|it| {
        let user = it.username.unwrap_or_else(|| "x-access-token".into());
        (user, it.token)
    });
    let url = match source.r#type {
        SourceType::Github => github_url(location, &cx.engine().access.github),
        _ => Some(location.to_owned()).filter(|it| is_web(it)),
    };
    let url = url.ok_or_else(|| {
        let kind = source.r#type;
        Failure::client(format!("Invalid {kind} source location `{location}`"))
    })?;
    Ok(GitSource::Remote { url, login })
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Where a repository of GitHub's is read from. Nobody else is given GitHub's token.
fn github_url(location: &str, github: &str) -> Option<String> {
    let path = match location.strip_prefix(github) {
        Some(path) => path.strip_prefix('/')?,
        None => {
            let (host, path) = location.strip_prefix("https://")?.split_once('/')?;
            let host = host.rsplit('@').next().unwrap_or(host);
            ["github.com", "www.github.com"]
                .contains(&host)
                .then_some(path)?
        }
    };
    (!path.is_empty()).then(|| format!("{github}/{path}"))
}

/// The text of the buildspec: written in the project, in a file of the source, or in an object.
pub async fn read_buildspec(cx: &Cx, build: &BuildRecord) -> Result<String, Failure> {
    let source = build.shape.source.as_ref();
    let given = source
        .and_then(|it| it.buildspec.as_deref())
        .unwrap_or_default()
        .trim_start();
    if is_text(given) {
        return Ok(given.to_owned());
    }
    if given.starts_with("arn:aws:s3:::") {
        let (bucket, key) = s3::split(given)
            .ok_or_else(|| Failure::client(format!("Invalid buildspec location `{given}`")))?;
        let object = s3::get(cx, &bucket, &key, None).await?;
        return String::from_utf8(object.bytes).map_err(|_| not_text(given));
    }
    let name = if given.is_empty() {
        "buildspec.yml"
    } else {
        given
    };
    let workspaces = &cx.engine().workspaces;
    let workspace = build.source_workspace();
    let found = workspaces
        .read(&workspace, Path::new(name), buildspec::BYTES_MAX)
        .await;
    match found {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| not_text(name)),
        Err(error) if error.fault == Fault::NotFound => Err(Failure::Phase(
            "YAML_FILE_ERROR",
            format!(
                "stat {}/{name}: no such file or directory",
                build.source_dir()
            ),
        )),
        Err(error) => Err(error.into()),
    }
}

fn not_text(name: &str) -> Failure {
    Failure::Phase("YAML_FILE_ERROR", format!("`{name}` is not text"))
}

/// Whether it is a buildspec and not the name of a file.
fn is_text(given: &str) -> bool {
    given.contains('\n') || given.starts_with('{') || given.starts_with("version:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_of_github_are_read_from_where_github_is() {
        for (location, found) in [
            ("https://github.com/me/web.git", Some("me/web.git")),
            ("https://me@github.com/me/web", Some("me/web")),
            ("http://127.0.0.1:1/me/web", Some("me/web")),
            ("http://127.0.0.1:12/me/web", None),
            ("https://github.com.example.org/me/web", None),
            ("https://github.com/", None),
            ("file:///etc", None),
        ] {
            let url = github_url(location, "http://127.0.0.1:1");
            let expected = found.map(|it| format!("http://127.0.0.1:1/{it}"));
            assert_eq!(url, expected, "{location}");
        }
    }
}
