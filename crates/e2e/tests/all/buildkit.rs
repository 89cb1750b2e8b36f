//! BuildKit's API, asked as buildx asks.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use e2e::{Buildx, Docker, Machine, Wanted};

fn folder(dockerfile: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_probe"), folder.path().join("probe")).unwrap();
    for (name, text) in files.iter().chain(&[("Dockerfile", dockerfile)]) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// A plain request at docker's socket.
fn ask(machine: &Machine, request: &str) -> String {
    let mut stream = UnixStream::connect(machine.state.join("run/docker.sock")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const TWO_STAGES: &str = "FROM scratch AS tools\nCOPY probe /probe\nRUN [\"/probe\", \"check\"]\nFROM scratch\nLABEL own=1\nCOPY --from=tools /probe /probe\nCOPY dir /dir/\nENTRYPOINT [\"/probe\"]\n";

#[test]
fn a_folder_is_built_as_buildx_asks_for_it() {
    let machine = Machine::start();
    let buildx = Buildx::of(&machine);
    let folder = folder(
        TWO_STAGES,
        &[
            ("dir/a", "A"),
            ("dir/.keep", ""),
            ("node_modules/x", "large"),
            (".dockerignore", "# what others make\nnode_modules\n"),
        ],
    );
    let wanted = || Wanted::folder(folder.path(), "own:1,other").with("label:given", "2");
    let built = buildx.build(wanted());
    let exported = built.exported.as_ref().unwrap();
    let digest = &exported["containerimage.digest"];
    assert_eq!(
        exported["image.name"],
        "docker.io/library/own:1,docker.io/library/other:latest"
    );
    let expected = [
        "[internal] load build definition from Dockerfile",
        "[internal] load .dockerignore",
        "[internal] load build context",
        "[tools 1/2] COPY probe /probe",
        "[tools 2/2] RUN [\"/probe\", \"check\"]",
        "[stage-1 1/2] COPY --from=tools /probe /probe",
        "[stage-1 2/2] COPY dir /dir/",
        "exporting to image",
    ];
    assert_eq!(built.steps, expected);
    assert!(
        built.sent.iter().any(|it| it == "dir/a"),
        "{:?}",
        built.sent
    );
    assert!(!built.sent.iter().any(|it| it.starts_with("node_modules")));

    // The same again is found.
    let again = buildx.build(wanted());
    assert_eq!(&again.exported.unwrap()["containerimage.digest"], digest);
    let cached = again.steps.iter().filter(|it| it.ends_with(" CACHED"));
    assert_eq!(cached.count(), 4, "{:?}", again.steps);
    let anew = buildx.build(wanted().with("no-cache", ""));
    assert!(!anew.steps.iter().any(|it| it.ends_with(" CACHED")));

    // Docker's other clients have it.
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    assert_eq!(
        docker.ask(&["images", "-q", "--no-trunc", "own:1"]),
        *digest
    );
    let labels = docker.ask(&["inspect", "-f", "{{json .Config.Labels}}", "other"]);
    assert_eq!(labels, r#"{"given":"2","own":"1"}"#);
    assert_eq!(docker.run(&["run", "--rm", "own:1", "check"]).code, 0);
}

#[test]
fn what_a_build_needs_comes_from_its_session_and_what_fails_is_told() {
    let machine = Machine::start();
    let buildx = Buildx::of(&machine);
    let build = |dockerfile: &str, change: fn(Wanted) -> Wanted| {
        let folder = folder(dockerfile, &[("a", "A")]);
        buildx.build(change(Wanted::folder(folder.path(), "x")))
    };
    let same = |wanted: Wanted| wanted;
    let with_secret = |mut wanted: Wanted| {
        wanted.secrets.insert("s".into(), "hush".into());
        wanted
    };
    let secret = "FROM scratch\nCOPY probe /probe\nRUN --mount=type=secret,id=s,env=S,required [\"/probe\", \"tell\", \"S\"]\n";
    let built = build(secret, with_secret);
    built.exported.unwrap();
    assert!(built.output.contains("hush"), "{}", built.output);
    let missed = build(secret, same).exported.unwrap_err().message;
    assert!(missed.contains("the secret `s` was not given"), "{missed}");

    // A step that fails has its output and its error.
    let failing = "FROM scratch\nCOPY probe /probe\nRUN [\"/probe\", \"crash\"]\nCOPY a /\n";
    let failed = build(failing, same);
    let said = failed.exported.unwrap_err().message;
    let words = "process \"/probe crash\" did not complete successfully: exit code: 3";
    assert_eq!(said, words);
    assert!(failed.output.contains("crashing"), "{}", failed.output);
    let last = failed.steps.last().unwrap();
    assert_eq!(
        *last,
        format!("[2/3] RUN [\"/probe\", \"crash\"] ERROR: {words}")
    );

    for (dockerfile, change, expected) in [
        (
            "FROM scratch\nCOPPY a /\n",
            same as fn(Wanted) -> Wanted,
            "did you mean `COPY`",
        ),
        (
            "FROM scratch\nCOPY b /\n",
            same,
            "`b` is not in the context",
        ),
        (
            "FROM scratch\n",
            |it| it.with("filename", "None"),
            "open None: no such file or directory",
        ),
        (
            "FROM scratch\n",
            |it| it.with("filename", "../x"),
            "leads out",
        ),
        (
            "FROM scratch\n",
            |it| it.with("platform", "linux/s390x"),
            "building for `linux/s390x`",
        ),
        (
            "FROM scratch\n",
            |it| it.with("add-hosts", "a=1.2.3.4"),
            "`add-hosts=a=1.2.3.4`",
        ),
        (
            "FROM scratch\n",
            |it| it.with("context", "https://x/y.git"),
            "remote context",
        ),
        (
            "FROM scratch\n",
            |it| it.with("contextkey", "mine"),
            "no access allowed to dir",
        ),
    ] {
        let said = build(dockerfile, change).exported.unwrap_err().message;
        assert!(said.contains(expected), "{expected}: {said}");
    }

    // Nothing of a build stays but its image.
    let left: Vec<_> = fs::read_dir(machine.state.join("docker/scratch"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn files_of_an_image_are_sent_to_its_client() {
    let machine = Machine::start();
    let folder = folder(
        "FROM scratch\nCOPY . /\n",
        &[("a", "A"), ("d/b", "B"), ("empty", "")],
    );
    let build = |output: &str| {
        let mut wanted = Wanted::folder(folder.path(), "");
        (wanted.name, wanted.output) = (None, Some(output.to_owned()));
        let built = Buildx::of(&machine).build(wanted);
        assert!(built.exported.as_ref().unwrap().is_empty(), "{built:?}");
        built
    };
    let built = build("local");
    let paths: Vec<&str> = built.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["Dockerfile", "a", "d/b", "empty", "probe"]);
    assert_eq!(
        (&built.files["d/b"][..], &built.files["empty"][..]),
        (&b"B"[..], &b""[..])
    );
    let probe = fs::read(folder.path().join("probe")).unwrap();
    assert!(built.files["probe"] == probe, "a large file is whole");
    assert_eq!(built.steps.last().unwrap(), "exporting to client directory");

    let built = build("tar");
    let mut archive = tar::Archive::new(&built.archive[..]);
    let names = archive
        .entries()
        .unwrap()
        .map(|it| it.unwrap().path().unwrap().into_owned());
    let mut names: Vec<String> = names.map(|it| it.display().to_string()).collect();
    names.sort();
    let expected = [
        "./",
        "./Dockerfile",
        "./a",
        "./d/",
        "./d/b",
        "./empty",
        "./probe",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_socket_says_what_it_speaks() {
    let machine = Machine::start();
    let ping = ask(&machine, "GET /_ping HTTP/1.0\r\n\r\n").to_ascii_lowercase();
    assert!(ping.contains("builder-version: 1"), "{ping}");
    let plain = ask(
        &machine,
        "POST /grpc HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n",
    );
    assert!(plain.starts_with("HTTP/1.1 400"), "{plain}");
    let upgrade = "connection: upgrade, close\r\nupgrade: h2c\r\n\r\n";
    let nameless = format!("POST /session HTTP/1.1\r\nhost: d\r\n{upgrade}");
    let nameless = ask(&machine, &nameless);
    assert!(nameless.contains("does not name a session"), "{nameless}");
    let older = "POST /build?version=2 HTTP/1.1\r\nhost: d\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let older = ask(&machine, older);
    assert!(older.contains("install buildx"), "{older}");
}
