use proptest::prelude::*;

use super::World;

async fn check(dockerfile: &str, expected: &str) {
    let world = World::with(&[("a", "A")]);
    match world.build(dockerfile).await {
        Ok(_) => panic!("{dockerfile:?} was built"),
        Err(error) => {
            assert_eq!(error.message, expected, "{dockerfile:?}");
            assert_eq!(error.fault, engine::Fault::Invalid);
        }
    }
}

#[tokio::test]
async fn errors_name_line_and_instruction() {
    check(
        "FROM scratch\n\n# c\nCOPPY a /",
        "Dockerfile:4: `COPPY` is not an instruction; did you mean `COPY`? (in `COPPY a /`)",
    )
    .await;
    check("FROM scratch\nfrobnicate", "Dockerfile:2: `FROBNICATE` is not an instruction; a line that continues the one before needs a `\\` at that line's end (in `frobnicate`)").await;
    check(
        "FROM scratch\nRUN a \\\n b\nCOPY a",
        "Dockerfile:4: COPY needs at least a source and a destination (in `COPY a`)",
    )
    .await;
    check("FROM scratch\nRUN --mount=type=disk,target=/x true", "Dockerfile:2: `--mount=type=disk` is not supported (`bind`, `cache`, `tmpfs`, `secret` and `ssh` are) (in `RUN --mount=type=disk,target=/x true`)").await;
    check(
        "FROM scratch\nRUN --network=other true",
        "Dockerfile:2: `--network=other` is not supported on RUN (in `RUN --network=other true`)",
    )
    .await;
    check(
        "FROM scratch\nRUN --security=insecure true",
        "Dockerfile:2: `--security=insecure` is not supported on RUN (in `RUN --security=insecure true`)",
    )
    .await;
    for (inner, message) in [
        (
            "ONBUILD RUN x",
            "ONBUILD takes any instruction but another ONBUILD",
        ),
        ("FROM scratch", "ONBUILD takes no FROM"),
        ("MAINTAINER me", "ONBUILD takes no MAINTAINER"),
        ("COPY a", "COPY needs at least a source and a destination"),
    ] {
        let world = World::new();
        let dockerfile = format!("FROM scratch\nONBUILD {inner}");
        let error = world.build(&dockerfile).await.err().unwrap();
        assert!(error.message.contains(message), "{inner}: {error}");
        assert!(error.message.starts_with("Dockerfile:2: "), "{error}");
    }
    check(
        "FROM scratch\nRUN",
        "Dockerfile:2: RUN needs an argument (in `RUN`)",
    )
    .await;
    check(
        "FROM scratch\nRUN []",
        "Dockerfile:2: RUN needs a command (in `RUN []`)",
    )
    .await;
    check(
        "RUN x\nFROM scratch",
        "Dockerfile:1: a Dockerfile begins with FROM (only ARG may stand before it) (in `RUN x`)",
    )
    .await;
    check("FROM", "Dockerfile:1: FROM needs an argument (in `FROM`)").await;
    check(
        "FROM a b",
        "Dockerfile:1: FROM takes an image, and then `AS` and a name or nothing (in `FROM a b`)",
    )
    .await;
    check(
        "FROM scratch AS 1",
        "Dockerfile:1: `1` cannot be the name of a stage (in `FROM scratch AS 1`)",
    )
    .await;
    check(
        "FROM $none",
        "Dockerfile:1: `$none` is empty here (in `FROM $none`)",
    )
    .await;
    check(
        "FROM A:B:C",
        "Dockerfile:1: `A:B:C` is not an image name (in `FROM A:B:C`)",
    )
    .await;
}

#[tokio::test]
async fn a_stage_cannot_copy_from_itself_or_a_later_one() {
    let world = World::with(&[("a", "A")]);
    let error = world
        .build("FROM scratch AS me\nCOPY --from=me a /")
        .await
        .err()
        .unwrap();
    assert!(
        error
            .message
            .contains("the stage `me` cannot copy from itself"),
        "{error}"
    );
    let later = "FROM scratch\nCOPY --from=later a /\nFROM scratch AS later\nFROM scratch\nCOPY --from=7 a /";
    let error = world.build(later).await.err().unwrap();
    assert!(
        error
            .message
            .starts_with("Dockerfile:5: there is no image `docker.io/library/7:latest`"),
        "{error}"
    );
    let error = world
        .build("ARG x=1\nFROM scratch\nCOPY --from=$x a /")
        .await
        .err()
        .unwrap();
    assert!(
        error
            .message
            .contains("variables are not replaced in `--from=$x`"),
        "{error}"
    );
}

#[tokio::test]
async fn empty_and_oversized_files() {
    check("", "`Dockerfile` has no FROM, so there is nothing to build").await;
    check(
        "# only\n\n# comments",
        "`Dockerfile` has no FROM, so there is nothing to build",
    )
    .await;
    check(
        &"#".repeat(2 << 20),
        "`Dockerfile` is larger than 1048576 bytes",
    )
    .await;
    let many = format!("FROM scratch\n{}", "ENV a=1\n".repeat(3000));
    check(&many, "`Dockerfile` has more than 2000 instructions").await;
}

