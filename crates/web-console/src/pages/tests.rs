//! Pages as text.

use ::why::{Outcome, Report, Unexplained};
use serde_json::json;

use super::*;
use crate::facts::fetched::Fetched;
use crate::facts::home::{Card, HomeFacts, StackState};
use crate::facts::logs::{Kind, Level, Line, LogsFacts, Piece};
use crate::facts::{DeploymentSummary, ServiceSummary, State, TargetCounts};
use crate::files;

/// What somebody may call a thing, or print, who wants to be more than text.
const HOSTILE: &str =
    "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\r\n\r\nevent: x";

fn service(name: &str, state: State) -> ServiceSummary {
    ServiceSummary {
        cluster: "main".into(),
        name: name.into(),
        arn: "arn".into(),
        state,
        desired: 3,
        running: 2,
        pending: 1,
        targets: Some(TargetCounts {
            all: 2,
            healthy: 1,
            unhealthy: 1,
        }),
        deployment: Some(DeploymentSummary {
            state: "COMPLETED".into(),
            changed_ms: Some(0),
        }),
    }
}

fn card(name: &str, state: State) -> Card {
    Card {
        name: name.into(),
        kind: "application",
        state,
        urls: vec![format!("http://{name}.elb.localhost")],
        services: vec![service(name, state)],
        stack: Some(StackState {
            name: name.into(),
            status: "CREATE_COMPLETE".into(),
            reason: None,
            changed_ms: Some(0),
        }),
        thing: name.into(),
        cause: (state == State::Failed).then(|| format!("{name} is closed")),
        log_group: Some(format!("/{name}")),
        traffic: None,
        fetched: Some(Fetched {
            status: None,
            trouble: Some(name.into()),
            at_ms: 0,
        }),
    }
}

fn home(cards: Vec<Card>) -> HomeFacts {
    HomeFacts {
        cards,
        left_off: 0,
        now_ms: 600_000,
    }
}

fn text(page: &Page) -> String {
    whole("us-east-1", &Asked::of(""), page)
}

/// Nothing that somebody named or printed is anything but text.
#[track_caller]
fn assert_harmless(html: &str) {
    for bad in [
        "<script>alert",
        "<img src=x",
        "onerror=alert(1)>\r",
        "javascript:",
    ] {
        assert!(!html.contains(bad), "`{bad}` in {html}");
    }
    // The console's own scripts have addresses, and no element has a style or a handler of its own.
    let scripts = html.matches("<script").count();
    assert_eq!(
        scripts,
        html.matches("<script src=\"/_neargate/console/files/")
            .count()
    );
    assert!(!html.contains(" style=") && !html.contains(" onclick="));
}

#[test]
fn home_says_in_words_and_shapes_what_is_up() {
    let facts = home(vec![card("shop", State::Failed), card("web", State::Well)]);
    let html = text(&home::page(&facts, &Asked::of("")));
    for part in [
        "<title>One thing is wrong · neargate</title>",
        "✗</span> failing",
        "✓</span> up",
        "1 healthy, 1 unhealthy, 1 starting of 3 wanted",
        "shop is closed",
        "href=\"/_neargate/console/why?thing=shop\"",
        "href=\"/_neargate/console/logs?group=%2Fweb\"",
        "href=\"http://web.elb.localhost\"",
        "10 min ago",
        "aws ecs list-clusters",
        "looks only",
        "hx-sse:connect=\"/_neargate/console/?format=stream\"",
    ] {
        assert!(html.contains(part), "`{part}` is not in {html}");
    }
    assert!(!html.contains("web is closed"));
    let empty = text(&home::page(&home(Vec::new()), &Asked::of("")));
    assert!(empty.contains("neargate up FOLDER"), "{empty}");
}

