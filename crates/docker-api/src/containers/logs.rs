//! `GET /containers/{id}/logs`: the log's file, from where and as far as is asked for.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use engine::{OutputStream, parse_log_line, tagged_output};
use http::{Response, StatusCode, header};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::Container;
use super::attach::{Output, Wanted};
use super::record::Status;
use crate::answer::{self, Answer, Refusal};
use crate::clock;
use crate::limits::{LOG_LINE_BYTES_MAX, LOG_POLL, PIECES_MAX};
use crate::routes::Call;

const READ_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    pub wanted: Wanted,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
    pub timestamps: bool,
    /// None: all.
    pub tail: Option<usize>,
}

impl LogOptions {
    pub fn all(wanted: Wanted) -> Self {
        Self {
            wanted,
            since_ms: None,
            until_ms: None,
            timestamps: false,
            tail: None,
        }
    }
}

/// Lines of a log that may still be growing.
struct Lines {
    file: File,
    bytes: Vec<u8>,
    /// Where the next line begins in them.
    at: usize,
    /// Whether the last line of this stream was ended, for time stamps.
    begins: [bool; 2],
}

impl Lines {
    /// None when there is no log: it was never started.
    async fn open(container: &Container) -> Option<Self> {
        Some(Self {
            file: File::open(container.log_file()).await.ok()?,
            bytes: Vec::new(),
            at: 0,
            begins: [true; 2],
        })
    }

    /// The next whole line, when it is there.
    async fn next(&mut self) -> Option<String> {
        loop {
            let rest = &self.bytes[self.at..];
            if let Some(length) = rest.iter().position(|it| *it == b'\n') {
                let line = String::from_utf8_lossy(&rest[..length]).into_owned();
                self.at += length + 1;
                return Some(line);
            }
            // Once for all lines of a read: for each it would cost the square of them.
            self.bytes.drain(..self.at);
            self.at = 0;
            if self.bytes.len() > LOG_LINE_BYTES_MAX {
                self.bytes.clear();
            }
            let mut more = vec![0; READ_BYTES];
            match self.file.read(&mut more).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.bytes.extend_from_slice(&more[..count]),
            }
        }
    }

    /// The line as it goes to the client, if it does.
    fn show(&mut self, line: &str, options: &LogOptions) -> Option<Bytes> {
        let event = parse_log_line(line, 0)?;
        let (stream, ends, text) =
            tagged_output(&event.message).unwrap_or((OutputStream::Stdout, true, &event.message));
        let begins = &mut self.begins[usize::from(stream == OutputStream::Stderr)];
        let began = std::mem::replace(begins, ends);
        let outside = options
            .since_ms
            .is_some_and(|since| event.timestamp_ms < since)
            || options
                .until_ms
                .is_some_and(|until| event.timestamp_ms > until);
        if outside || !options.wanted.takes(stream) {
            return None;
        }
        let mut shown = String::with_capacity(text.len() + 32);
        if options.timestamps && began {
            shown.push_str(&clock::rfc3339(event.timestamp_ms));
            shown.push(' ');
        }
        shown.push_str(text);
        if ends {
            shown.push('\n');
        }
        Some(options.wanted.frame(stream, shown.as_bytes()))
    }
}

/// Sends what is there. Returns where to go on from; None when the client is gone.
async fn send_there(
    container: &Container,
    options: &LogOptions,
    output: &mut Output,
) -> Option<Option<Lines>> {
    let Some(mut lines) = Lines::open(container).await else {
        return Some(None);
    };
    let mut last: VecDeque<Bytes> = VecDeque::new();
    while let Some(line) = lines.next().await {
        let Some(shown) = lines.show(&line, options) else {
            continue;
        };
        match options.tail {
            None => {
                if !output.write(shown).await {
                    return None;
                }
            }
            Some(0) => {}
            Some(tail) => {
                if last.len() == tail {
                    last.pop_front();
                }
                last.push_back(shown);
            }
        }
    }
    for shown in last {
        if !output.write(shown).await {
            return None;
        }
    }
    Some(Some(lines))
}

pub async fn send_past(container: &Container, options: LogOptions, output: &mut Output) {
    let _ = send_there(container, &options, output).await;
}

