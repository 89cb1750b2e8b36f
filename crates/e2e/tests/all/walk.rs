//! From a folder to a live service, the way a new user goes.

use std::time::Duration;

use e2e::{Load, Machine, Site, example};

fn version_of(page: &str) -> &'static str {
    match page {
        page if page.contains("the second edition") => "second",
        page if page.contains("the first edition") => "first",
        _ => "other",
    }
}

#[test]
fn a_folder_becomes_a_page_and_goes_again() {
    let machine = Machine::idle();
    let site = example();
    let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
    assert_eq!(up["name"], "website");
    assert_eq!(up["application"]["status"], "CREATE_COMPLETE");
    assert_eq!(
        (&up["application"]["running"], &up["application"]["desired"]),
        (&2.into(), &2.into())
    );
    let url = up["url"].as_str().unwrap();

    let page = machine.page(url).unwrap();
    assert_eq!((page.status, page.body), (200, site.read("index.html")));
    let picture = machine.page(&format!("{url}/ferry.svg")).unwrap();
    assert_eq!(picture.header("content-type"), Some("image/svg+xml"));
    assert_eq!(
        (picture.status, picture.body),
        (200, site.read("ferry.svg"))
    );

    let listed = machine.neargate(&["ls", "--json"]).json();
    assert_eq!(listed[0]["url"], url);
    let table = machine.neargate(&["ls"]).stdout;
    assert!(
        table.contains("website") && table.contains("2/2"),
        "{table}"
    );
    assert_eq!(machine.neargate(&["open", "website"]).stdout.trim(), url);

    let down = machine.neargate(&["down", "website"]);
    for left in [
        "repository website",
        "log group /neargate/website",
        "task definitions",
    ] {
        assert!(
            down.stdout.contains(left),
            "{left} is not named: {}",
            down.stdout
        );
    }
    assert!(machine.page(url).is_err(), "the page still answers");
    let cleared = machine
        .neargate(&["down", "website", "--all-traces", "--json"])
        .json();
    assert_eq!(cleared["left"], serde_json::json!([]));
}

#[test]
fn an_edit_goes_live_without_a_failed_request() {
    let machine = Machine::idle();
    let site = Site::page("shop", "the first edition");
    let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
    let url = up["url"].as_str().unwrap();
    let host = url.trim_start_matches("http://");
    let load = Load::start(machine.edge_port(80), host, "/", version_of);

    let again = machine.neargate(&["up", &site.argument()]);
    assert!(again.stderr.contains("shop unchanged"), "{again:?}");
    assert!(again.took < Duration::from_secs(20), "{again:?}");

    for (text, version) in [
        ("the second edition", "second"),
        ("the first edition", "first"),
    ] {
        site.write("index.html", text);
        let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
        assert_eq!(up["application"]["status"], "UPDATE_COMPLETE");
        // From now on everybody gets the new page, and nobody the old one.
        for _ in 0..20 {
            assert_eq!(version_of(&machine.page(url).unwrap().text()), version);
        }
    }
    // More of them, and fewer.
    for count in ["4", "1"] {
        let up = machine
            .neargate(&["up", &site.argument(), "--count", count, "--json"])
            .json();
        assert_eq!(up["application"]["running"].to_string(), count, "{up}");
    }
    let tally = load.stop();
    tally.assert_none_failed();
    assert!(
        tally.seen.contains_key("second") && !tally.seen.contains_key("other"),
        "{tally:?}"
    );
    // None at all is a wish like any other.
    machine.neargate(&["up", &site.argument(), "--count", "0"]);
    assert_eq!(machine.page(url).unwrap().status, 503);
    machine.neargate(&["down", "--all-traces"]);
}

#[test]
fn a_dockerfile_is_built_and_goes_online() {
    let machine = Machine::idle();
    let dockerfile = "FROM scratch\nCOPY server /neargate\nCOPY site /site\nUSER 65534\nEXPOSE 8080\n\
        ENTRYPOINT [\"/neargate\", \"static\", \"--root\", \"/site\", \"--port\", \"8080\"]\n";
    let site = Site::dockerfile("own", "the first edition", dockerfile);
    let up = machine.neargate(&["up", &site.argument()]);
    let url = up
        .stdout
        .lines()
        .find(|it| it.trim().starts_with("http://"));
    let url = url.unwrap_or_else(|| panic!("no address: {up:?}")).trim();
    assert_eq!(machine.page(url).unwrap().text(), "the first edition");
    // Plain lines where there is no terminal.
    assert!(
        !up.stdout.contains('\u{1b}') && !up.stderr.contains('\u{1b}'),
        "{up:?}"
    );
    for step in ["daemon", "image", "stack", "page"] {
        assert!(up.stderr.contains(&format!("✓ {step}")), "{step}: {up:?}");
    }
    // What is printed is what the containers said, and it is there when they are gone.
    let logs = machine.neargate(&["logs", "own", "--json"]);
    let first: serde_json::Value =
        serde_json::from_str(logs.stdout.lines().next().unwrap()).unwrap();
    assert!(
        first["message"].is_string() && first["timestamp"].is_number(),
        "{first}"
    );

    site.write("site/index.html", "the second edition");
    let up = machine.neargate(&["up", &site.argument()]);
    assert!(up.stderr.contains("cached"), "{up:?}");
    assert_eq!(machine.page(url).unwrap().text(), "the second edition");
    machine.neargate(&["down", "own"]);
}

