//! Which pushes start a pipeline of type V2: filters on branches and on the paths that a push changes
//! (User Guide, "Add trigger with code push event type").

use cloud::Error;
use shapes::codepipeline::*;

use crate::actions::{Session, git_source};
use crate::glob;
use crate::watch::Source;

/// The filters of a trigger: a push has to pass one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Filters(Vec<GitPushFilter>);

/// The trigger on a source action. One without filters lets every push to the action's branch through.
pub fn of(declaration: &PipelineDeclaration, action: &str) -> Option<Filters> {
    let triggers = declaration.triggers.iter().flatten();
    let git = triggers
        .map(|it| &it.git_configuration)
        .find(|it| it.source_action_name == action)?;
    Some(Filters(git.push.clone().unwrap_or_default()))
}

type Globs = Option<Vec<String>>;

/// Something is included (or nothing is named), and it is not excluded.
fn passes(includes: &Globs, excludes: &Globs, text: &str) -> bool {
    let any = |globs: &Globs| globs.iter().flatten().any(|it| glob::matches(it, text));
    !any(excludes) && (includes.as_ref().is_none_or(Vec::is_empty) || any(includes))
}

fn branch_passes(filter: &GitPushFilter, branch: &str) -> bool {
    let branches = filter.branches.as_ref();
    branches.is_none_or(|it| passes(&it.includes, &it.excludes, branch))
}

/// Some changed path is included and not excluded.
fn paths_pass(filter: &GitPushFilter, paths: &[String]) -> bool {
    let wanted = filter.file_paths.as_ref();
    wanted.is_none_or(|it| {
        paths
            .iter()
            .any(|path| passes(&it.includes, &it.excludes, path))
    })
}

impl Filters {
    /// Whether branches are named here, instead of by the action.
    pub fn choose_branches(&self) -> bool {
        self.0.iter().any(|it| it.branches.is_some())
    }

    pub fn take_branch(&self, branch: &str) -> bool {
        self.0.iter().any(|it| branch_passes(it, branch))
    }

    fn ask_for_paths(&self) -> bool {
        self.0.iter().any(|it| it.file_paths.is_some())
    }

    fn take(&self, branch: &str, paths: &[String]) -> bool {
        let mut filters = self.0.iter();
        self.0.is_empty() || filters.any(|it| branch_passes(it, branch) && paths_pass(it, paths))
    }
}

/// Whether a push starts an execution. What it changed is asked of Git only when a filter says so.
pub async fn let_through(
    cx: &Session,
    it: &Source,
    branch: &str,
    from: Option<&str>,
    to: &str,
) -> Result<bool, Error> {
    let Some(filters) = &it.filters else {
        return Ok(true);
    };
    if !filters.ask_for_paths() {
        return Ok(filters.take(branch, &[]));
    }
    let settings = git_source::settings(&it.action);
    let paths = match git_source::origin(cx, it.driver, &settings).await {
        Ok(origin) => {
            cx.engine()
                .git
                .changed_paths(&origin.source, from, to)
                .await
        }
        Err(_) => return Ok(false),
    };
    match paths {
        Ok(paths) => Ok(filters.take(branch, &paths)),
        Err(error) => {
            // What changed is not known (history was rewritten, say): better to run than to miss it.
            tracing::warn!(error = error.chain(), "cannot tell what a push changed");
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(text: &str) -> Globs {
        (!text.is_empty()).then(|| text.split(' ').map(str::to_owned).collect())
    }

    fn filter(branches: (&str, &str), paths: (&str, &str)) -> GitPushFilter {
        GitPushFilter {
            branches: (branches != ("", "")).then(|| GitBranchFilterCriteria {
                includes: globs(branches.0),
                excludes: globs(branches.1),
            }),
            file_paths: (paths != ("", "")).then(|| GitFilePathFilterCriteria {
                includes: globs(paths.0),
                excludes: globs(paths.1),
            }),
        }
    }

    #[test]
    fn a_push_passes_when_one_filter_lets_it() {
        let filters = Filters(vec![
            filter(("main release/*", ""), ("src/** Dockerfile", "**/*.md")),
            filter(("hotfix/**", "hotfix/old/**"), ("", "")),
        ]);
        for (branch, paths, expect) in [
            ("main", "src/a.rb", true),
            ("main", "README.md", false),
            ("main", "src/README.md", false),
            ("main", "src/README.md Dockerfile", true),
            ("release/1", "src/a.rb", true),
            ("release/1/2", "src/a.rb", false),
            ("hotfix/a/b", "README.md", true),
            ("hotfix/old/b", "README.md", false),
            ("other", "src/a.rb", false),
        ] {
            let paths: Vec<String> = paths.split(' ').map(str::to_owned).collect();
            assert_eq!(filters.take(branch, &paths), expect, "{branch} {paths:?}");
        }
        assert!(Filters(vec![]).take("any", &[]));
        assert!(filters.take_branch("main") && !filters.take_branch("other"));
    }
}