#[test]
fn hostile_names_stay_text() {
    let mut facts = home(vec![card(HOSTILE, State::Failed)]);
    facts.cards[0].urls = vec!["javascript:alert(1)".into(), HOSTILE.into()];
    let html = text(&home::page(&facts, &Asked::of("")));
    assert_harmless(&html.replace(">javascript:alert(1)<", "><"));
    let report = Report {
        outcome: Outcome::Unknown,
        thing: HOSTILE.into(),
        findings: Vec::new(),
        path: Vec::new(),
        unexplained: vec![Unexplained {
            thing: HOSTILE.into(),
            symptom: HOSTILE.into(),
        }],
        looked_at: vec![HOSTILE.into()],
        not_looked_at: vec![HOSTILE.into()],
    };
    let asked = Asked::of("why?thing=%27%3B%20rm%20-rf");
    let page = why::page(&report, &asked);
    assert_eq!(page.commands, ["neargate why ''\\''; rm -rf'"]);
    assert_harmless(&text(&page));
}

#[test]
fn log_lines_stay_text_and_are_a_log() {
    let line = Line {
        id: "1".into(),
        at_ms: 0,
        stream: HOSTILE.into(),
        colour: 0,
        level: Level::Error,
        pieces: vec![Piece::Plain(HOSTILE.into()), Piece::Marked("<b>".into())],
        json: Some(json!({ "a": "<i>" }).to_string()),
    };
    let facts = LogsFacts {
        group: Some("/web".into()),
        groups: Vec::new(),
        kind: Kind::Text,
        is_searched: false,
        streams: vec!["a".into(), "b".into()],
        lines: vec![line],
        scanned: 0,
        next: None,
        trouble: Some(HOSTILE.into()),
        aws_pattern: None,
    };
    let html = text(&logs::page(
        &facts,
        &Asked::of("logs?group=%2Fweb&q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"),
    ));
    assert_harmless(&html);
    for part in [
        "role=\"log\"",
        "<mark>&lt;b&gt;</mark>",
        "class=\"level\">error<",
    ] {
        assert!(html.contains(part), "`{part}` is not in {html}");
    }
}

#[test]
fn what_changes_something_is_offered_to_those_who_may() {
    let facts = crate::facts::service::ServiceFacts {
        summary: service("web", State::Well),
        deployments: Vec::new(),
        targets: Vec::new(),
        tasks: Vec::new(),
        events: Vec::new(),
        log_groups: Vec::new(),
        previous: Some("arn:aws:ecs:r:1:task-definition/web:1".into()),
        stack: None,
        report: None,
        now_ms: 0,
    };
    let looking = text(&service::page(&facts, &Asked::of("services/main/web")));
    assert!(!looking.contains("method=\"post\""), "{looking}");
    let writing = text(&service::page(&facts, &Asked::writing("services/main/web")));
    for verb in ["force", "rollback", "scale"] {
        let action = format!("action=\"/_neargate/console/services/main/web/{verb}\"");
        assert!(writing.contains(&action), "{writing}");
    }
    assert!(writing.contains("Roll back to web:1"));
}

/// What the first visit of a page loads.
#[test]
fn the_first_load_is_small() {
    const MOST: usize = 60 * 1024;
    let cards = (0..50).map(|it| card(&format!("service-{it}"), State::Well));
    let html = text(&home::page(&home(cards.collect()), &Asked::of("")));
    let packed = files::packed_bytes();
    assert!(packed < MOST / 2, "{packed} bytes of files");
    // A page itself is sent as it is: it comes from this machine.
    let page = text(&home::page(
        &home(vec![card("web", State::Well)]),
        &Asked::of(""),
    ));
    assert!(packed + page.len() < MOST, "{packed} and {}", page.len());
    assert!(html.len() < 256 * 1024, "{}", html.len());
}

/// Escaping holds by construction: nowhere is markup made of text.
#[test]
fn no_source_makes_markup_of_text() {
    let word = concat!("PreEsc", "aped");
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains(word), "{}", path.display());
            looked += 1;
        }
    }
    assert!(looked > 10);
}
