//! Whether an edge that runs still does anything: it is pinged, and one that stays silent is
//! replaced.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::link::Link;
use crate::protocol::{Answer, Ask};

/// Two messages a second are nothing, and clients notice a silent edge at once.
const PING_PAUSE: Duration = Duration::from_millis(1000);
/// Pings in a row without any sign of life. An edge takes in the largest snapshot in less.
const SILENT_MAX: u32 = 5;
/// Pings that a worker may owe: the answer to one may be under way.
const BEHIND_MAX: u64 = 1;

/// What one ping found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// The edge said something meanwhile.
    pub heard: bool,
    /// Pings that the slowest worker owes, where the edge said so.
    pub behind: u64,
    /// This daemon did not run itself for some time, and knows nothing of it.
    pub late: bool,
}

/// Decides from what pings find. Pure.
#[derive(Debug, Default)]
pub struct Watchdog {
    silent: u32,
}

impl Watchdog {
    /// Whether the edge is to be replaced.
    pub fn gives_up(&mut self, sign: Sign) -> bool {
        if sign.heard && sign.behind <= BEHIND_MAX {
            self.silent = 0;
        } else if !sign.late {
            self.silent += 1;
        }
        self.silent >= SILENT_MAX
    }
}

/// Returns when the edge is to be replaced because it does not answer.
pub async fn silent(link: &Link) {
    let mut watchdog = Watchdog::default();
    loop {
        let begun = Instant::now();
        let messages = link.messages();
        let answer = link.ask(Ask::Ping, begun + PING_PAUSE).await;
        let behind = match answer {
            Some(Answer::Alive { behind }) => behind,
            _ => 0,
        };
        let sign = Sign {
            heard: link.messages() != messages,
            behind,
            late: begun.elapsed() > PING_PAUSE * 2,
        };
        if watchdog.gives_up(sign) {
            return;
        }
        sleep_until(begun + PING_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which ping the edge is given up: `.` it answers, `x` it is silent, `z` nothing was heard,
    /// and this daemon slept as well, `w` it answers, but a worker does not.
    fn check(pings: &str, expect: Option<usize>) {
        let mut watchdog = Watchdog::default();
        let sign = |ping| Sign {
            heard: matches!(ping, '.' | 'w'),
            behind: if ping == 'w' { 2 } else { 1 },
            late: ping == 'z',
        };
        let found = pings.chars().position(|ping| watchdog.gives_up(sign(ping)));
        assert_eq!(found, expect, "{pings}");
    }

    #[test]
    fn only_lasting_silence_counts() {
        check("..........", None);
        check("xxxxx", Some(4));
        check(".xxxx.xxxx.xxxx", None);
        check("..xxxxxx", Some(6));
        check("wwwww", Some(4));
        check("xwxwx", Some(4));
        // A suspended machine, or daemon, says nothing about the edge.
        check("zzzzzzzzzz", None);
        check("xxzzxx.", None);
        check("xxzzxxx", Some(6));
    }
}
