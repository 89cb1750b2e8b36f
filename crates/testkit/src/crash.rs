//! Losing a daemon in the middle of what it does.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Runs `first` for so long in a world that `open` opens, in paused time. Then the daemon is lost with
/// all that it was doing, and `second` runs in the next one.
pub fn lose_daemon<W>(
    after: Duration,
    open: impl AsyncFn() -> W,
    first: impl AsyncFnOnce(&W),
    second: impl AsyncFnOnce(&W),
) {
    let life = paused();
    life.block_on(async {
        let world = open().await;
        let work = async {
            first(&world).await;
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(after, work).await;
    });
    drop(life);
    paused().block_on(async { second(&open().await).await });
}

fn paused() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("the machine has room for a runtime")
}
