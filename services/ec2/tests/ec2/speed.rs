//! Measured by hand: `cargo test -p ec2 --test ec2 -- --ignored --nocapture speed`.

use std::time::Instant;

use crate::world::World;

/// The thousandth interface takes no longer than the first.
#[tokio::test]
#[ignore = "a measurement"]
async fn interfaces_do_not_slow_down() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.0.0/20").await;
    for block in 0..10 {
        let start = Instant::now();
        for _ in 0..100 {
            world.interface(&subnet, &[]).await;
        }
        println!(
            "interfaces {:4}: {:?} each",
            (block + 1) * 100,
            start.elapsed() / 100
        );
    }
}
