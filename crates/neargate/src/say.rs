//! How commands speak to people: steps with their time, a live view on a terminal, plain lines
//! elsewhere.
//!
//! Everything that a command prints goes through here. Names, events, errors and what containers print come
//! from others, and a terminal takes orders from what is printed on it: it moves its cursor over earlier
//! lines, fills the clipboard, renames its window. [`visible`] leaves nothing of that but colours.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use console::style;
use engine::OutputStream;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::BROKEN_PIPE;

/// A line on standard output.
pub fn line(text: impl Display) {
    print(&visible(&text.to_string()));
}

/// A line on standard error.
pub fn note(text: impl Display) {
    // There is nobody to tell that it could not be told.
    let _ = writeln!(std::io::stderr(), "{}", visible(&text.to_string()));
}

/// A line that whoever started the command waits for: a command that cannot say it has failed.
fn print(text: &str) {
    let Err(error) = writeln!(std::io::stdout(), "{text}") else {
        return;
    };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(BROKEN_PIPE);
    }
    note(format_args!(
        "error: cannot write to the standard output: {error}"
    ));
    std::process::exit(1);
}

/// A line on standard output for other programs to read: into a pipe or a file it goes as it is.
pub fn output(text: impl Display) {
    if std::io::stdout().is_terminal() {
        line(text);
    } else {
        print(&text.to_string());
    }
}

/// What a command in a container prints, as it is: whoever runs it wants its orders to the terminal.
pub fn raw(stream: OutputStream, bytes: &[u8]) {
    let written = match stream {
        OutputStream::Stdout => {
            let mut out = std::io::stdout();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        OutputStream::Stderr => std::io::stderr().write_all(bytes),
    };
    if written.is_err_and(|it| it.kind() == std::io::ErrorKind::BrokenPipe) {
        std::process::exit(BROKEN_PIPE);
    }
}

/// The text with every order to a terminal written out (`\u001b`, as JSON does), but for line ends, tabs
/// and colours; and with what turns the direction of writing around written out, too.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_order) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let (mut coloured, mut rest) = (false, text);
    while let Some(next) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            shown.push_str(&rest[..length]);
            (coloured, rest) = (true, &rest[length..]);
            continue;
        }
        if next == '\n' {
            end_colour(&mut shown, &mut coloured);
        }
        match is_order(next) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(next))),
            false => shown.push(next),
        }
        rest = &rest[next.len_utf8()..];
    }
    end_colour(&mut shown, &mut coloured);
    Cow::Owned(shown)
}

/// Ends every colour.
const PLAIN: &str = "\u{1b}[0m";
/// A colour's numbers: `38;2;255;255;255` and a weight are the longest in use.
const COLOUR_BYTES_MAX: usize = 32;

/// A colour of one line never reaches into the next.
fn end_colour(shown: &mut String, coloured: &mut bool) {
    if std::mem::take(coloured) && !shown.ends_with(PLAIN) {
        shown.push_str(PLAIN);
    }
}

fn is_order(it: char) -> bool {
    let turns = matches!(
        it,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || it.is_control() && it != '\n' && it != '\t'
}

/// The length of the colour (SGR) that the text begins with. One that hides what follows is none.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|it: char| !it.is_ascii_digit() && it != ';')?;
    let mut each = numbers[..end].split(';');
    let hides = each.any(|it| it.trim_start_matches('0') == "8");
    let is_colour = numbers[end..].starts_with('m') && end <= COLOUR_BYTES_MAX;
    (is_colour && !hides).then_some("\u{1b}[".len() + end + "m".len())
}

/// `1 image`, `2 images`.
pub fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// An error that ends a command: on standard error, with every cause.
pub fn failure(error: &anyhow::Error, json: bool) {
    if json {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        line(serde_json::json!({ "error": causes.join(": ") }));
        return;
    }
    let mark = style("error:").red().bold().for_stderr();
    note(format_args!("{mark} {error}"));
    for cause in error.chain().skip(1) {
        note(format_args!("  because {cause}"));
    }
}

/// A step under way. It ends with [`Step::done`]; dropped before, it has failed.
pub struct Step {
    what: String,
    began: Instant,
    view: View,
    last: RefCell<String>,
}

enum View {
    /// Nothing is said (`--json`).
    Silent,
    /// A line when it is done.
    Plain,
    Live(ProgressBar),
}

