//! Source actions whose source is a Git repository: GitHub, a connection, CodeCommit. The commit's
//! files become a ZIP archive in the artifact bucket.

use std::collections::BTreeMap;

use engine::{EngineError, Fault, GitCommit, GitHistory, GitSource};
use shapes::codepipeline::ActionDeclaration;
use shapes::{codecommit, codeconnections};

use super::artifacts::{self, Workspace};
use super::{
    CONFIGURATION, PERMISSION, Progress, REVISION_UNAVAILABLE, Session, Trouble, UNAVAILABLE,
    driver,
};
use crate::act::failure;
use crate::catalog::Driver;
use crate::record::{ActionRun, Revision};

/// Characters of a commit's message that are shown as a revision's summary, as AWS does.
const SUMMARY_CHARACTERS: usize = 2048;

/// Where a source action reads.
pub struct Origin {
    pub source: GitSource,
    pub branch: String,
    /// What it is called in errors and variables.
    pub repository: String,
    /// What a commit's page begins with.
    commit_page: Option<String>,
}

type Settings = BTreeMap<String, String>;

fn setting<'a>(settings: &'a Settings, name: &str) -> &'a str {
    settings.get(name).map_or("", String::as_str)
}

/// The repository of a source action, asked of the service that has it.
pub async fn origin(cx: &Session, driver: Driver, settings: &Settings) -> Result<Origin, Trouble> {
    match driver {
        Driver::GitHub => Ok(github(cx, settings)),
        Driver::Connection => connection(cx, settings).await,
        Driver::CodeCommit => codecommit(cx, settings).await,
        _ => Err(Trouble::configuration("the action has no Git repository")),
    }
}

fn github(cx: &Session, settings: &Settings) -> Origin {
    let repository = format!(
        "{}/{}",
        setting(settings, "Owner"),
        setting(settings, "Repo")
    );
    let page = format!("{}/{repository}", cx.engine().access.github);
    let token = setting(settings, "OAuthToken");
    Origin {
        source: GitSource::Remote {
            url: format!("{page}.git"),
            // GitHub takes a token as the password of any user.
            login: (!token.is_empty()).then(|| ("x-access-token".into(), token.to_owned())),
        },
        branch: setting(settings, "Branch").to_owned(),
        repository,
        commit_page: Some(format!("{page}/commit")),
    }
}

async fn codecommit(cx: &Session, settings: &Settings) -> Result<Origin, Trouble> {
    let name = setting(settings, "RepositoryName").to_owned();
    let input = codecommit::GetRepositoryInput {
        repository_name: name.clone(),
    };
    // Where it is kept is the daemon's own question; what is in it is asked in the role's name.
    let found = (**cx).call(input).await?.repository_metadata;
    let id = found.and_then(|it| it.repository_id).unwrap_or_default();
    Ok(Origin {
        source: GitSource::Hosted(id),
        branch: setting(settings, "BranchName").to_owned(),
        repository: name,
        commit_page: None,
    })
}

async fn connection(cx: &Session, settings: &Settings) -> Result<Origin, Trouble> {
    let connection_arn = setting(settings, "ConnectionArn").to_owned();
    let repository = setting(settings, "FullRepositoryId").to_owned();
    let input = codeconnections::GetConnectionInput {
        connection_arn: connection_arn.clone(),
    };
    // On AWS a role needs to be let use a connection, and not to be told about it.
    let service = match connection_arn.contains(":codestar-connections:") {
        true => "codestar-connections",
        false => "codeconnections",
    };
    let keys = [
        ("FullRepositoryId", "FullRepositoryId"),
        ("BranchName", "BranchName"),
    ];
    let keys = keys.map(|(key, given)| {
        cloud::ConditionKey::new(format!("{service}:{key}"), Some(setting(settings, given)))
    });
    let touched = cloud::Touched::named(&connection_arn);
    let need = cloud::Need::new(format!("{service}:UseConnection"), Some(touched));
    cx.authorize(service, need.with_keys(keys))?;
    let found = (**cx).call(input).await?.connection.unwrap_or_default();
    if found.connection_status != Some(codeconnections::ConnectionStatus::Available) {
        return Err(Trouble::Failure(failure(
            PERMISSION,
            format!(
                "The connection {connection_arn} is not available: complete it with `neargate connection authorize {connection_arn}`"
            ),
        )));
    }
    let host = address(cx, &found).await?;
    let page = format!("{host}/{repository}");
    let is_github = found.provider_type == Some(codeconnections::ProviderType::GitHub);
    // None for what everybody may read. On AWS nobody sees it, so that the role is not asked.
    let login = cx.find_login(&connection_arn)?;
    Ok(Origin {
        source: GitSource::Remote {
            url: format!("{page}.git"),
            login: login.map(|it| (it.username, it.password)),
        },
        branch: setting(settings, "BranchName").to_owned(),
        repository,
        commit_page: is_github.then(|| format!("{page}/commit")),
    })
}

/// Where a connection's provider has its repositories.
async fn address(
    cx: &Session,
    connection: &codeconnections::Connection,
) -> Result<String, Trouble> {
    use codeconnections::ProviderType;
    if let Some(host_arn) = connection.host_arn.clone() {
        // Asked in the daemon's own name: the role reads through the connection, not the host.
        let host = (**cx)
            .call(codeconnections::GetHostInput { host_arn })
            .await?;
        let endpoint = host.provider_endpoint.unwrap_or_default();
        return Ok(endpoint.trim_end_matches('/').to_owned());
    }
    Ok(match connection.provider_type {
        Some(ProviderType::Bitbucket) => "https://bitbucket.org".into(),
        Some(ProviderType::GitLab) => "https://gitlab.com".into(),
        Some(ProviderType::AzureDevOps) => "https://dev.azure.com".into(),
        _ => cx.engine().access.github.clone(),
    })
}