#[tokio::test]
async fn a_missing_dockerfile_or_context() {
    let world = World::new();
    let error = world
        .build_as("", |r| r.dockerfile_text = None)
        .await
        .err()
        .unwrap();
    assert_eq!(error.fault, engine::Fault::NotFound);
    assert!(
        error
            .message
            .starts_with("there is no Dockerfile `Dockerfile` in the context"),
        "{error}"
    );
    let error = world
        .build_as("FROM scratch", |r| r.context = "/nowhere".into())
        .await
        .err()
        .unwrap();
    assert!(
        error
            .message
            .starts_with("cannot read the context `/nowhere`"),
        "{error}"
    );
}

/// Everything short of running: what a text means, or an error, but never a panic.
fn read(text: &str) {
    if let Ok(lines) = crate::lines::read("Dockerfile", text) {
        let args = Default::default();
        let (secrets, agents) = Default::default();
        let given = crate::stages::Given {
            network: engine::StepNetwork::Outward,
            secrets: &secrets,
            agents: &agents,
        };
        if let Ok(plan) = crate::stages::Plan::new(lines, "Dockerfile", &args, None, Some(&given)) {
            assert!(plan.needed().contains(&plan.target));
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*") {
        read(&text);
    }

    #[test]
    fn broken_instructions_are_read_without_panic(
        words in proptest::collection::vec(
            prop_oneof![
                Just("FROM"), Just("scratch"), Just("AS"), Just("COPY"), Just("RUN"), Just("ARG"), Just("ENV"),
                Just("--from=0"), Just("--mount="), Just("--mount=type=cache,target=/x"), Just("<<E"), Just("<<-'E"),
                Just("E"), Just("\n"), Just("\\\n"), Just("\\"), Just("\""), Just("'"), Just("${"), Just("${a:-"),
                Just("}"), Just("["), Just("[\"a\"]"), Just("a=b"), Just("#"), Just("# escape=`\n"), Just("\t"),
                Just("HEALTHCHECK"), Just("--interval="), Just("CMD"), Just("ONBUILD"), Just("ä"), Just("\u{0}"), Just("\r\n"),
            ],
            0..40,
        ),
        spaced in any::<bool>(),
    ) {
        read(&words.join(if spaced { " " } else { "" }));
        read(&format!("FROM scratch\n{}", words.join(" ")));
    }

    #[test]
    fn any_word_is_expanded_without_panic(text in "[${}:a#%/+?'\"\\\\ *\\[\\]é-]{0,40}") {
        let lookup = |name: &str| (name == "a").then(|| "ä/b".to_owned());
        let expander = crate::words::Expander { escape: '\\', lookup: &lookup };
        let _ = expander.word(&text);
        let _ = expander.body(&text);
    }

    #[test]
    fn a_pattern_that_is_plain_matches_itself_alone(text in "[a-z./]{1,20}", other in "[a-z./]{1,20}") {
        let pattern = crate::pattern::Pattern::parse(&text, crate::pattern::Stars::AnyDepth).unwrap();
        prop_assert!(pattern.matches(&text));
        prop_assert_eq!(pattern.matches(&other), text == other);
    }

    #[test]
    fn any_ignore_file_is_read_without_panic(text in "[a*!?\\[\\]\\\\/#.\n -]{0,60}", path in "[a/.]{0,20}") {
        if let Ok(ignore) = crate::ignore::Ignore::parse(&text) {
            ignore.hides(std::path::Path::new(&path));
        }
    }

    #[test]
    fn any_instructions_are_built_without_panic_or_trace(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("COPY a* /x"), Just("COPY d /"), Just("COPY . ."), Just("COPY d/.. /../y"), Just("COPY up /u"),
                Just("ADD a $n"), Just("COPY --chown=$n a /"), Just("COPY --from=0 / /z"), Just("COPY --from=s /x /q"),
                Just("FROM scratch AS s"), Just("FROM s"), Just("FROM s AS t"), Just("WORKDIR x/../.."), Just("WORKDIR x"),
                Just("RUN anything"), Just("RUN --mount=target=/m,source=d x"), Just("RUN --mount=type=cache,target=c x"),
                Just("RUN <<E\n$n\nE"), Just("ENV n=x n2=$n"), Just("ARG n"), Just("USER $n"), Just("LABEL a=\"b"),
                Just("HEALTHCHECK CMD x"), Just("EXPOSE ${n:-80}"), Just("COPY <<E <<F /h/\nx\nE\nF"), Just("CMD []"),
                Just("COPY [\"\\u0000\", \"/\"]"), Just("COPY a /x/y"), Just("COPY d /x"),
            ],
            0..8,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::with(&[("a", "A"), ("a2", "B"), ("d/x", "X"), ("d/to", "-> ../a"), ("up", "-> ../..")]);
            world.steps.accepts_all.store(true, std::sync::atomic::Ordering::SeqCst);
            // A build that succeeds once succeeds again, out of the cache, with the same result.
            let dockerfile = format!("FROM scratch\n{}\n", lines.join("\n"));
            let first = world.build(&dockerfile).await;
            let second = world.build(&dockerfile).await;
            match (first, second) {
                (Ok(first), Ok(second)) => {
                    assert_eq!(first.built.digest, second.built.digest);
                    assert_eq!(second.built.cached_steps, second.built.steps);
                }
                (Err(first), Err(second)) => assert_eq!(first.message, second.message),
                (first, second) => panic!("{} then {}", first.is_ok(), second.is_ok()),
            }
        });
    }
}
