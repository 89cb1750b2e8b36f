//! The daemon is lost at every millisecond of an execution; the next one ends it, once.

use std::time::Duration;

use testkit::SimMachine;

use crate::support::*;

fn crash<A, B>(machine: &SimMachine, after: Duration, first: A, second: B)
where
    A: AsyncFnOnce(&World),
    B: AsyncFnOnce(&World),
{
    testkit::lose_daemon(after, async || World::on(machine).await, first, second);
}

#[test]
fn an_execution_ends_as_if_nothing_had_happened() {
    // Looks are a tenth of a second apart: around each, every millisecond.
    let points = (0..20_u64).chain(100..125).chain(200..225).chain(300..310);
    for after in points {
        let machine = machine();
        crash(
            &machine,
            Duration::from_millis(after),
            async |world| world.create(usual()).await,
            async |world| {
                let known = world.all::<FakeService>();
                assert_eq!(known.len(), 1);
                let name = shapes::codepipeline::GetPipelineStateInput {
                    name: "shop".into(),
                };
                if world.cx.call(name).await.is_err() {
                    world.create(usual()).await;
                }
                let all = world.ended(1).await;
                let status = all[0].status;
                let succeeded = shapes::codepipeline::PipelineExecutionStatus::Succeeded;
                assert_eq!(
                    status,
                    Some(succeeded),
                    "lost after {after} ms: {:#?}",
                    world.runs().await
                );
                assert_eq!(world.all::<FakeBuild>().len(), 1, "lost after {after} ms");
                assert_eq!(
                    world.all::<FakeDefinition>().len(),
                    2,
                    "lost after {after} ms"
                );
                assert_eq!(world.service().updates, 1, "lost after {after} ms");
                assert_eq!(world.runs().await.len(), 3);
                world.assert_clean().await;
            },
        );
    }
}
