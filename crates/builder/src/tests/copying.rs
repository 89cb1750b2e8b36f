use super::World;

/// Builds over an image that has a few folders and links, and compares the last layer.
async fn check(files: &[(&str, &str)], instructions: &str, expected: &[&str]) {
    let world = over_a_base(files).await;
    let outcome = world
        .build(&format!("FROM base\n{instructions}\n"))
        .await
        .unwrap_or_else(|error| panic!("{instructions}: {error}"));
    assert_eq!(outcome.layers.last().unwrap(), expected, "{instructions}");
}

async fn check_error(files: &[(&str, &str)], instructions: &str, expected: &str) {
    let world = over_a_base(files).await;
    let Err(error) = world.build(&format!("FROM base\n{instructions}\n")).await else {
        panic!("{instructions} was built");
    };
    let message = error.message.split(" (in `").next().unwrap();
    assert_eq!(
        message,
        format!("Dockerfile:2: {expected}"),
        "{instructions}"
    );
}

async fn over_a_base(files: &[(&str, &str)]) -> World {
    let world = World::with(files);
    let base = "FROM scratch
        COPY <<EOF /etc/passwd
root:x:0:0:root:/root:/bin/sh
app:x:1000:1001:App:/app:/bin/sh
EOF
        COPY <<EOF /etc/group
staff:x:50:
EOF
        RUN mkdir usr/bin && symlink bin usr/bin && symlink loop loop && mkdir tmp && chown tmp 7 && write etc/old text";
    let base = base.replace("\n        ", "\n");
    world.image("base", &base).await;
    world
}

#[tokio::test]
async fn files() {
    let file = &[("a.txt", "A"), ("b.txt", "B")][..];
    let a_in_new = &["dir 755 0:0 new", "file 644 0:0 new/a.txt = A"][..];
    check(file, "COPY a.txt /new/", a_in_new).await;
    check(file, "COPY ./a.txt new/", a_in_new).await;
    check(file, "COPY /a.txt /new/", a_in_new).await;
    check(file, "COPY ../../a.txt /new/", a_in_new).await;
    check(file, "COPY [\"a.txt\", \"/new/\"]", a_in_new).await;
    check(file, "COPY --link a.txt /new/", a_in_new).await;
    check(file, "ADD a.txt /new/", a_in_new).await;
    check(file, "copy a.txt /new/", a_in_new).await;
    check(file, "COPY a.txt /b", &["file 644 0:0 b = A"]).await;
    check(file, "COPY a.txt /", &["file 644 0:0 a.txt = A"]).await;
    check(file, "COPY a.txt .", &["file 644 0:0 a.txt = A"]).await;
    // A folder that the image has keeps its owner and takes the file in, slash or not.
    check(
        file,
        "COPY a.txt /tmp",
        &["dir 755 7:7 tmp", "file 644 0:0 tmp/a.txt = A"],
    )
    .await;
    check(
        file,
        "COPY a.txt /etc/old",
        &["dir 755 0:0 etc", "file 644 0:0 etc/old = A"],
    )
    .await;
    check(
        file,
        "COPY a.txt b.txt /new/",
        &[
            "dir 755 0:0 new",
            "file 644 0:0 new/a.txt = A",
            "file 644 0:0 new/b.txt = B",
        ],
    )
    .await;
    check_error(
        file,
        "COPY a.txt b.txt /new",
        "more than one source needs a folder as destination: end `/new` with a `/`",
    )
    .await;
    check_error(file, "COPY c.txt /", "`c.txt` is not in the context").await;
    check_error(
        file,
        "COPY a.txt",
        "COPY needs at least a source and a destination",
    )
    .await;
    check_error(
        file,
        "COPY https://x/y /",
        "COPY takes no address like `https://x/y`; ADD does",
    )
    .await;
    check_error(
        file,
        "ADD --parents a.txt /",
        "`--parents` is not supported on ADD",
    )
    .await;
    // An empty variable as a source is all of it, as a destination the working folder.
    let both = &["file 644 0:0 a.txt = A", "file 644 0:0 b.txt = B"];
    check(file, "COPY $none /", both).await;
    check(file, "COPY \"\" /", both).await;
    check(
        file,
        "WORKDIR /w\nCOPY a.txt $none",
        &["dir 755 0:0 w", "file 644 0:0 w/a.txt = A"],
    )
    .await;
}