/// What Git's answer means for the action, in the words that AWS uses for GitHub.
fn refused(error: EngineError, repository: &str, branch: &str) -> Trouble {
    let cause = error.chain();
    let (code, message) = match error.fault {
        Fault::Invalid => (
            PERMISSION,
            format!(
                "Could not access the repository: \"{repository}\". The access token might be invalid or has been revoked. ({cause})"
            ),
        ),
        Fault::NotFound => (
            CONFIGURATION,
            format!(
                "Could not find the repository \"{repository}\" or its branch \"{branch}\". ({cause})"
            ),
        ),
        Fault::Unreachable => (
            UNAVAILABLE,
            format!("Could not reach the repository \"{repository}\". ({cause})"),
        ),
        Fault::Conflict | Fault::Machine => (UNAVAILABLE, cause),
    };
    Trouble::Failure(failure(code, message))
}

/// The commits that the repository's branches are at; of CodeCommit's, the action's branch alone.
pub async fn heads(cx: &Session, origin: &Origin) -> Result<BTreeMap<String, String>, Trouble> {
    if matches!(origin.source, GitSource::Hosted(_)) {
        let input = codecommit::GetBranchInput {
            repository_name: Some(origin.repository.clone()),
            branch_name: Some(origin.branch.clone()),
        };
        let found = cx.call(input).await?.branch.unwrap_or_default();
        let commit = found.commit_id.unwrap_or_default();
        return Ok(BTreeMap::from([(origin.branch.clone(), commit)]));
    }
    let git = &cx.engine().git;
    let all = git.branches(&origin.source).await;
    all.map_err(|error| refused(error, &origin.repository, &origin.branch))
}

/// The settings of a source action as a watcher knows them: variables are not resolved in sources.
pub fn settings(action: &ActionDeclaration) -> Settings {
    action.configuration.clone().unwrap_or_default()
}

pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let driver = driver(run)?;
    let mut origin = origin(cx, driver, &run.configuration).await?;
    if let Some(branch) = &run.branch_override {
        origin.branch.clone_from(branch);
    }
    let revision = match &run.revision_override {
        Some(asked) => asked.clone(),
        None => newest(cx, &origin).await?,
    };
    let target = artifacts::output(run)?.clone();
    let clone = run.setting("OutputArtifactFormat") == Some("CODEBUILD_CLONE_REF");
    // A full clone is an archive with the history in it: a build finds the same in its folder as
    // when it had cloned itself.
    let (history, exclude): (_, &[&str]) = match clone {
        true => (GitHistory::Full, &[]),
        false => (GitHistory::FilesOnly, &[".git", ".git/**"]),
    };
    let workspace = Workspace::new(cx, run).await?;
    let git = &cx.engine().git;
    let checked_out = git
        .checkout(&origin.source, &revision, &workspace.path, history)
        .await;
    let packed = match &checked_out {
        Ok(_) => Some(workspace.zip(exclude).await),
        Err(_) => None,
    };
    workspace.remove().await;
    let commit = checked_out.map_err(|error| refused(error, &origin.repository, &origin.branch))?;
    let archive = packed.unwrap_or_else(|| Ok(Vec::new()))?;
    artifacts::write(cx, &target, archive).await?;
    note(run, driver, &origin, &commit);
    Ok(Progress::Succeeded)
}

async fn newest(cx: &Session, origin: &Origin) -> Result<String, Trouble> {
    let heads = heads(cx, origin).await?;
    heads.get(&origin.branch).cloned().ok_or_else(|| {
        Trouble::Failure(failure(
            REVISION_UNAVAILABLE,
            format!(
                "The branch \"{}\" does not exist in the repository \"{}\".",
                origin.branch, origin.repository
            ),
        ))
    })
}

/// Writes down what was taken, for people and for the actions that follow.
fn note(run: &mut ActionRun, driver: Driver, origin: &Origin, commit: &GitCommit) {
    let url = origin
        .commit_page
        .as_ref()
        .map(|it| format!("{it}/{}", commit.id));
    let summary: String = commit
        .message
        .trim_end()
        .chars()
        .take(SUMMARY_CHARACTERS)
        .collect();
    let artifact = run.outputs.first().map(|it| it.0.clone());
    run.external_id = Some(commit.id.clone());
    run.external_url.clone_from(&url);
    run.summary = Some(summary.clone());
    run.revision = Some(Revision {
        action: run.declared.name.clone(),
        artifact: artifact.unwrap_or_default(),
        id: commit.id.clone(),
        summary,
        url,
        created_ms: commit.committed_at.saturating_mul(1000),
    });
    let time = |seconds: i64| wire::Timestamp(seconds as f64).to_string();
    let mut variables = BTreeMap::from([
        ("AuthorDate", time(commit.authored_at)),
        ("BranchName", origin.branch.clone()),
        ("CommitId", commit.id.clone()),
        ("CommitMessage", commit.message.clone()),
    ]);
    match driver {
        Driver::Connection => {
            let connection = run.required("ConnectionArn").to_owned();
            variables.insert("ConnectionArn", connection);
            variables.insert("FullRepositoryName", origin.repository.clone());
        }
        _ => {
            variables.insert("CommitterDate", time(commit.committed_at));
            let name = origin.repository.rsplit('/').next().unwrap_or_default();
            variables.insert("RepositoryName", name.to_owned());
        }
    }
    let variables = variables.into_iter();
    run.variables = variables
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
}
