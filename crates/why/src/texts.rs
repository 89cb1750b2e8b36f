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

/// What the command that failed printed last. The build's agent speaks in between, and what a program says on its
/// standard error may come after what the agent says of its end.
pub fn commands_lines(printed: &[String]) -> String {
    let agents = |it: &String, says: &str| it.starts_with("[Container] ") && it.contains(says);
    let failed = (printed.iter())
        .rposition(|it| agents(it, "Command did not exit successfully"))
        .unwrap_or(printed.len());
    let from = printed[..failed]
        .iter()
        .rposition(|it| agents(it, "Running command"));
    let rest = &printed[from.unwrap_or_default()..];
    let of_phase = rest.iter().take_while(|it| !agents(it, "Entering phase"));
    let own = of_phase.filter(|it| !agents(it, ""));
    let own: Vec<String> = own.cloned().collect();
    match own.is_empty() {
        true => "it printed nothing".to_owned(),
        false => last_lines(&own),
    }
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
    fn a_failed_commands_own_lines_are_read() {
        let said = |it: &str| format!("[Container] 2026/11/30 19:22:52 {it}\n");
        let printed = [
            said("Running command make"),
            "make: no rule\n".to_owned(),
            said("Command did not exit successfully make exit status 2"),
            said("Phase complete: BUILD State: FAILED"),
            "make: stopped\n".to_owned(),
            said("Entering phase POST_BUILD"),
            said("Running command echo bye"),
            "bye\n".to_owned(),
        ];
        assert_eq!(commands_lines(&printed), "make: no rule ⏎ make: stopped");
        assert_eq!(commands_lines(&printed[..1]), "it printed nothing");
        assert_eq!(commands_lines(&[]), "it printed nothing");
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