#[tokio::test]
async fn folders() {
    let files = &[
        ("dir/x", "X"),
        ("dir/sub/y", "Y"),
        ("dir/to", "-> sub/y"),
        ("dir/none/", ""),
    ][..];
    let in_new = &[
        "dir 755 0:0 new",
        "dir 755 0:0 new/none",
        "dir 755 0:0 new/sub",
        "file 644 0:0 new/sub/y = Y",
        "link new/to -> sub/y",
        "file 644 0:0 new/x = X",
    ][..];
    check(files, "COPY dir /new", in_new).await;
    check(files, "COPY dir/ /new/", in_new).await;
    check(files, "COPY dir/. /new/", in_new).await;
    check(files, "COPY dir/sub /", &["file 644 0:0 y = Y"]).await;
    // A link that is named is copied as what it leads to.
    check(files, "COPY dir/to /", &["file 644 0:0 to = Y"]).await;
    check_error(
        files,
        "COPY dir /etc/old",
        "a folder cannot be copied to `/etc/old`, which is not a folder in the image",
    )
    .await;
    check_error(
        files,
        "COPY dir/x /loop",
        "`/loop` has too many links in a row",
    )
    .await;
}

#[tokio::test]
async fn links_of_the_image_are_followed_and_kept() {
    let files = &[("tool", "T"), ("root/bin/tool", "T"), ("bin/usr", "file")][..];
    let expected = &[
        "dir 755 0:0 usr",
        "dir 755 0:0 usr/bin",
        "file 644 0:0 usr/bin/tool = T",
    ];
    check(files, "COPY tool /bin/", expected).await;
    check(files, "COPY tool /bin", expected).await;
    check(files, "COPY tool /bin/tool", expected).await;
    check_error(
        files,
        "COPY root /",
        "a folder cannot be copied to `/bin`, which is not a folder in the image",
    )
    .await;
    check_error(
        files,
        "COPY bin /",
        "a file cannot be copied to `/usr`, which is a folder in the image",
    )
    .await;
}

#[tokio::test]
async fn patterns() {
    let files = &[
        ("a.js", "1"),
        ("b.js", "2"),
        ("c.css", "3"),
        ("d/e.js", "4"),
        ("f [1]", "5"),
    ][..];
    let scripts = &[
        "dir 755 0:0 w",
        "file 644 0:0 w/a.js = 1",
        "file 644 0:0 w/b.js = 2",
    ][..];
    check(files, "COPY *.js /w/", scripts).await;
    check(files, "COPY [ab].js /w/", scripts).await;
    check(files, "COPY ?.js /w/", scripts).await;
    check(
        files,
        "COPY d/*.js /w/",
        &["dir 755 0:0 w", "file 644 0:0 w/e.js = 4"],
    )
    .await;
    check(
        files,
        "COPY d* /w/",
        &["dir 755 0:0 w", "file 644 0:0 w/e.js = 4"],
    )
    .await;
    check(
        files,
        "COPY [\"f [[]1]\", \"/\"]",
        &["file 644 0:0 f [1] = 5"],
    )
    .await;
    // A pattern that finds nothing is nothing; what is named must be there.
    check(files, "COPY *.js *.go /w/", scripts).await;
    check(files, "COPY *.js lib[x]* /w/", scripts).await;
    check_error(files, "COPY *.js d.go /w/", "`d.go` is not in the context").await;
    check_error(files, "COPY \\\\*.go /w/", "`\\*.go` is not in the context").await;
    let world = over_a_base(files).await;
    let before = world.build("FROM base").await.unwrap();
    let after = world.build("FROM base\nCOPY *.go *.rs /w/").await.unwrap();
    assert_eq!(before.layers, after.layers);
    check_error(
        files,
        "COPY *.js /w",
        "more than one source needs a folder as destination: end `/w` with a `/`",
    )
    .await;
}

