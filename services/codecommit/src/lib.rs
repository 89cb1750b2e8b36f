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
        .on_unlisted(repository::create_repository)
        .on_unlisted(repository::get_repository)
        .on_unlisted(repository::batch_get_repositories)
        .on_unlisted(repository::list_repositories)
        .on_unlisted(repository::delete_repository)
        .on_unlisted(repository::update_repository_name)
        .on_unlisted(repository::update_repository_description)
        .on_unlisted(repository::get_repository_triggers)
        .on_unlisted(repository::put_repository_triggers)
        .on_unlisted(branch::create_branch)
        .on_unlisted(branch::get_branch)
        .on_unlisted(branch::list_branches)
        .on_unlisted(branch::delete_branch)
        .on_unlisted(branch::update_default_branch)
        .on_unlisted(view::get_commit)
        .on_unlisted(view::get_file)
        .on_unlisted(view::get_folder)
        .on_unlisted(view::get_differences)
        .on_unlisted(commit::put_file)
        .on_unlisted(commit::create_commit)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .reconciles(repository::RepositoryReconciler)
        .reconciles(repository::LeftoverReconciler)
        .resource(cfn::RepositoryType)
}
