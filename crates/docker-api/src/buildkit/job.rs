//! Builds that are asked for: what is known of one from its first call to its last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use buildkit::grpc::{Code, Status};
use engine::Digest;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::progress::Progress;

/// Builds of one engine at a time: each may have megabytes of output.
const JOBS_MAX: usize = 32;
/// The same with those that have just ended.
const JOBS_KEPT_MAX: usize = 2 * JOBS_MAX;
/// What a client that leads its build may ask for in one.
const RESULTS_MAX: usize = 64;
/// Calls about a build may be there before the one that begins it.
const JOB_WAIT: Duration = Duration::from_secs(5);
/// Calls about a build may come as late after its end.
const JOB_KEPT: Duration = Duration::from_secs(10);

pub struct Job {
    id: String,
    /// Of the client, by the name of its session.
    pub session: String,
    pub progress: Progress,
    results: Mutex<BTreeMap<String, Digest>>,
    /// Where the client says that it has all that it wants.
    returned: Mutex<Option<oneshot::Sender<Returned>>>,
}

/// What a client that leads its build wants of it: one of its results, none of them, or nothing any more.
pub type Returned = Result<Option<Digest>, Status>;

#[derive(Default)]
pub struct Jobs {
    all: Mutex<BTreeMap<String, Arc<Job>>>,
    begun: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

impl Jobs {
    /// Begins a build of this name, and says how its client will end it.
    pub fn begin(
        &self,
        id: &str,
        session: &str,
    ) -> Result<(Arc<Job>, oneshot::Receiver<Returned>), Status> {
        let (sender, receiver) = oneshot::channel();
        let job = Arc::new(Job {
            id: id.to_owned(),
            session: session.to_owned(),
            progress: Progress::default(),
            results: Mutex::default(),
            returned: Mutex::new(Some(sender)),
        });
        let mut all = lock(&self.all);
        if id.is_empty() || all.contains_key(id) {
            let message = format!("job ID {id} exists");
            return Err(Status::new(Code::AlreadyExists, message));
        }
        let going = all.values().filter(|it| !it.progress.is_over()).count();
        if all.len() >= JOBS_KEPT_MAX {
            all.retain(|_, it| !it.progress.is_over());
        }
        if going >= JOBS_MAX {
            let message =
                format!("{JOBS_MAX} builds are under way, which is as many as there may be");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        all.insert(id.to_owned(), job.clone());
        drop(all);
        self.begun.notify_waiters();
        Ok((job, receiver))
    }

    /// A build by its name. One that is just being asked for is waited for.
    pub async fn find(&self, id: &str) -> Result<Arc<Job>, Status> {
        let looking = async {
            loop {
                let begun = self.begun.notified();
                if let Some(job) = lock(&self.all).get(id) {
                    return job.clone();
                }
                begun.await;
            }
        };
        let missing = |_| Status::new(Code::NotFound, format!("no such job {id}"));
        timeout(JOB_WAIT, looking).await.map_err(missing)
    }

    /// To be called a while after a build's end.
    pub fn forget(&self, job: &Arc<Job>) {
        let mut all = lock(&self.all);
        // Another of the same name may have come since.
        if all.get(&job.id).is_some_and(|it| Arc::ptr_eq(it, job)) {
            all.remove(&job.id);
        }
    }
}

impl Job {
    /// Keeps what was built until the client says what it wants of it, and names it.
    pub fn keep(&self, digest: &Digest) -> Result<String, Status> {
        let mut results = lock(&self.results);
        if results.len() >= RESULTS_MAX {
            let message = format!("one build has no more than {RESULTS_MAX} results");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        let id = crate::disk::random_id();
        results.insert(id.clone(), digest.clone());
        Ok(id)
    }

    pub fn result(&self, id: &str) -> Result<Digest, Status> {
        let results = lock(&self.results);
        let found = results.get(id).cloned();
        found.ok_or_else(|| Status::new(Code::NotFound, format!("no such result {id}")))
    }

    /// The client has all that it wants. Whoever says so a second time is not heard.
    pub fn give_back(&self, returned: Returned) {
        if let Some(sender) = lock(&self.returned).take() {
            let _ = sender.send(returned);
        }
    }
}

/// Ends a build when it is dropped: also when its client gives it up.
pub struct Ending {
    pub docker: Arc<crate::docker::Docker>,
    pub job: Arc<Job>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.job.progress.end();
        let (docker, job) = (self.docker.clone(), self.job.clone());
        tokio::spawn(async move {
            tokio::time::sleep(JOB_KEPT).await;
            docker.buildkit.jobs.forget(&job);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_is_found_while_it_is_there() {
        let jobs = Jobs::default();
        let (job, returned) = jobs.begin("a", "s").unwrap();
        assert!(jobs.begin("a", "s").is_err(), "its name is taken");
        assert!(jobs.begin("", "s").is_err());
        assert!(Arc::ptr_eq(&jobs.find("a").await.unwrap(), &job));
        let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let id = job.keep(&digest).unwrap();
        assert_eq!(job.result(&id).unwrap(), digest);
        assert!(job.result("other").is_err());
        job.give_back(Ok(None));
        job.give_back(Err(Status::new(Code::Unknown, "late")));
        assert!(returned.await.unwrap().unwrap().is_none());
        jobs.forget(&job);
        assert_eq!(jobs.find("a").await.err().unwrap().message, "no such job a");
    }
}