#[tokio::test]
async fn sources_are_copied_one_after_the_other() {
    let files = &[("d/x", "X"), ("e/y", "Y"), ("a", "A"), ("b", "B")][..];
    let merged = &[
        "dir 755 0:0 n",
        "file 644 0:0 n/x = X",
        "file 644 0:0 n/y = Y",
    ];
    check(files, "COPY d e /n", merged).await;
    check(files, "COPY [de] /n", merged).await;
    // What the folder has made is a folder for the file.
    let both = &[
        "dir 755 0:0 n",
        "file 644 0:0 n/a = A",
        "file 644 0:0 n/x = X",
    ];
    check(files, "COPY d a /n", both).await;
    check(files, "COPY [a] /n", &["file 644 0:0 n = A"]).await;
    check_error(
        files,
        "COPY a b /n",
        "more than one source needs a folder as destination: end `/n` with a `/`",
    )
    .await;
}

#[tokio::test]
async fn two_stars_are_one_in_a_source() {
    let files = &[("a.js", "1"), ("d/b.js", "2"), ("d/e/c.js", "3")][..];
    let expected = &["dir 755 0:0 w", "file 644 0:0 w/b.js = 2"];
    check(files, "COPY **/*.js /w/", expected).await;
    check(
        files,
        "COPY **.js /w/",
        &["dir 755 0:0 w", "file 644 0:0 w/a.js = 1"],
    )
    .await;
}

#[tokio::test]
async fn a_link_is_copied_as_what_it_leads_to_under_its_own_name() {
    let world = World::new();
    world.put("real.txt", "R");
    world.put("real/x", "X");
    for (name, target) in [("named", "real.txt"), ("folder", "real")] {
        std::os::unix::fs::symlink(target, world.context().join(name)).unwrap();
    }
    for (copy, expected) in [
        ("COPY named /w/", "file 644 0:0 w/named = R"),
        ("COPY ./named /w/", "file 644 0:0 w/named = R"),
        ("COPY nam* /w/", "file 644 0:0 w/named = R"),
        ("COPY named /w", "file 644 0:0 w = R"),
        ("COPY folder /w/", "file 644 0:0 w/x = X"),
    ] {
        let outcome = world.build(&format!("FROM scratch\n{copy}")).await;
        let layers = outcome.unwrap().layers;
        assert_eq!(layers[0].last().unwrap(), expected, "{copy}");
    }
    let dockerfile = "FROM scratch AS one\nCOPY . /\nFROM scratch\nCOPY --from=one /named /w/";
    let layers = world.build(dockerfile).await.unwrap().layers;
    assert_eq!(layers[0].last().unwrap(), "file 644 0:0 w/named = R");
}

#[tokio::test]
async fn a_heredoc_may_stand_beside_what_comes_out_of_a_stage() {
    let dockerfile =
        "FROM scratch AS one\nCOPY a /\nFROM scratch\nCOPY --from=one a <<b /w/\nB\nb\n";
    let world = World::new();
    world.put("a", "A");
    let layers = world.build(dockerfile).await.unwrap().layers;
    let expected = [
        "dir 755 0:0 w",
        "file 644 0:0 w/a = A",
        "file 644 0:0 w/b = B\n",
    ];
    assert_eq!(layers[0], expected);
}

