//! The program of a build's container: a shell script that is made from the buildspec. Pure.
//!
//! All commands run in one shell, so that variables, functions and the folder live on from command
//! to command and from phase to phase. The script says what it does on its output, in the words of
//! CodeBuild's own agent, and writes marks for the reconciler (see [`crate::marks`]). A command that
//! ends the shell itself (`exit 1`) fails its phase like any other: what is left to do is done by
//! the shell on its way out.

use crate::buildspec::{Buildspec, OnFailure};

/// Where the container sees the folder of the script and its marks.
pub const AGENT_DIR: &str = "/codebuild/agent";
/// The same, in the workspace.
pub const AGENT_PATH: &str = "agent";
pub const SCRIPT: &str = "build.sh";
pub const MARKS: &str = "marks";
pub const EXPORTED: &str = "exported";
/// Where the container sees the cache, when it has one.
pub const CACHE_DIR: &str = "/codebuild/cache";

/// Sixteen hexadecimal digits that stand for a text.
pub fn name_of_text(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter().take(8);
    bytes.map(|it| format!("{it:02x}")).collect()
}

/// A command of a buildspec, as marks number them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    pub phase: &'a str,
    pub command: &'a str,
    pub is_finally: bool,
}

/// All commands, in their order: a mark's number counts them from one.
pub fn steps(spec: &Buildspec) -> Vec<Step<'_>> {
    let mut out = Vec::new();
    for phase in &spec.phases {
        let lists = [(&phase.commands, false), (&phase.finally, true)];
        for (commands, is_finally) in lists {
            out.extend(commands.iter().map(|command| Step {
                phase: &phase.name,
                command,
                is_finally,
            }));
        }
    }
    out
}

/// A text as one word of a shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What the shell does between the commands. Names begin with `__cb_`, so that commands do not meet
/// them by chance; whoever changes them on purpose only spoils the report of their own build.
const PROLOGUE: &str = r#"
__cb_date=$(command -v date)
__cb_step=0 __cb_at=0 __cb_in= __cb_bad= __cb_bad_finally= __cb_phase= __cb_status=0
CODEBUILD_BUILD_SUCCEEDING=1
export CODEBUILD_BUILD_SUCCEEDING
__cb_mark() {
  __cb_time=$("$__cb_date" +%s%N)
  case $__cb_time in *[!0-9]*|'') __cb_time=$("$__cb_date" +%s)000000000 ;; esac
  printf '%s %s\n' "$__cb_time" "$1" >> "$__cb_agent/marks"
}
__cb_say() {
  printf '[Container] %s %s\n' "$("$__cb_date" -u '+%Y/%m/%d %H:%M:%S')" "$1"
}
__cb_done() {
  __cb_in=
  __cb_status=$1
  if [ "$__cb_status" != 0 ]; then
    __cb_bad=1
    if [ "$__cb_kind" = finally ]; then __cb_bad_finally=1; fi
    CODEBUILD_BUILD_SUCCEEDING=0
    __cb_reason="Error while executing command: $__cb_command. Reason: exit status $__cb_status"
    __cb_mark "failed $__cb_number $__cb_status"
    __cb_say "Command did not exit successfully $__cb_command exit status $__cb_status"
  fi
}
__cb_leave() {
  if [ -n "$__cb_bad" ]; then
    __cb_say "Phase complete: $__cb_phase State: FAILED"
    __cb_say "Phase context status code: COMMAND_EXECUTION_ERROR Message: $__cb_reason"
    __cb_export
    __cb_mark "leave $__cb_phase FAILED"
    if [ "$__cb_policy" = abort ]; then __cb_at=end; fi
  else
    __cb_say "Phase complete: $__cb_phase State: SUCCEEDED"
    __cb_say "Phase context status code:  Message:"
    __cb_export
    __cb_mark "leave $__cb_phase SUCCEEDED"
  fi
}
__cb_main() {
  while [ "$__cb_at" != end ]; do
    __cb_at=$((__cb_at + 1))
    __cb_kind=end
    __cb_load
    case $__cb_kind in
      enter)
        __cb_bad= __cb_bad_finally=
        __cb_mark "enter $__cb_phase"
        __cb_say "Entering phase $__cb_phase" ;;
      run|finally)
        if [ "$__cb_kind" = run ] && [ -n "$__cb_bad" ]; then continue; fi
        if [ -n "$__cb_bad_finally" ]; then continue; fi
        __cb_mark "run $__cb_number"
        __cb_say "Running command $__cb_command"
        __cb_in=1
        __cb_eval
        __cb_done "$?" ;;
      leave) __cb_leave ;;
      *) break ;;
    esac
  done
  trap - EXIT
  if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then __cb_save; fi
  __cb_mark end
  if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then exit 0; else exit 1; fi
}
__cb_exit() {
  __cb_status=$?
  set +e +u
  if [ -n "$__cb_in" ]; then
    if [ "$__cb_status" = 0 ]; then __cb_say "The command ended the shell of the build"; fi
    __cb_done "$__cb_status"
    __cb_main
  fi
}
trap __cb_exit EXIT
"#;

