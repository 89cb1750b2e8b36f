//! What is read out of the messages of AWS's form that the services themselves write.

/// The action of `… is not authorized to perform: ecr:BatchGetImage on resource: …`.
pub fn denied_action(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == ':' || it == '-'));
    let action = &rest[..end.unwrap_or(rest.len())];
    action.contains(':').then_some(action)
}

/// The program of `exec: "/run.sh": permission denied`, and why it does not start.
pub fn not_executed(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("exec: \"")?;
    let (program, rest) = rest.split_once('"')?;
    Some((program, rest.trim_start_matches([':', ' '])))
}

/// The last lines of a container, shortened to what is worth showing.
pub fn last_lines(printed: &[String]) -> String {
    const LINES_SHOWN: usize = 3;
    const LINE_CHARS_MAX: usize = 200;
    let from = printed.len().saturating_sub(LINES_SHOWN);
    let lines = printed[from..].iter().map(|it| {
        let it = it.trim_end();
        it.chars().take(LINE_CHARS_MAX).collect::<String>()
    });
    lines.collect::<Vec<_>>().join(" ⏎ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denied_action_is_read() {
        let message = "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: ecr:BatchGetImage on resource: arn";
        assert_eq!(denied_action(message), Some("ecr:BatchGetImage"));
        assert_eq!(denied_action("denied"), None);
        assert_eq!(denied_action("not authorized to perform: "), None);
    }

    #[test]
    fn the_program_that_does_not_start_is_read() {
        let message =
            "CannotStartContainerError: container web: exec: \"/run.sh\": permission denied";
        assert_eq!(
            not_executed(message),
            Some(("/run.sh", "permission denied"))
        );
        assert_eq!(not_executed("exec: \"/run.sh"), None);
    }
}
