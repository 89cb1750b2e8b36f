//! Lines over time as a picture, and the same as a table: laid out here, so that what is drawn is tested as text.

use maud::{Markup, html};

use super::parts;
use crate::facts::metrics::{Mark, Plot, Series};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 140.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 14.0;
/// Lines are told apart by dashes as well as by their order in the legend.
const DASHES: [&str; 4] = ["", "6 3", "2 2", "8 2 2 2"];
/// Rows of the table: the last ones.
const ROWS_MAX: usize = 60;

struct Frame {
    from_ms: i64,
    to_ms: i64,
    most: f64,
}

impl Frame {
    fn x(&self, at_ms: i64) -> f64 {
        let whole = (self.to_ms - self.from_ms).max(1) as f64;
        LEFT + (at_ms - self.from_ms) as f64 / whole * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        TOP + HEIGHT - (value / self.most).clamp(0.0, 1.0) * HEIGHT
    }
}

pub fn plot(plot: &Plot, (from_ms, to_ms): (i64, i64), period_s: i32, marks: &[Mark]) -> Markup {
    let values = plot
        .lines
        .iter()
        .flat_map(|it| it.points.iter().map(|it| it.1));
    let bounds = plot.bounds.iter().map(|it| it.value);
    let most = values
        .chain(bounds)
        .filter(|it| it.is_finite())
        .fold(0.0, f64::max);
    let frame = Frame {
        from_ms,
        to_ms,
        most: round_up(most),
    };
    let id = format!("plot-{}", plot.title.replace(' ', "-"));
    let is_empty = plot.lines.iter().all(|it| it.points.is_empty());
    html! {
        section {
            h2 { (plot.title) @if !plot.unit.is_empty() { " " small { "(" (plot.unit) ")" } } }
            @if is_empty { p { "Nothing was told of it in this time." } }
            @else {
                svg .plot viewBox={ "0 0 " (LEFT + WIDTH + 10.0) " " (TOP + HEIGHT + 22.0) } role="img" aria-labelledby=(id) {
                    title #(id) { (described(plot)) }
                    rect x=(LEFT) y=(TOP) width=(WIDTH) height=(HEIGHT) {}
                    text x="0" y=(TOP + 8.0) { (number(frame.most)) }
                    text x="0" y=(TOP + HEIGHT) { "0" }
                    text x=(LEFT) y=(TOP + HEIGHT + 16.0) { (clock(from_ms)) }
                    text x=(LEFT + WIDTH - 60.0) y=(TOP + HEIGHT + 16.0) { (clock(to_ms)) }
                    @for mark in marks.iter().filter(|it| it.at_ms >= from_ms && it.at_ms <= to_ms) {
                        path .mark d={ "M" (round(frame.x(mark.at_ms))) " " (TOP) "v" (HEIGHT) } { title { (mark.what) } }
                    }
                    @for bound in &plot.bounds {
                        path .bound d={ "M" (LEFT) " " (round(frame.y(bound.value))) "h" (WIDTH) } {
                            title { "threshold of alarm " (bound.alarm) }
                        }
                    }
                    @for (at, line) in plot.lines.iter().enumerate() {
                        path .line d=(path(&frame, line, period_s)) stroke-dasharray=(DASHES[at % DASHES.len()]) { title { (line.name) } }
                    }
                }
                p .legend {
                    @for (at, line) in plot.lines.iter().enumerate() {
                        span .key {
                            svg .sample viewBox="0 0 30 8" aria-hidden="true" { path .line d="M0 4h30" stroke-dasharray=(DASHES[at % DASHES.len()]) {} }
                            " " (line.name)
                            @if let Some((_, value)) = line.points.last() { " " (number(*value)) }
                        }
                    }
                    @for bound in &plot.bounds { span .key { "┄ alarm " (bound.alarm) " at " (number(bound.value)) ", " (bound.state) } }
                }
                (table(plot))
            }
        }
    }
}

fn described(plot: &Plot) -> String {
    let lines = plot.lines.iter().map(|it| match it.points.last() {
        Some((_, value)) => format!("{} {} at last", it.name, number(*value)),
        None => format!("{} unknown", it.name),
    });
    format!("{}: {}", plot.title, lines.collect::<Vec<_>>().join(", "))
}

