//! The daemon, the edge and supervisors are killed at seeded moments of everything that takes a while:
//! stacks that are made, changed and deleted, builds, pushes, commands in containers, changes of scale.
//! What was answered is there afterwards, what failed says so, whatever is said to run runs, and
//! nothing is left of what is over.
//!
//! `NEARGATE_TORMENT_KILLS=200 NEARGATE_TORMENT_SEED=7 cargo test -p e2e --test all torment` looks for longer;
//! moments, works and victims follow from the seed, what the machine does meanwhile does not.

mod dice;
mod looks;
mod victims;
mod works;

use dice::{Dice, KILLS, SEED, number_of};
use victims::{Killed, VICTIMS, strike};
use works::{Work, World};

/// Half a minute of a free machine, some five rounds of all works.
const KILLS_DEFAULT: u64 = 60;

/// Says with what a failure can be looked for again.
struct Told {
    seed: u64,
    begun: Vec<String>,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.begun.len().saturating_sub(12);
            eprintln!(
                "{SEED}={}, after\n{}",
                self.seed,
                self.begun[last..].join("\n")
            );
        }
    }
}

#[test]
fn kills_at_any_moment_end_truthfully_and_leave_nothing() {
    let wanted = number_of(KILLS).unwrap_or(KILLS_DEFAULT) as usize;
    let mut dice = Dice::new();
    let mut told = Told {
        seed: dice.seed,
        begun: Vec::new(),
    };
    let mut world = World::new();
    let mut sum = Killed::default();
    while sum.all() < wanted {
        for work in world.works() {
            let victim = dice.pick(&VICTIMS);
            let moment = dice.moment(work.takes_ms());
            told.begun
                .push(format!("{work:?}: {victim:?} after {moment:?}"));
            let killed = world.do_meanwhile(work, |machine| {
                std::thread::sleep(moment);
                strike(machine, victim, &mut dice)
            });
            sum.daemons += killed.daemons;
            sum.edges += killed.edges;
            sum.supervisors += killed.supervisors;
            looks::assert_truthful(&world.machine);
            if work != Work::Delete {
                world.assert_lost_no_more_than(killed.supervisors);
            }
        }
        looks::assert_nothing_left(&world.machine);
    }
    println!("seed {}: killed {sum:?}", dice.seed);
}