#[tokio::test]
async fn owners_and_permissions() {
    let file = &[("a", "A"), ("d/x", "X")][..];
    check(file, "COPY --chown=app a /", &["file 644 1000:1001 a = A"]).await;
    check(
        file,
        "COPY --chown=app:staff a /",
        &["file 644 1000:50 a = A"],
    )
    .await;
    check(file, "COPY --chown=5 a /", &["file 644 5:5 a = A"]).await;
    check(file, "COPY --chown=5:6 a /", &["file 644 5:6 a = A"]).await;
    check(file, "COPY --chown=root:50 a /", &["file 644 0:50 a = A"]).await;
    check(file, "COPY --chmod=755 a /", &["file 755 0:0 a = A"]).await;
    check(
        file,
        "COPY --chmod=4711 --chown=app a /",
        &["file 4711 1000:1001 a = A"],
    )
    .await;
    check(
        file,
        "COPY --chown=app d /n/m",
        &[
            "dir 755 1000:1001 n",
            "dir 755 1000:1001 n/m",
            "file 644 1000:1001 n/m/x = X",
        ],
    )
    .await;
    // Whom the image does not know is root, and of a group the user's own.
    check(file, "COPY --chown=nobody a /", &["file 644 0:0 a = A"]).await;
    check(file, "COPY --chown=nobody:x a /", &["file 644 0:0 a = A"]).await;
    check(file, "COPY --chown=1:none a /", &["file 644 1:1 a = A"]).await;
    check(file, "COPY --chown=:staff a /", &["file 644 0:50 a = A"]).await;
    let world = World::new();
    world.put("a", "A");
    let error = world.build("FROM scratch\nCOPY --chown=app a /").await;
    let message = error.err().unwrap().message;
    assert!(
        message.contains("there is no `/etc/passwd` yet that could know `app`"),
        "{message}"
    );
    check(file, "COPY --chmod=u+x a /", &["file 744 0:0 a = A"]).await;
    check(
        file,
        "ARG m=go-rX\nCOPY --chmod=$m d /n/",
        &["dir 755 0:0 n", "file 600 0:0 n/x = X"],
    )
    .await;
    check_error(
        file,
        "COPY --chmod=u+y a /",
        "`--chmod=u+y` is no file mode, like `755` or `u=rwX,go=rX`",
    )
    .await;
}

#[tokio::test]
async fn a_folder_that_is_copied_brings_its_permissions() {
    // `tmp` is there and belongs to 7.
    check(
        &[("root/tmp/x", "X")],
        "COPY root /",
        &["dir 755 0:0 tmp", "file 644 0:0 tmp/x = X"],
    )
    .await;
    check(
        &[("root/tmp/x", "X")],
        "COPY root/tmp /tmp",
        &["dir 755 7:7 tmp", "file 644 0:0 tmp/x = X"],
    )
    .await;
}

#[tokio::test]
async fn one_file_of_two_names_stays_one() {
    let world = over_a_base(&[("d/a", "A"), ("d/c", "A")]).await;
    std::fs::hard_link(world.context().join("d/a"), world.context().join("d/b")).unwrap();
    let dockerfile = "FROM base\nCOPY d /n/\n";
    let linked = world.build(dockerfile).await.unwrap();
    let names = [
        "dir 755 0:0 n",
        "file 644 0:0 n/a = A",
        "same n/b = n/a",
        "file 644 0:0 n/c = A",
    ];
    assert_eq!(*linked.layers.last().unwrap(), names);
    let from = world
        .build("FROM base AS a\nCOPY d /n/\nFROM base\nCOPY --from=a / /\n")
        .await
        .unwrap();
    assert!(from.layers.last().unwrap().contains(&names[2].to_owned()));
    // Two sources are two files, and a link that is gone is a change.
    let apart = world.build("FROM base\nCOPY d/a d/b /n/\n").await.unwrap();
    assert_eq!(apart.layers.last().unwrap()[2], "file 644 0:0 n/b = A");
    std::fs::remove_file(world.context().join("d/b")).unwrap();
    world.put("d/b", "A");
    let again = world.build(dockerfile).await.unwrap();
    assert_eq!(again.layers.last().unwrap()[2], "file 644 0:0 n/b = A");
}