async fn follow(
    container: Arc<Container>,
    options: LogOptions,
    to: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut output = Output::Body(to.clone());
    let Some(mut lines) = send_there(&container, &options, &mut output).await else {
        return;
    };
    let mut changes = container.changes();
    loop {
        let status = container.record().state.status;
        let goes_on = matches!(
            status,
            Status::Running | Status::Restarting | Status::Created
        ) && !container.is_removed();
        if lines.is_none() {
            lines = Lines::open(&container).await;
        }
        if let Some(lines) = &mut lines {
            while let Some(line) = lines.next().await {
                if let Some(shown) = lines.show(&line, &options)
                    && !output.write(shown).await
                {
                    return;
                }
            }
        }
        let over = options
            .until_ms
            .is_some_and(|until| clock::now_ms() > until);
        if !goes_on || over {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOG_POLL) => {}
            _ = changes.changed() => {}
            () = to.closed() => return,
        }
    }
}

pub async fn logs(call: Call, container: &Arc<Container>) -> Answer {
    let query = &call.query;
    let time = |name: &str| -> Result<Option<i64>, Refusal> {
        let Some(text) = query.get(name).filter(|it| *it != "0") else {
            return Ok(None);
        };
        let parsed = clock::parse(text);
        parsed
            .map(Some)
            .ok_or_else(|| Refusal::bad(format!("`{name}` is not a time: `{text}`")))
    };
    let wanted = Wanted {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        terminal: container.record().config.tty,
    };
    if !wanted.stdout && !wanted.stderr {
        return Err(Refusal::bad(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    if !container.record().host.log_config.is_kept() {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            message: "configured logging driver does not support reading".to_owned(),
        });
    }
    let options = LogOptions {
        wanted,
        since_ms: time("since")?,
        until_ms: time("until")?,
        timestamps: query.flag("timestamps"),
        // What is not a number means all, as in docker.
        tail: query.get("tail").and_then(|it| it.parse().ok()),
    };
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let (container, follows) = (container.clone(), query.flag("follow"));
    tokio::spawn(async move {
        match follows {
            true => follow(container, options, sender).await,
            false => send_past(&container, options, &mut Output::Body(sender)).await,
        }
    });
    let mut response = Response::new(answer::pieces(receiver));
    answer::set(&mut response, header::CONTENT_TYPE, wanted.content_type());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::record::tests::a_record;
    use engine::format_log_line;

    #[tokio::test]
    async fn lines_are_shown_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        let container = Container::new(folder.path().to_owned(), a_record());
        let events = [(0, "oone"), (10, "Epart"), (20, "eial"), (30, "otwo")];
        let text: String = events
            .iter()
            .map(|it| format_log_line(it.0, it.0, it.1))
            .collect();
        std::fs::write(container.log_file(), text).unwrap();
        let wanted = Wanted {
            stdout: true,
            stderr: true,
            terminal: true,
        };
        let check = async |options: LogOptions, expect: &str| {
            let (sender, mut receiver) = mpsc::channel(16);
            send_past(&container, options, &mut Output::Body(sender)).await;
            let mut got = String::new();
            while let Some(Ok(bytes)) = receiver.recv().await {
                got.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            assert_eq!(got, expect);
        };
        let all = LogOptions::all(wanted);
        check(all, "one\npartial\ntwo\n").await;
        check(
            LogOptions {
                tail: Some(1),
                ..all
            },
            "two\n",
        )
        .await;
        check(
            LogOptions {
                since_ms: Some(20),
                until_ms: Some(29),
                ..all
            },
            "ial\n",
        )
        .await;
        let stamped = "1970-01-01T00:00:00.000000000Z one\n1970-01-01T00:00:00.010000000Z partial\n1970-01-01T00:00:00.030000000Z two\n";
        check(
            LogOptions {
                timestamps: true,
                ..all
            },
            stamped,
        )
        .await;
        let errors = Wanted {
            stdout: false,
            terminal: false,
            ..wanted
        };
        check(
            LogOptions::all(errors),
            "\u{2}\0\0\0\0\0\0\u{4}part\u{2}\0\0\0\0\0\0\u{4}ial\n",
        )
        .await;
    }
}
