//! Holding containers, and letting them go on.

use std::sync::Arc;

use http::StatusCode;

use super::{Container, MAIN, not_running};
use crate::answer::{self, Answer, Refusal};
use crate::docker::Docker;
use crate::routes::Call;

/// `POST /containers/{id}/pause`
pub async fn pause(call: Call, container: &Arc<Container>) -> Answer {
    let _working = container.working.lock().await;
    let record = container.record();
    if !record.is_running() {
        return Err(not_running(&record));
    }
    if record.state.paused {
        return Err(Refusal::conflict(format!(
            "container {} is already paused",
            record.id
        )));
    }
    let tasks = &call.docker.tasks;
    tasks.freeze(&record.task(), MAIN, true).await?;
    container.change(|record| record.state.paused = true)?;
    call.docker.tell(container, "pause", &[]);
    answer::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{id}/unpause`
pub async fn unpause(call: Call, container: &Arc<Container>) -> Answer {
    let _working = container.working.lock().await;
    let record = container.record();
    if !record.is_running() || !record.state.paused {
        return Err(Refusal::conflict(format!(
            "container {} is not paused",
            record.id
        )));
    }
    call.docker.let_go(container).await?;
    answer::empty(StatusCode::NO_CONTENT)
}

impl Docker {
    /// Lets a container go on that is held: what was sent to it meanwhile reaches it now.
    pub(crate) async fn let_go(&self, container: &Container) -> engine::Result<()> {
        let record = container.record();
        if !record.state.paused {
            return Ok(());
        }
        self.tasks.freeze(&record.task(), MAIN, false).await?;
        container.change(|record| record.state.paused = false)?;
        self.tell(container, "unpause", &[]);
        Ok(())
    }
}

/// A command cannot run in one that is held.
pub fn check_not_paused(container: &Container) -> Result<(), Refusal> {
    let record = container.record();
    match record.state.paused {
        false => Ok(()),
        true => Err(Refusal::conflict(format!(
            "container {} is paused, unpause the container before exec",
            record.id
        ))),
    }
}