/// A line, broken where nothing was told.
fn path(frame: &Frame, line: &Series, period_s: i32) -> String {
    let gap_ms = i64::from(period_s) * 2500;
    let (mut text, mut before) = (String::new(), None);
    for (at_ms, value) in &line.points {
        let is_next = before.is_some_and(|it| at_ms - it <= gap_ms);
        let verb = if is_next { 'L' } else { 'M' };
        text += &format!(
            "{verb}{} {}",
            round(frame.x(*at_ms)),
            round(frame.y(*value))
        );
        // One point alone is seen, too.
        if !is_next {
            text += "h1";
        }
        before = Some(*at_ms);
    }
    text
}

fn table(plot: &Plot) -> Markup {
    let mut times: Vec<i64> = plot
        .lines
        .iter()
        .flat_map(|it| it.points.iter().map(|it| it.0))
        .collect();
    times.sort_unstable();
    times.dedup();
    let from = times.len().saturating_sub(ROWS_MAX);
    let at = |line: &Series, time: i64| {
        line.points
            .iter()
            .find(|it| it.0 == time)
            .map(|it| number(it.1))
    };
    html! {
        details #{ "table-" (plot.title.replace(' ', "-")) } {
            summary { "As a table" }
            table {
                thead { tr { th scope="col" { "Time" } @for line in &plot.lines { th scope="col" { (line.name) } } } }
                tbody { @for time in times[from..].iter().rev() { tr {
                    th scope="row" { (parts::moment(*time)) }
                    @for line in &plot.lines { td { (at(line, *time).unwrap_or_else(|| "–".to_owned())) } }
                } } }
            }
        }
    }
}

/// A small line beside something.
pub fn spark(points: &[(i64, f64)], what: &str) -> Markup {
    let most = points.iter().map(|it| it.1).fold(0.0, f64::max);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return html! {};
    };
    let whole = (last.0 - first.0).max(1) as f64;
    let mut text = String::new();
    for (at, (time, value)) in points.iter().enumerate() {
        let x = (time - first.0) as f64 / whole * 100.0;
        let y = 22.0 - if most > 0.0 { value / most * 20.0 } else { 0.0 };
        text += &format!(
            "{}{} {}",
            if at == 0 { 'M' } else { 'L' },
            round(x),
            round(y)
        );
    }
    html! {
        svg .spark viewBox="0 0 100 24" role="img" aria-label=(what) { path .line d=(text) {} }
    }
}

/// The next of 1, 2, 5, 10, …
fn round_up(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let unit = 10f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps
        .iter()
        .map(|it| it * unit)
        .find(|it| *it >= most)
        .unwrap_or(most)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

pub fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        it if it.abs() >= 100.0 => format!("{it:.0}"),
        it if it.abs() >= 1.0 => format!("{it:.1}"),
        it => format!("{it:.3}"),
    }
}

/// The time of day of a moment.
fn clock(at_ms: i64) -> String {
    parts::moment(at_ms)
        .get(11..19)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_drawn_and_told() {
        let drawn = plot(
            &Plot {
                title: "Requests",
                unit: "a second",
                lines: vec![Series {
                    name: "all",
                    metric: "RequestCount",
                    points: vec![(0, 0.0), (10_000, 4.0), (60_000, 2.0)],
                }],
                bounds: Vec::new(),
            },
            (0, 60_000),
            10,
            &[Mark {
                at_ms: 30_000,
                what: "<deployment>".into(),
            }],
        )
        .into_string();
        for part in [
            // Up, and then a gap in which nothing was told.
            "d=\"M60 154h1L160 42M660 98h1\"",
            "<title id=\"plot-Requests\">Requests: all 2.0 at last</title>",
            "&lt;deployment&gt;",
            "<td>4.0</td>",
        ] {
            assert!(drawn.contains(part), "`{part}` is not in {drawn}");
        }
        assert_eq!(
            [0.0, 0.3, 1.0, 4.2, 51.0].map(round_up),
            [1.0, 0.5, 1.0, 5.0, 100.0]
        );
    }
}
