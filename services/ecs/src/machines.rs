//! Container instances whose machines are gone. A machine that is terminated takes its tasks with it, and is
//! registered no longer; one that is stopped may come back as what it was ("Container instance life cycle").

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, StoreError};

use crate::container_instance::{stop_tasks_of, wake_services};
use crate::instance_record::ContainerInstance;
use crate::machine::{self, Gone};

pub const KIND: &str = "ecs.machines";
pub const KEY: &str = "all";

/// EC2's record of an instance: what it says is asked of EC2.
pub const CHANGED: &str = "ec2.instance";

/// One reconciler of one key: it is woken by every change of any machine.
pub struct MachinesReconciler;

#[async_trait]
impl Reconciler for MachinesReconciler {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.to_owned()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        for instance in cx.read(|tx| tx.readable::<ContainerInstance>(""))? {
            let cx = cx.in_region(&instance.region);
            if let Some(gone) = machine::gone(&cx, &instance.machine.id).await? {
                forget(&cx, &instance, gone)?;
            }
        }
        Ok(Next::Idle)
    }
}

fn forget(cx: &Cx, instance: &ContainerInstance, gone: Gone) -> Result<(), cloud::Error> {
    let how = match gone {
        Gone::Terminated => "terminated",
        Gone::Stopped => "stopped",
    };
    let reason = format!("Host EC2 (instance {}) {how}.", instance.machine.id);
    cx.write(|tx| {
        stop_tasks_of(cx, tx, &instance.cluster, &instance.id, Some(&reason))?;
        let key = cloud::Record::key(instance);
        match (gone, tx.get::<ContainerInstance>(&key)?) {
            (_, None) => Ok(()),
            (Gone::Terminated, _) => tx.delete::<ContainerInstance>(&key).map(drop),
            (Gone::Stopped, Some(mut found)) => {
                found.seen_ms = 0;
                tx.put(&found)
            }
        }
    })?;
    wake_services(cx, &instance.cluster)
}
