//! How commands speak to people: steps with their time, a live view on a terminal, plain lines
//! elsewhere.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

/// An error that ends a command: on standard error, with every cause.
pub fn failure(error: &anyhow::Error, json: bool) {
    if json {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        println!("{}", serde_json::json!({ "error": causes.join(": ") }));
        return;
    }
    eprintln!("{} {error}", style("error:").red().bold().for_stderr());
    for cause in error.chain().skip(1) {
        eprintln!("  because {cause}");
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
            bar.set_prefix(what.to_owned());
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
            View::Live(bar) => bar.set_message(text.to_owned()),
            View::Plain => {
                // Without a screen to overwrite, the same line again says nothing.
                if self.last.borrow().as_str() != text {
                    eprintln!("    {text}");
                    text.clone_into(&mut self.last.borrow_mut());
                }
            }
            View::Silent => {}
        }
    }

    /// Something that stays on the screen.
    pub fn line(&self, text: &str) {
        match &self.view {
            View::Live(bar) => bar.println(format!("    {text}")),
            View::Plain => eprintln!("    {text}"),
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
                eprintln!("{tick} {} {outcome} {time}", self.what);
            }
            View::Plain => eprintln!("{tick} {} {outcome} {time}", self.what),
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