#[test]
fn what_cannot_go_online_says_why_and_what_to_do() {
    let machine = Machine::idle();
    let empty = Site::empty("empty");
    let cases: [(&[&str], &str); 5] = [
        (&["up", "/nowhere/at/all"], "there is no folder"),
        (
            &["up", &empty.argument()],
            "neither a Dockerfile nor an index.html",
        ),
        (
            &["up", &empty.argument(), "--name", "Not Good"],
            "neither a Dockerfile",
        ),
        (&["ls"], "neargate up"),
        (&["down", "nothing"], "neargate up"),
    ];
    for (arguments, expect) in cases {
        let output = machine.run(arguments);
        assert_eq!(output.code, 1, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(expect), "{arguments:?}: {output:?}");
        let mut json = arguments.to_vec();
        json.push("--json");
        let output = machine.run(&json);
        assert!(output.json()["error"].is_string(), "{json:?}: {output:?}");
    }
    machine.serve();
    let page = Site::page("page", "the first edition");
    let output = machine.run(&["up", &page.argument(), "--memory", "9999"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("No Fargate configuration exists"),
        "{output:?}"
    );
    for arguments in [
        &["open", "nothing"][..],
        &["logs", "nothing"],
        &["down", "nothing"],
    ] {
        let output = machine.run(arguments);
        assert_eq!(output.code, 1, "{arguments:?}: {output:?}");
        assert!(
            output.stderr.contains("nothing"),
            "{arguments:?}: {output:?}"
        );
    }
    // It was refused before anything was made.
    let nothing = machine.run(&["why", "page"]);
    assert!(
        nothing.code == 2 && nothing.stderr.contains("called `page`"),
        "{nothing:?}"
    );
    let broken = Site::dockerfile("broken", "x", "FROM scratch\nCOPY missing /x\nEXPOSE 80\n");
    let output = machine.run(&["up", &broken.argument()]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("missing"), "{output:?}");
}

#[test]
fn a_stopped_daemon_brings_everything_back() {
    let machine = Machine::idle();
    let site = Site::page("back", "the first edition");
    let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
    let url = up["url"].as_str().unwrap();
    machine.stop();
    assert!(machine.page(url).is_err(), "the page still answers");
    machine.serve();
    e2e::eventually("the page is back", || match machine.page(url) {
        Ok(page) if page.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Load balancers share a port; requests go by the name that they were sent to.
#[test]
fn two_applications_live_side_by_side() {
    let machine = Machine::idle();
    let sites = [("one", "the first edition"), ("two", "the second edition")];
    let mut urls = Vec::new();
    for (name, text) in sites {
        let site = Site::page(name, text);
        let up = machine
            .neargate(&["up", &site.argument(), "--count", "1", "--json"])
            .json();
        urls.push(up["url"].as_str().unwrap().to_owned());
    }
    for (url, (_, text)) in urls.iter().zip(sites) {
        assert_eq!(machine.page(url).unwrap().text(), text);
    }
    let unclear = machine.run(&["down"]);
    assert_eq!(unclear.code, 1);
    assert!(
        unclear.stderr.contains("one") && unclear.stderr.contains("two"),
        "{unclear:?}"
    );
    machine.neargate(&["down", "one"]);
    assert_eq!(machine.page(&urls[1]).unwrap().text(), "the second edition");
    machine.neargate(&["down"]);
    machine.assert_no_work();
}

#[test]
fn logs_are_followed_as_they_come() {
    use std::io::BufRead;
    let machine = Machine::idle();
    let site = Site::page("talk", "the first edition");
    let up = machine
        .neargate(&["up", &site.argument(), "--count", "1", "--json"])
        .json();
    let url = up["url"].as_str().unwrap().to_owned();
    let mut following = machine.spawn(&["logs", "talk", "-f"]);
    let lines = std::io::BufReader::new(following.stdout.take().unwrap()).lines();
    let (sender, seen) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .for_each(|line| drop(sender.send(line)));
    });
    for number in ["one", "two", "three"] {
        let path = format!("/nothing-{number}");
        assert_eq!(machine.page(&format!("{url}{path}")).unwrap().status, 404);
        loop {
            let line = seen.recv_timeout(e2e::PATIENCE).expect("the line comes");
            if line.contains(&path) {
                break;
            }
        }
    }
    following.kill().unwrap();
    following.wait().unwrap();
    reading.join().unwrap();
}
