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
mod repository;
mod tags;
mod view;

use cloud::Service;

pub use login::{Asked, is_signature, is_signed};
pub use repository::{Found, find_by_path};

pub fn service() -> Service {
    Service::new(&shapes::codecommit::MODEL)
        .on(repository::create_repository)
        .on(repository::get_repository)
        .on(repository::batch_get_repositories)
        .on(repository::list_repositories)
        .on(repository::delete_repository)
        .on(repository::update_repository_name)
        .on(repository::update_repository_description)
        .on(repository::get_repository_triggers)
        .on(repository::put_repository_triggers)
        .on(branch::create_branch)
        .on(branch::get_branch)
        .on(branch::list_branches)
        .on(branch::delete_branch)
        .on(branch::update_default_branch)
        .on(view::get_commit)
        .on(view::get_file)
        .on(view::get_folder)
        .on(view::get_differences)
        .on(commit::put_file)
        .on(commit::create_commit)
        .on(tags::tag_resource)
        .on(tags::untag_resource)
        .on(tags::list_tags_for_resource)
        .reconciles(repository::RepositoryReconciler)
        .reconciles(repository::LeftoverReconciler)
        .resource(cfn::RepositoryType)
}