/// The whole script. With a cache, its paths are copied from and to [`CACHE_DIR`].
pub fn script(spec: &Buildspec, source_dir: &str, has_cache: bool) -> String {
    let mut out = format!("# Written by neargate.\n__cb_agent={AGENT_DIR}\n");
    // In version 0.1 every command has a shell of its own. Nothing reads from the build's input.
    out.push_str(if spec.one_shell {
        "__cb_eval() { eval \"$__cb_command\" </dev/null; }\n"
    } else {
        "__cb_eval() { ( eval \"$__cb_command\" ) </dev/null; }\n"
    });
    out.push_str(&export(spec));
    out.push_str(&load(spec));
    out.push_str(PROLOGUE);
    out.push_str(&format!(
        "mkdir -p {dir} && cd {dir} || exit 1\n",
        dir = quoted(source_dir)
    ));
    out.push_str(&runtimes(spec));
    let paths = spec.cache_paths.iter().filter(|_| has_cache);
    let cached: Vec<Cached> = paths.map(|it| Cached::new(it, source_dir)).collect();
    out.push_str("__cb_save() {\n  :\n");
    for it in &cached {
        out.push_str(&it.save());
    }
    out.push_str("}\n");
    for it in &cached {
        out.push_str(&it.restore());
    }
    out.push_str("__cb_main\n");
    out
}

/// Writes the exported variables that are set, each ended by a zero byte.
fn export(spec: &Buildspec) -> String {
    let mut out = String::from("__cb_export() {\n  : > \"$__cb_agent/exported\"\n");
    for name in &spec.exported {
        out.push_str(&format!(
            "  if [ -n \"${{{name}+x}}\" ]; then printf '%s=%s\\0' {name} \"${name}\" >> \
             \"$__cb_agent/exported\"; fi\n"
        ));
    }
    out.push_str("}\n");
    out
}

/// What stands at each place of the program.
fn load(spec: &Buildspec) -> String {
    let mut out = String::from("__cb_load() {\n  case $__cb_at in\n");
    let (mut at, mut number) = (0, 0);
    let mut place = |out: &mut String, what: String| {
        at += 1;
        out.push_str(&format!("  {at}) {what} ;;\n"));
    };
    for phase in &spec.phases {
        let name = phase.name.to_uppercase();
        place(&mut out, format!("__cb_kind=enter __cb_phase={name}"));
        let commands = phase.commands.iter().map(|it| ("run", it));
        let finally = phase.finally.iter().map(|it| ("finally", it));
        for (kind, command) in commands.chain(finally) {
            number += 1;
            place(
                &mut out,
                format!(
                    "__cb_kind={kind} __cb_number={number} __cb_command={}",
                    quoted(command)
                ),
            );
        }
        let policy = match (phase.on_failure, phase.name.as_str()) {
            (OnFailure::Abort, _) => "abort",
            (OnFailure::Continue, _) | (OnFailure::AsUsual, "build") => "continue",
            (OnFailure::AsUsual, _) => "abort",
        };
        place(&mut out, format!("__cb_kind=leave __cb_policy={policy}"));
    }
    out.push_str("  esac\n}\n");
    out
}

