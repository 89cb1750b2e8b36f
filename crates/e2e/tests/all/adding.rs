//! `ADD` of what is elsewhere: a web server and a Git server at the loopback of a network of the test's own.

use std::path::Path;

use e2e::{Docker, Machine, Web, in_own_network};

/// Builds, and returns what the client said.
fn build(docker: &Docker, folder: &Path, instructions: &str) -> Result<String, String> {
    let dockerfile = format!("FROM scratch\n{instructions}\n");
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let output = docker.run_in(folder, &["build", "-t", "added", "."]);
    match output.code {
        0 => Ok(output.stdout),
        _ => Err(output.stderr + &output.stdout),
    }
}

/// The files of the image `added`, as `tar -tv` lists them.
fn files(docker: &Docker, folder: &Path) -> String {
    docker.run(&["rm", "-f", "one"]);
    docker.ask(&["create", "--name", "one", "added", "/x"]);
    let tar = folder.join("out.tar").display().to_string();
    docker.ask(&["export", "-o", &tar, "one"]);
    let listed = std::process::Command::new("tar")
        .args(["-tvf", &tar])
        .output();
    std::fs::remove_file(tar).unwrap();
    String::from_utf8(listed.unwrap().stdout).unwrap()
}

#[test]
fn files_and_repositories_are_added() {
    in_own_network("adding::files_and_repositories_are_added", || {
        let web = Web::start();
        let machine = Machine::alone(&["--allow-address", &web.address.to_string()]);
        machine.serve();
        let Some(docker) = Docker::of(&machine) else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        web.put("file.txt", "one");
        let first = web.commit("own.git", &[("top", "1"), ("docs/a", "A")]);
        let (file, repository) = (web.url("file.txt"), web.url("own.git"));

        let added =
            format!("ADD {file} /\nADD {repository}#main:docs /docs\nADD {repository} /all/");
        build(&docker, folder, &added).unwrap();
        let listed = files(&docker, folder);
        for expected in [
            "-rw-------",
            "2015-10-21",
            "./docs/a",
            "./all/top",
            "./all/docs/a",
        ] {
            assert!(listed.contains(expected), "{expected}: {listed}");
        }
        assert!(!listed.contains(".git"), "{listed}");

        // The same again is found; a new commit is not.
        let again = build(&docker, folder, &added).unwrap();
        assert_eq!(again.matches("Using cache").count(), 3, "{again}");
        web.commit("own.git", &[("docs/b", "B")]);
        let moved = build(&docker, folder, &added).unwrap();
        assert_eq!(moved.matches("Using cache").count(), 1, "{moved}");
        assert!(files(&docker, folder).contains("./docs/b"), "a new commit");

        // What is pinned stays what it was, and nobody is asked for it again.
        let pinned = format!("ADD {repository}#{first} /all/");
        build(&docker, folder, &pinned).unwrap();
        let asked = web.asked().len();
        let found = build(&docker, folder, &pinned).unwrap();
        assert_eq!(found.matches("Using cache").count(), 1, "{found}");
        assert_eq!(web.asked().len(), asked);

        let wrong = "0".repeat(64);
        for (instruction, expected) in [
            (
                format!("ADD --checksum=sha256:{wrong} {file} /"),
                "has the checksum `sha256:",
            ),
            (
                format!("ADD --checksum={} {repository} /", "0".repeat(40)),
                "is the commit `",
            ),
            (format!("ADD {} /", web.url("none")), "404 Not Found"),
            (
                format!("ADD {repository}#none /"),
                "no branch, tag or commit `none`",
            ),
            (
                format!("ADD {repository}#main:none /"),
                "`none` is not in `http://",
            ),
            // Of this machine only what its owner allowed, in whose name soever.
            (
                format!("ADD http://{}/ /", machine.listen),
                "--allow-address",
            ),
            (
                format!("ADD http://{}/own.git /", machine.listen),
                "--allow-address",
            ),
        ] {
            let said = build(&docker, folder, &instruction).unwrap_err();
            assert!(said.contains(expected), "{instruction}: {said}");
        }
    });
}
