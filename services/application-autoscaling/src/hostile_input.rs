//! Hostile schedules.

use fuzz::{Target, shape_of};

use crate::schedule::parse;

/// 26 November 2026, 16:20 UTC.
const NOW_MS: i64 = 1_795_710_000_000;

#[test]
fn fuzz_schedule() {
    Target::new("schedule", env!("CARGO_MANIFEST_DIR"))
        .seeds([
            "at(2026-11-27T08:00:00)",
            "rate(5 minutes)",
            "rate(9223372036854775 hours)",
            "cron(0/15 8-17 ? * MON-FRI *)",
            "cron(0 8 L * ? 2026-2030)",
            "cron(0 0 31 2 ? *)",
            "cron(0 8 ? JAN,DEC 6#3 *)",
        ])
        .words([
            "at(",
            "rate(",
            "cron(",
            " days)",
            "LW",
            "#5",
            "*/",
            "2199",
            "-",
            ",",
            "? ",
            "99999999999",
        ])
        .run(|input| {
            let text = String::from_utf8_lossy(input);
            let next = |zone| match parse(&text, zone) {
                Ok(schedule) => match schedule.next(NOW_MS - 90_000, NOW_MS) {
                    Some(at) => format!("later {}", at > NOW_MS),
                    None => "never".to_owned(),
                },
                Err(error) => shape_of(&error),
            };
            // A zone with clock changes, too.
            (next(None), next(Some("Europe/Berlin")))
        });
}