/// A path of the cache: a folder, and what of it is kept.
struct Cached {
    shown: String,
    base: String,
    /// Empty: all of it. A name, or a pattern of names, of the folder itself.
    what: String,
    place: String,
}

impl Cached {
    fn new(path: &str, source_dir: &str) -> Self {
        let absolute = match path.strip_prefix("~/") {
            Some(rest) => format!("/root/{rest}"),
            None if path.starts_with('/') => path.to_owned(),
            None => format!("{source_dir}/{}", path.trim_start_matches("./")),
        };
        let is_pattern = |it: &str| it.contains(['*', '?', '[']);
        let parts: Vec<&str> = absolute.split('/').collect();
        let plain = parts.iter().take_while(|it| !is_pattern(it)).count();
        let (base, what) = match parts.len() - plain {
            // One file.
            0 => (&parts[..plain - 1], parts[plain - 1]),
            1 if parts[plain] != "*" && parts[plain] != "**" => (&parts[..plain], parts[plain]),
            _ => (&parts[..plain], ""),
        };
        Self {
            shown: path.to_owned(),
            base: base.join("/"),
            what: what.to_owned(),
            place: format!("{CACHE_DIR}/{}", name_of_text(path)),
        }
    }

    fn restore(&self) -> String {
        let (base, place) = (quoted(&self.base), quoted(&self.place));
        let told = quoted(&format!("Restoring cached path {}", self.shown));
        format!(
            "if [ -d {place} ]; then __cb_say {told}; mkdir -p {base} && cp -a {place}/. {base}/; fi\n"
        )
    }

    /// Beside the former one first, so that no build finds half of it.
    fn save(&self) -> String {
        let (base, place) = (quoted(&self.base), quoted(&self.place));
        let new = quoted(&format!("{}.new", self.place));
        let told = quoted(&format!("Caching path {}", self.shown));
        let copy = if self.what.is_empty() {
            format!("cp -a {base}/. {new}/")
        } else {
            // The pattern is the shell's to expand; the rest of it is quoted.
            let pattern: String = self
                .what
                .chars()
                .map(|it| match it {
                    '*' | '?' | '[' | ']' | '-' => it.to_string(),
                    it => quoted(&it.to_string()),
                })
                .collect();
            format!("for __cb_file in {base}/{pattern}; do cp -a \"$__cb_file\" {new}/; done")
        };
        format!(
            "  if [ -d {base} ]; then __cb_say {told}; rm -rf {new}; mkdir -p {new} && {copy} && rm -rf \
             {place} && mv {new} {place}; fi\n"
        )
    }
}

/// The program that stands for a runtime of `runtime-versions`.
pub fn program_of(runtime: &str) -> &str {
    match runtime {
        "python" => "python3",
        "nodejs" => "node",
        "golang" => "go",
        other => other,
    }
}

