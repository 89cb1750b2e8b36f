//! Where in its Dockerfile a build failed, as BuildKit's clients take it: they show the lines around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use buildkit::grpc::Status;
use buildkit::messages::{Any, RpcStatus};
use prost::Message;
use serde_json::json;

/// The kind of what is told, by the name that clients know it by.
const SOURCE: &str = "github.com/moby/buildkit/errdefs.Source+json";
/// Lines on each side of the one that is wrong; clients show about four.
const LINES_AROUND: usize = 6;
/// It travels in a header, which some peers bound at 8 KiB with all else.
const LINE_BYTES_MAX: usize = 200;

/// Adds it to an error. What clients are told of the rest of the file is nothing but how many lines it has.
pub fn with_source(mut status: Status, file: &str, text: &str, line: usize) -> Status {
    let near = |number: usize| number.abs_diff(line) <= LINES_AROUND;
    let lines = text.lines().take(line + LINES_AROUND).enumerate();
    let lines = lines.map(|(index, text)| match near(index + 1) {
        true => &text[..text.floor_char_boundary(LINE_BYTES_MAX)],
        false => "",
    });
    let shown = lines.collect::<Vec<_>>().join("\n");
    let value = json!({
        "info": { "filename": file, "data": STANDARD.encode(shown), "language": "Dockerfile" },
        "ranges": [{ "start": { "line": line }, "end": { "line": line } }],
    });
    let details = RpcStatus {
        code: status.code as i32,
        message: status.message.clone(),
        details: vec![Any {
            kind: SOURCE.to_owned(),
            value: value.to_string().into_bytes(),
        }],
    };
    status.details = Some(details.encode_to_vec().into());
    status
}

/// The line that an error is about, which says where it is: `Dockerfile:3: …`.
pub fn place(message: &str, file: &str) -> Option<usize> {
    let rest = message.strip_prefix(file)?.strip_prefix(':')?;
    let (line, _) = rest.split_once(": ")?;
    line.parse().ok().filter(|line| *line > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use buildkit::grpc::Code;
    use serde_json::Value;

    #[test]
    fn the_lines_around_are_told_and_no_others() {
        let line = place("Dockerfile:20: no such thing", "Dockerfile").unwrap();
        assert_eq!(place("elsewhere: no", "Dockerfile"), None);
        let lines: Vec<String> = (1..=40).map(|it| format!("RUN {it}")).collect();
        let status = Status::new(Code::Unknown, "no");
        let status = with_source(status, "Dockerfile", &lines.join("\n"), line);
        let details = RpcStatus::decode(status.details.unwrap()).unwrap();
        assert_eq!(details.message, "no");
        let value: Value = serde_json::from_slice(&details.details[0].value).unwrap();
        assert_eq!(value["ranges"][0]["start"]["line"], 20);
        let text = STANDARD.decode(value["info"]["data"].as_str().unwrap());
        let text = String::from_utf8(text.unwrap()).unwrap();
        let shown: Vec<&str> = text.lines().collect();
        assert_eq!(
            (shown.len(), shown[12], shown[13], shown[19]),
            (26, "", "RUN 14", "RUN 20")
        );
    }
}