#[tokio::test]
async fn sources_with_the_folders_above_them() {
    let files = &[
        ("x/y/a", "A"),
        ("x/y/b", "B"),
        ("x/z/a", "Z"),
        ("x/link", "-> y"),
        ("top", "T"),
    ][..];
    check(
        files,
        "COPY --parents x/y/a top /to/",
        &[
            "dir 755 0:0 to",
            "file 644 0:0 to/top = T",
            "dir 755 0:0 to/x",
            "dir 755 0:0 to/x/y",
            "file 644 0:0 to/x/y/a = A",
        ],
    )
    .await;
    let from_pivot = &[
        "dir 755 0:0 to",
        "dir 755 0:0 to/y",
        "file 644 0:0 to/y/a = A",
        "dir 755 0:0 to/z",
        "file 644 0:0 to/z/a = Z",
    ][..];
    check(files, "COPY --parents ./x/./*/a /to", from_pivot).await;
    check(files, "COPY --parents x/./**/a /to", from_pivot).await;
    check(
        files,
        "COPY --parents --exclude=b x/y x/link /to",
        &[
            "dir 755 0:0 to",
            "dir 755 0:0 to/x",
            "link to/x/link -> y",
            "dir 755 0:0 to/x/y",
            "file 644 0:0 to/x/y/a = A",
        ],
    )
    .await;
    check_error(
        files,
        "COPY --parents x/none /to",
        "`x/none` is not in the context",
    )
    .await;
}

#[tokio::test]
async fn what_is_excluded_is_left_out() {
    let files = &[
        ("d/a.txt", "A"),
        ("d/b.md", "B"),
        ("d/e/c.txt", "C"),
        ("d/e/f.md", "F"),
        ("home.md", "H"),
        ("home.txt", "T"),
    ][..];
    check(
        files,
        "COPY --exclude=*.txt --exclude=e d /n/",
        &["dir 755 0:0 n", "file 644 0:0 n/b.md = B"],
    )
    .await;
    let without_text = &[
        "dir 755 0:0 n",
        "file 644 0:0 n/b.md = B",
        "dir 755 0:0 n/e",
        "file 644 0:0 n/e/f.md = F",
    ][..];
    check(files, "ADD --exclude=**/*.txt d /n/", without_text).await;
    check(
        files,
        "ARG x=txt\nCOPY --exclude=**/*.$x d /n/",
        without_text,
    )
    .await;
    check(
        files,
        "COPY --exclude=*.txt home* /n/",
        &["dir 755 0:0 n", "file 644 0:0 n/home.md = H"],
    )
    .await;
    check(
        files,
        "COPY --exclude=* --exclude=!a.txt d /n/",
        &["dir 755 0:0 n", "file 644 0:0 n/a.txt = A"],
    )
    .await;
}

#[tokio::test]
async fn an_image_keeps_its_owners() {
    let world = over_a_base(&[("a", "A")]).await;
    let stage = "FROM base AS s\nCOPY --chown=app a /app/a\nRUN mkdir app/d && chown app/d 9 && write x X && chown x 8\n";
    for (copy, expected) in [
        ("COPY --from=s /app/a /b", &["file 644 1000:1001 b = A"][..]),
        (
            "COPY --from=s /x /app/a /",
            &["file 644 1000:1001 a = A", "file 644 8:8 x = X"],
        ),
        // A folder that only receives is root's; those in it are whose they were.
        (
            "COPY --from=s /app /n",
            &[
                "dir 755 0:0 n",
                "file 644 1000:1001 n/a = A",
                "dir 755 9:9 n/d",
            ],
        ),
        ("COPY --from=s --chown=5:6 /x /", &["file 644 5:6 x = X"]),
    ] {
        let outcome = world.build(&format!("{stage}FROM scratch\n{copy}")).await;
        assert_eq!(outcome.unwrap().layers, [expected], "{copy}");
    }
}

#[tokio::test]
async fn heredocs() {
    check(
        &[],
        "COPY <<EOF /a\nhello $x\nEOF",
        &["file 644 0:0 a = hello \n"],
    )
    .await;
    check(
        &[],
        "COPY <<'EOF' /a\nhello $x\nEOF",
        &["file 644 0:0 a = hello $x\n"],
    )
    .await;
    check(
        &[],
        "COPY <<EOF /a\n\\$x \\\\ \"'\nEOF",
        &["file 644 0:0 a = $x \\ \"'\n"],
    )
    .await;
    check(
        &[],
        "COPY <<\"EOF\" /a\n\\$x \\\\\nEOF",
        &["file 644 0:0 a = \\$x \\\\\n"],
    )
    .await;
    check(
        &[],
        "COPY <<-EOF /a\n\t\tx\n\tEOF",
        &["file 644 0:0 a = x\n"],
    )
    .await;
    check(
        &[],
        "COPY <<one <<two /d/\n1\none\n2\ntwo",
        &[
            "dir 755 0:0 d",
            "file 644 0:0 d/one = 1\n",
            "file 644 0:0 d/two = 2\n",
        ],
    )
    .await;
    check(
        &[],
        "COPY --chmod=755 <<EOF /a\n# not a comment \\\nEOF",
        &["file 755 0:0 a = # not a comment \n"],
    )
    .await;
    check_error(
        &[],
        "COPY <<EOF /a\nx\n",
        "the heredoc is not closed: no line `EOF` follows",
    )
    .await;
}