/// Runtimes are the image's own: one that is not there ends the build before its first phase, and
/// the version that is there is told.
fn runtimes(spec: &Buildspec) -> String {
    let mut out = String::new();
    for (name, version) in &spec.runtimes {
        let program = program_of(name);
        let told = quoted(&format!(
            "Selecting '{name}' runtime version '{version}': the image's own is used"
        ));
        let missing = quoted(&format!(
            "The runtime '{name}' is not in the image of this build: `{program}` was not found"
        ));
        out.push_str(&format!(
            "if command -v {program} >/dev/null 2>&1; then __cb_say {told}; else __cb_say {missing}; \
             __cb_mark 'missing {name}'; exit 1; fi\n",
            program = quoted(program),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildspec::parse;
    use crate::marks::{Mark, read};

    /// Runs a script with the machine's own shells and says what it printed, marked and exported.
    fn run(shell: &str, buildspec: &str) -> (String, Vec<Mark>, String) {
        let directory = tempfile::tempdir().unwrap();
        run_in(&directory, shell, buildspec)
    }

    fn run_in(
        directory: &tempfile::TempDir,
        shell: &str,
        buildspec: &str,
    ) -> (String, Vec<Mark>, String) {
        let place = directory.path().to_str().unwrap().to_owned();
        let spec = parse(buildspec).unwrap();
        let script = script(&spec, &format!("{place}/src"), true)
            .replace(AGENT_DIR, &place)
            .replace(CACHE_DIR, &format!("{place}/cache"));
        std::fs::write(directory.path().join(SCRIPT), script).unwrap();
        let output = std::process::Command::new(shell)
            .arg(directory.path().join(SCRIPT))
            .output()
            .unwrap();
        let text =
            |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap_or_default();
        let marks = read(&text(MARKS)).into_iter().map(|it| it.mark).collect();
        let mut printed = String::from_utf8(output.stdout).unwrap();
        printed.push_str(&String::from_utf8(output.stderr).unwrap());
        (printed, marks, text(EXPORTED))
    }

    fn in_both_shells(buildspec: &str, check: impl Fn(String, Vec<Mark>, String)) {
        for shell in ["dash", "bash"] {
            let (printed, marks, exported) = run(shell, buildspec);
            check(printed, marks, exported);
        }
    }

    #[test]
    fn variables_functions_and_folders_live_on_between_phases() {
        in_both_shells(
            "version: 0.2\nenv: {exported-variables: [TAG, NONE]}\nphases:\n  install:\n    commands:\n      \
             - 'say() { echo \"said $1\"; }'\n      - mkdir -p a && cd a\n  build:\n    commands:\n      \
             - TAG=it\\'s\n      - say \"$TAG\"\n      - pwd\n",
            |printed, marks, exported| {
                assert!(printed.contains("said it's"), "{printed}");
                assert!(printed.contains("/src/a\n"), "{printed}");
                assert!(
                    printed.contains("Running command say \"$TAG\""),
                    "{printed}"
                );
                assert!(printed.contains("Phase complete: BUILD State: SUCCEEDED"));
                assert_eq!(exported, "TAG=it's\0");
                assert_eq!(marks.last(), Some(&Mark::End));
                assert!(!marks.iter().any(|it| matches!(it, Mark::Failed { .. })));
            },
        );
    }

    #[test]
    fn the_first_failing_command_ends_its_phase_and_finally_runs() {
        in_both_shells(
            "version: 0.2\nphases:\n  build:\n    commands: [echo one, '(exit 3)', echo two]\n    finally: \
             [echo cleaned]\n  post_build:\n    commands: ['echo after $CODEBUILD_BUILD_SUCCEEDING']\n",
            |printed, marks, _| {
                assert!(printed.contains("\none\n") && !printed.contains("\ntwo\n"));
                assert!(printed.contains("\ncleaned\n") && printed.contains("\nafter 0\n"));
                assert!(printed.contains(
                    "COMMAND_EXECUTION_ERROR Message: Error while executing command: (exit 3). \
                     Reason: exit status 3"
                ));
                assert!(marks.contains(&Mark::Failed { step: 2, status: 3 }));
                assert!(marks.contains(&Mark::Leave {
                    phase: "BUILD".into(),
                    succeeded: false
                }));
            },
        );
    }

    #[test]
    fn a_command_that_ends_the_shell_fails_like_any_other() {
        in_both_shells(
            "version: 0.2\nphases:\n  build:\n    commands: ['if true; then exit 4; fi', echo two]\n    \
             finally: [echo cleaned]\n  post_build:\n    commands: [echo after]\n",
            |printed, marks, _| {
                assert!(!printed.contains("\ntwo\n"), "{printed}");
                assert!(printed.contains("\ncleaned\n") && printed.contains("\nafter\n"));
                assert!(marks.contains(&Mark::Failed { step: 1, status: 4 }));
                assert_eq!(marks.last(), Some(&Mark::End));
            },
        );
        in_both_shells(
            "version: 0.2\nphases:\n  build:\n    commands: ['set -eu', 'false', echo two]\n  \
             post_build:\n    commands: [echo after]\n",
            |printed, marks, _| {
                assert!(!printed.contains("\ntwo\n") && printed.contains("\nafter\n"));
                assert!(marks.contains(&Mark::Failed { step: 2, status: 1 }));
            },
        );
    }

    #[test]
    fn a_phase_before_build_ends_the_build_and_on_failure_decides_otherwise() {
        in_both_shells(
            "version: 0.2\nphases:\n  pre_build: {commands: ['false']}\n  build: {commands: [echo built]}\n",
            |printed, marks, _| {
                assert!(!printed.contains("\nbuilt\n"));
                assert_eq!(marks.last(), Some(&Mark::End));
            },
        );
        in_both_shells(
            "version: 0.2\nphases:\n  pre_build: {commands: ['false'], on-failure: CONTINUE}\n  build: \
             {commands: [echo built, 'false'], on-failure: ABORT}\n  post_build: {commands: [echo after]}\n",
            |printed, _, _| {
                assert!(printed.contains("\nbuilt\n") && !printed.contains("\nafter\n"));
            },
        );
    }

    #[test]
    fn in_version_one_every_command_has_its_own_shell() {
        in_both_shells(
            "version: 0.1\nphases:\n  build: {commands: [A=1, 'echo \"<$A>\"', 'exit 0', echo on]}\n",
            |printed, marks, _| {
                assert!(
                    printed.contains("\n<>\n") && printed.contains("\non\n"),
                    "{printed}"
                );
                assert_eq!(marks.last(), Some(&Mark::End));
            },
        );
    }

    #[test]
    fn cache_paths_come_back_in_the_next_build() {
        for shell in ["dash", "bash"] {
            let directory = tempfile::tempdir().unwrap();
            let paths = "cache: {paths: ['deps/**/*', 'one.txt', '*.jar', 'never/**/*']}\n";
            let first = "commands: [mkdir -p deps/a, echo x > deps/a/b, echo y > one.txt, echo z > \
                         a.jar, echo n > not]";
            let spec = |commands: &str| {
                format!("version: 0.2\n{paths}phases: {{build: {{{commands}}}}}\n")
            };
            let (printed, ..) = run_in(&directory, shell, &spec(first));
            assert!(printed.contains("Caching path deps/**/*"), "{printed}");
            std::fs::remove_dir_all(directory.path().join("src")).unwrap();
            let second = "commands: [cat deps/a/b one.txt a.jar, test ! -e not]";
            let (printed, marks, _) = run_in(&directory, shell, &spec(second));
            assert!(printed.contains("\nx\ny\nz\n"), "{printed}");
            assert!(!marks.iter().any(|it| matches!(it, Mark::Failed { .. })));
        }
    }

    #[test]
    fn a_runtime_that_is_not_there_ends_the_build() {
        in_both_shells(
            "version: 0.2\nphases:\n  install: {runtime-versions: {perl: 5, fortran: 90}}\n  build: {commands: [ls]}\n",
            |printed, marks, _| {
                assert!(
                    printed.contains("'fortran' is not in the image"),
                    "{printed}"
                );
                assert_eq!(marks, [Mark::Missing("fortran".into())]);
            },
        );
    }
}
