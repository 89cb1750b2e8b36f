//! Parts that several pages show.

use maud::{Markup, html};
use why::Report;

use crate::asked::{is_web_address, link};
use crate::facts::{ServiceSummary, State};

/// A state by shape and word, never by colour alone.
pub fn state(it: State) -> Markup {
    html! {
        span class={ "state " (it.class()) } {
            span aria-hidden="true" { (it.shape()) } " " (it.word())
        }
    }
}

/// A state in somebody else's words.
pub fn said(it: State, words: &str) -> Markup {
    html! {
        span class={ "state " (it.class()) } {
            span aria-hidden="true" { (it.shape()) } " " (words)
        }
    }
}

/// More squares than this are a number.
const SQUARES_MAX: i32 = 40;

/// Tasks as squares, each with a shape of its own, and the same in words.
pub fn squares(it: &ServiceSummary) -> Markup {
    let healthy = it
        .targets
        .as_ref()
        .map_or(it.running, |it| it.healthy.min(it.all));
    let unhealthy = it.targets.as_ref().map_or(0, |it| it.unhealthy);
    let other = (it.running - healthy - unhealthy).max(0);
    let missing = (it.desired - it.running - it.pending).max(0);
    let word = if it.targets.is_some() {
        "healthy"
    } else {
        "running"
    };
    let parts = [
        (healthy, "well", "■", word),
        (unhealthy, "failed", "✗", "unhealthy"),
        (other, "changing", "◧", "running, not healthy yet"),
        (it.pending, "changing", "◌", "starting"),
        (missing, "failed", "□", "missing"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|it| it.0 > 0)
        .map(|it| format!("{} {}", it.0, it.3))
        .collect();
    html! {
        span .squares aria-hidden="true" {
            @for (count, class, shape, _) in parts {
                @for _ in 0..count.clamp(0, SQUARES_MAX) { span class=(class) { (shape) } }
            }
        }
        " "
        @if words.is_empty() { "no tasks" } @else { (words.join(", ")) }
        " of " (it.desired) " wanted"
    }
}

/// A way out of the console, if it is one.
pub fn outward(address: &str) -> Markup {
    html! {
        @if is_web_address(address) {
            a .url href=(address) rel="noreferrer" { (address) }
        } @else { (address) }
    }
}

pub fn ago(now_ms: i64, at_ms: Option<i64>) -> Markup {
    html! {
        @match at_ms {
            None => "–",
            Some(at_ms) => {
                @let exact = moment(at_ms);
                time datetime=(exact) title=(exact) { (since(now_ms - at_ms)) }
            }
        }
    }
}

pub fn moment(at_ms: i64) -> String {
    wire::Timestamp(at_ms as f64 / 1000.0).to_string()
}

/// Coarse, so that a page at rest stays the same.
fn since(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        ..1 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..2880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

pub fn why_link(thing: &str) -> Markup {
    html! { a .why data-key="w" href=(link(&["why"], &[("thing", thing)])) { "Why?" } }
}

/// What `why` found, in full.
pub fn report(report: &Report) -> Markup {
    html! {
        @for (at, finding) in report.findings.iter().enumerate() {
            section .finding #{ "finding-" (at) } {
                h2 { (said(State::Failed, &finding.thing)) }
                p .cause { (finding.cause) }
                @if !finding.because.is_empty() {
                    h3 { "Because" }
                    ul { @for it in &finding.because { li { strong { (it.object) } ": " (it.seen) } } }
                }
                @if !finding.path.is_empty() {
                    h3 { "The way of a packet" }
                    (way(&finding.path))
                }
                @if !finding.mend.is_empty() {
                    h3 { "What mends it" }
                    ul { @for it in &finding.mend {
                        li {
                            (it.what)
                            @if let Some(command) = &it.command { pre { code { (command) } } }
                        }
                    } }
                }
                @if !finding.also_seen.is_empty() {
                    h3 { "Also seen" }
                    ul { @for it in &finding.also_seen { li { (it) } } }
                }
                p .aws { "AWS says: " q { (finding.aws_says) } }
                p .row { (finding.id) " " (finding.name) ", " (basis(finding.basis)) }
            }
        }
        @for it in &report.unexplained {
            section .finding {
                h2 { (said(State::Changing, &it.thing)) }
                p .cause { "No cause is known. It says: " (it.symptom) }
            }
        }
    }
}

pub fn way(path: &[why::Hop]) -> Markup {
    html! {
        ol .way { @for hop in path {
            li {
                (said(if hop.passes { State::Well } else { State::Failed }, &hop.component))
                @if let Some(code) = &hop.code { " " code { (code) } }
                @if let Some(rule) = &hop.rule { " " (rule) }
            }
        } }
    }
}

fn basis(it: why::Basis) -> &'static str {
    match it {
        why::Basis::Observed => "observed",
        why::Basis::Derived => "derived",
        why::Basis::Guessed => "guessed",
    }
}

/// A button that changes something, where the session may. The script sends it.
pub fn action(can_write: bool, address: &str, label: &str, sure: &str) -> Markup {
    html! {
        @if can_write {
            form .act method="post" action=(address) data-sure=(sure) hx-morph-skip="" {
                button type="submit" { (label) }
            }
        }
    }
}

pub fn service_link(cluster: &str, name: &str) -> String {
    link(&["services", cluster, name], &[])
}

/// How a shell takes a word as it is.
pub fn quoted(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_./:@%+=,".contains(it);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// `aws …`, with each word as a shell takes it.
pub fn aws(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|it| quoted(it)).collect();
    format!("aws {}", words.join(" "))
}
