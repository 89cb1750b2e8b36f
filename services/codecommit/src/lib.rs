//! AWS CodeCommit: Git repositories over the engine's.
//!
//! A repository is a record; the engine keeps a bare repository under the record's id, which never
//! changes and is what CodePipeline reads from
//! (`engine::GitSource::Hosted(metadata.repository_id)`). What was pushed is told by
//! `engine::Git::changes` with that id.
//!
//! Git's own clients come through the daemon's front door: `<api>/v1/repos/<name>`, which is what
//! `cloneUrlHttp` says. That path names no region, so [`find_by_path`] looks into the daemon's own
//! region first and then into the others. `git-codecommit.<region>.amazonaws.com.localhost`, which
//! Git's HTTP library takes for this machine, names one, and is a host that
//! `aws codecommit credential-helper` signs for without being told to. SSH is not served: `cloneUrlSsh` is AWS's own form of it.
//!
//! Not built, and refused: triggers, KMS keys of one's own, pull requests, comments, approval rules
//! and merges. Times of commits are told in UTC.

mod branch;
mod cfn;
mod changes;
mod commit;
mod login;
mod names;
mod permissions;
mod repository;
mod tags;
mod view;

use cloud::Service;
use cloud::permission::everywhere;
use permissions::{on_arn, on_branch, on_named, on_new_repository, on_repository, on_several};

pub use login::{Asked, is_signature, is_signed};
pub use repository::{Found, find_by_path};

pub fn service() -> Service {
    Service::new(&shapes::codecommit::MODEL)
        .finds(permissions::touched)
        .on(repository::create_repository, on_new_repository())
        .on(
            repository::get_repository,
            on_repository(|it| &it.repository_name),
        )
        .on(repository::batch_get_repositories, on_several())
        .on(repository::list_repositories, everywhere())
        .on(
            repository::delete_repository,
            on_repository(|it| &it.repository_name),
        )
        .on(
            repository::update_repository_name,
            on_repository(|it| &it.old_name),
        )
        .on(
            repository::update_repository_description,
            on_repository(|it| &it.repository_name),
        )
        .on(
            repository::get_repository_triggers,
            on_repository(|it| &it.repository_name),
        )
        .on(
            repository::put_repository_triggers,
            on_repository(|it| &it.repository_name),
        )
        .on(
            branch::create_branch,
            on_branch(|it| &it.repository_name, |it| &it.branch_name),
        )
        .on(
            branch::get_branch,
            on_named(|it| it.repository_name.as_ref()),
        )
        .on(
            branch::list_branches,
            on_repository(|it| &it.repository_name),
        )
        .on(
            branch::delete_branch,
            on_branch(|it| &it.repository_name, |it| &it.branch_name),
        )
        .on(
            branch::update_default_branch,
            on_repository(|it| &it.repository_name),
        )
        .on(view::get_commit, on_repository(|it| &it.repository_name))
        .on(view::get_file, on_repository(|it| &it.repository_name))
        .on(view::get_folder, on_repository(|it| &it.repository_name))
        .on(
            view::get_differences,
            on_repository(|it| &it.repository_name),
        )
        .on(
            commit::put_file,
            on_branch(|it| &it.repository_name, |it| &it.branch_name),
        )
        .on(
            commit::create_commit,
            on_branch(|it| &it.repository_name, |it| &it.branch_name),
        )
        .on(tags::tag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::untag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::list_tags_for_resource, on_arn(|it| &it.resource_arn))
        .reconciles(repository::RepositoryReconciler)
        .reconciles(repository::LeftoverReconciler)
        .resource(cfn::RepositoryType)
}