#[tokio::test]
async fn variables_and_working_folders() {
    let file = &[("a", "A")][..];
    check(
        file,
        "ENV d=/x\nCOPY a $d/",
        &["dir 755 0:0 x", "file 644 0:0 x/a = A"],
    )
    .await;
    check(file, "ARG f=a\nCOPY ${f} /b", &["file 644 0:0 b = A"]).await;
    let in_work = &["dir 755 0:0 w", "file 644 0:0 w/a = A"][..];
    check(file, "WORKDIR /w\nCOPY a .", in_work).await;
    check(file, "WORKDIR /w\nCOPY a ./", in_work).await;
    check(file, "WORKDIR /w\nCOPY a .\nCMD x", in_work).await;
    check(file, "WORKDIR /v\nWORKDIR ../w\nCOPY a .", in_work).await;
    check(
        file,
        "WORKDIR /new/deep",
        &["dir 755 0:0 new", "dir 755 0:0 new/deep"],
    )
    .await;
    check(file, "USER app\nWORKDIR /new", &["dir 755 1000:1001 new"]).await;
    check_error(
        file,
        "WORKDIR /etc/old",
        "`/etc/old` is not a folder in the image",
    )
    .await;
}

#[tokio::test]
async fn a_folder_that_exists_is_no_layer() {
    let world = over_a_base(&[]).await;
    let before = world.build("FROM base").await.unwrap();
    let after = world
        .build("FROM base\nWORKDIR /usr/bin\nWORKDIR /")
        .await
        .unwrap();
    assert_eq!(before.layers, after.layers);
    assert_eq!(after.config.working_dir, "/");
}

#[tokio::test]
async fn what_is_ignored_is_not_there() {
    let world = World::with(&[
        (
            ".dockerignore",
            "*.log\nsecret\nkeep/*\n!keep/me\n.dockerignore",
        ),
        ("a.log", ""),
        ("a.txt", "A"),
        ("secret/key", "K"),
        ("keep/me", "M"),
        ("keep/not", "N"),
    ]);
    let outcome = world.build("FROM scratch\nCOPY . /").await.unwrap();
    assert_eq!(
        outcome.layers,
        [[
            "file 644 0:0 a.txt = A",
            "dir 755 0:0 keep",
            "file 644 0:0 keep/me = M"
        ]]
    );
    let error = world
        .build("FROM scratch\nCOPY secret /")
        .await
        .err()
        .unwrap();
    assert!(
        error
            .message
            .contains("`secret` is hidden by `.dockerignore`"),
        "{error}"
    );
    let nothing = world.build("FROM scratch\nCOPY *.log /").await.unwrap();
    assert!(nothing.layers.is_empty());
}

#[tokio::test]
async fn an_ignore_file_of_the_dockerfile_goes_first() {
    let world = World::with(&[
        (".dockerignore", "a"),
        ("web.Dockerfile.dockerignore", "b\n*ocker*"),
        ("web.Dockerfile", "FROM scratch\nCOPY . /"),
        ("a", "A"),
        ("b", "B"),
    ]);
    let outcome = world
        .build_as("", |request| {
            request.dockerfile_text = None;
            request.dockerfile = "web.Dockerfile".into();
        })
        .await
        .unwrap();
    assert_eq!(outcome.layers, [["file 644 0:0 a = A"]]);
}
