//! Branches: Git's own, asked for and set.

use cloud::{Cx, Error};
use engine::Fault;
use shapes::codecommit::*;

use crate::names::{no_branch, no_revision, repository, source};

pub async fn create_branch(cx: Cx, input: CreateBranchInput) -> Result<CreateBranchOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    let git = &cx.engine().git;
    let branches = git.branches(&source(&found)).await;
    let branches = branches.map_err(cloud::internal)?;
    if branches.contains_key(&input.branch_name) {
        return Err(errors::BranchNameExistsException
            .because(format!("Branch {} already exists", input.branch_name)));
    }
    let commit = git.commit(&source(&found), &input.commit_id).await;
    let commit = commit.map_err(|error| no_revision(error, &input.commit_id))?;
    let set = git.set_branch(&found.id, &input.branch_name, Some(&commit.id));
    match set.await {
        Ok(()) => Ok(CreateBranchOutput {}),
        Err(error) if error.fault == Fault::Invalid => Err(errors::InvalidBranchNameException
            .because(format!(
                "The branch name {} is not a valid reference name",
                input.branch_name
            ))),
        Err(error) => Err(cloud::internal(error)),
    }
}

pub async fn get_branch(cx: Cx, input: GetBranchInput) -> Result<GetBranchOutput, Error> {
    let name = input.repository_name.ok_or_else(|| {
        errors::RepositoryNameRequiredException.because("A repository name is required")
    })?;
    let branch = input
        .branch_name
        .ok_or_else(|| errors::BranchNameRequiredException.because("A branch name is required"))?;
    let found = repository(&cx, &name)?;
    let branches = cx.engine().git.branches(&source(&found)).await;
    let commit_id = branches.map_err(cloud::internal)?.remove(&branch);
    let commit_id = commit_id.ok_or_else(|| no_branch(&branch))?;
    Ok(GetBranchOutput {
        branch: Some(BranchInfo {
            branch_name: Some(branch),
            commit_id: Some(commit_id),
        }),
    })
}

pub async fn list_branches(cx: Cx, input: ListBranchesInput) -> Result<ListBranchesOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    let branches = cx.engine().git.branches(&source(&found)).await;
    Ok(ListBranchesOutput {
        branches: Some(branches.map_err(cloud::internal)?.into_keys().collect()),
        next_token: None,
    })
}

pub async fn delete_branch(cx: Cx, input: DeleteBranchInput) -> Result<DeleteBranchOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    let (git, source) = (&cx.engine().git, source(&found));
    let default = git.default_branch(&source).await.map_err(cloud::internal)?;
    if default.as_deref() == Some(&input.branch_name) {
        return Err(
            errors::DefaultBranchCannotBeDeletedException.because(format!(
                "The default branch {} cannot be deleted",
                input.branch_name
            )),
        );
    }
    let branches = git.branches(&source).await.map_err(cloud::internal)?;
    // AWS answers success, and nothing, when there is no such branch.
    let Some(commit) = branches.get(&input.branch_name) else {
        return Ok(DeleteBranchOutput::default());
    };
    let deleted = git.set_branch(&found.id, &input.branch_name, None);
    deleted.await.map_err(cloud::internal)?;
    Ok(DeleteBranchOutput {
        deleted_branch: Some(BranchInfo {
            branch_name: Some(input.branch_name),
            commit_id: Some(commit.clone()),
        }),
    })
}

pub async fn update_default_branch(
    cx: Cx,
    input: UpdateDefaultBranchInput,
) -> Result<UpdateDefaultBranchOutput, Error> {
    let found = repository(&cx, &input.repository_name)?;
    let name = &input.default_branch_name;
    match cx.engine().git.set_default_branch(&found.id, name).await {
        Ok(()) => Ok(UpdateDefaultBranchOutput {}),
        Err(error) if matches!(error.fault, Fault::NotFound | Fault::Invalid) => {
            Err(no_branch(name))
        }
        Err(error) => Err(cloud::internal(error)),
    }
}