impl Step {
    pub fn begin(what: &str, json: bool) -> Self {
        let view = if json {
            View::Silent
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix} {wide_msg:.dim}")
                .expect("the template is a constant");
            bar.set_style(style);
            bar.set_prefix(visible(what).into_owned());
            bar.enable_steady_tick(Duration::from_millis(80));
            View::Live(bar)
        } else {
            View::Plain
        };
        Self {
            what: what.to_owned(),
            began: Instant::now(),
            view,
            last: RefCell::default(),
        }
    }

    /// Something that happens within the step.
    pub fn detail(&self, text: &str) {
        match &self.view {
            View::Live(bar) => bar.set_message(visible(text).into_owned()),
            View::Plain => {
                // Without a screen to overwrite, the same line again says nothing.
                if self.last.borrow().as_str() != text {
                    note(format_args!("    {text}"));
                    text.clone_into(&mut self.last.borrow_mut());
                }
            }
            View::Silent => {}
        }
    }

    /// Something that stays on the screen.
    pub fn line(&self, text: &str) {
        match &self.view {
            View::Live(bar) => bar.println(format!("    {}", visible(text))),
            View::Plain => note(format_args!("    {text}")),
            View::Silent => {}
        }
    }

    pub fn done(self, outcome: &str) -> Duration {
        let took = self.began.elapsed();
        let time = style(format!("{:.2} s", took.as_secs_f64()))
            .dim()
            .for_stderr();
        let tick = style("✓").green().for_stderr();
        match &self.view {
            View::Live(bar) => {
                bar.finish_and_clear();
                note(format_args!("{tick} {} {outcome} {time}", self.what));
            }
            View::Plain => note(format_args!("{tick} {} {outcome} {time}", self.what)),
            View::Silent => {}
        }
        took
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let View::Live(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn orders_to_a_terminal_are_written_out() {
        for (text, shown) in [
            ("plain text\n\twith a tab", "plain text\n\twith a tab"),
            ("größer → 大", "größer → 大"),
            // The cursor, the screen, the clipboard, the window's title.
            ("\u{1b}[2J\u{1b}[1;1Hok", "\\u001b[2J\\u001b[1;1Hok"),
            ("\u{1b}]52;c;cm0=\u{7}", "\\u001b]52;c;cm0=\\u0007"),
            ("\u{1b}]0;title\u{1b}\\", "\\u001b]0;title\\u001b\\"),
            ("\u{1b}Pq\u{1b}\\", "\\u001bPq\\u001b\\"),
            ("\u{9b}2J\u{9d}0;x\u{9c}", "\\u009b2J\\u009d0;x\\u009c"),
            ("fine\rerror: none", "fine\\u000derror: none"),
            ("a\u{8}b\u{7f}c\0", "a\\u0008b\\u007fc\\u0000"),
            ("gpj.\u{202e}exe", "gpj.\\u202eexe"),
            ("\u{1b}[8mhidden", "\\u001b[8mhidden"),
            ("\u{1b}[1;08mhidden", "\\u001b[1;08mhidden"),
            (
                "\u{1b}[?25l\u{1b}[6n\u{1b}",
                "\\u001b[?25l\\u001b[6n\\u001b",
            ),
            ("\u{1b}[31", "\\u001b[31"),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_colour_stays_and_ends_with_its_line() {
        for (text, shown) in [
            ("\u{1b}[31mred", "\u{1b}[31mred\u{1b}[0m"),
            (
                "\u{1b}[1;38;5;9mred\u{1b}[0m",
                "\u{1b}[1;38;5;9mred\u{1b}[0m",
            ),
            ("\u{1b}[31mred\nnot", "\u{1b}[31mred\u{1b}[0m\nnot"),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_out_in_json_is_the_same_json() {
        let value = serde_json::json!({ "name": "a\u{1b}[2J\u{9b}\u{202e}\u{7f}" });
        let shown = visible(&value.to_string()).into_owned();
        assert!(!shown.chars().any(is_order));
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, value);
    }

    /// What prints by itself, of the other files.
    fn others_that_print(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                others_that_print(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("say.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = text
                    .lines()
                    .filter(|it| it.contains("print!(") || it.contains("println!("));
                found.extend(lines.map(|it| format!("{}: {it}", path.display())));
            }
        }
    }

    #[test]
    fn nothing_is_printed_but_from_here() {
        let mut found = Vec::new();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        others_that_print(&own, &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
}
