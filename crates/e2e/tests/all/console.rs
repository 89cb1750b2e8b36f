//! The web console: who is let in by the real door, and what Chromium shows of what is real.

use std::path::{Path, PathBuf};

use e2e::{Browser, Connection, Machine, Site, axe};
use serde_json::{Value, json};

const ROOT: &str = "/_neargate/console/";
/// A server that answers, and one that does not know its first word.
const SOUND: &str = "FROM scratch\nCOPY server /server\nCOPY site /site\nEXPOSE 8080\nENTRYPOINT [\"/server\"]\nCMD [\"static\", \"--root\", \"/site\", \"--port\", \"8080\"]\n";
const BROKEN: &str = "FROM scratch\nCOPY server /server\nCOPY site /site\nEXPOSE 8080\nENTRYPOINT [\"/server\"]\nCMD [\"statik\", \"--root\", \"/site\", \"--port\", \"8080\"]\n";

/// A link, and its path.
#[track_caller]
fn link(machine: &Machine, arguments: &[&str]) -> (String, String) {
    let arguments = [&["console", "--json"], arguments].concat();
    let output = machine.neargate(&arguments).json();
    let url = output["url"].as_str().unwrap().to_owned();
    let at = url.find(ROOT).expect("it is the console's");
    (url.clone(), url[at..].to_owned())
}

#[test]
fn the_console_is_for_those_whom_its_link_lets_in() {
    let machine = Machine::start();
    let host = machine.listen.to_string();
    let ask = |method: &str, target: &str, headers: &[(&str, &str)]| {
        let mut connection = Connection::open(machine.listen).unwrap();
        let mut all = vec![("host", host.as_str())];
        all.retain(|it| headers.iter().all(|other| other.0 != it.0));
        all.extend(headers);
        connection.ask(method, target, &all, b"").unwrap()
    };
    let (_, path) = link(&machine, &[]);
    // A name that was made to lead here gets nothing, and does not use the link up.
    let foreign = ask("GET", &path, &[("host", "evil.example")]);
    assert_eq!((foreign.status, foreign.header("set-cookie")), (403, None));
    let entered = ask("GET", &path, &[]);
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, Some(ROOT))
    );
    let cookie = entered.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(ask("GET", &path, &[]).status, 401, "it worked twice");
    let home = ask("GET", ROOT, &[("cookie", cookie)]);
    assert_eq!(home.status, 200, "{}", home.text());
    assert!(home.text().contains("Nothing runs yet"), "{}", home.text());
    let refused = [
        ask("GET", ROOT, &[]),
        ask("GET", ROOT, &[("cookie", cookie), ("host", "evil.example")]),
        ask(
            "GET",
            ROOT,
            &[("cookie", cookie), ("origin", "http://127.0.0.1:9")],
        ),
        ask(
            "GET",
            ROOT,
            &[("cookie", cookie), ("sec-fetch-site", "same-site")],
        ),
        ask(
            "POST",
            &format!("{ROOT}services/a/b/force"),
            &[("cookie", cookie), ("x-neargate-console", "act")],
        ),
    ];
    for answer in refused {
        assert!([401, 403].contains(&answer.status), "{}", answer.text());
        assert!(!answer.text().contains("<html"), "{}", answer.text());
        let cors = answer
            .headers
            .iter()
            .find(|it| it.0.starts_with("access-control"));
        assert!(cors.is_none(), "{cors:?}");
    }
    // Writing takes a link for it, and the header that no form can send.
    let (_, path) = link(&machine, &["--write"]);
    let entered = ask("GET", &path, &[]);
    let cookie = entered
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let act = format!("{ROOT}services/a/b/force");
    assert_eq!(ask("POST", &act, &[("cookie", cookie)]).status, 403);
    let acted = ask(
        "POST",
        &act,
        &[("cookie", cookie), ("x-neargate-console", "act")],
    );
    assert!(acted.text().contains("ClusterNotFound"), "{}", acted.text());
    // The next daemon knows none of them.
    machine.kill_daemon();
    machine.serve();
    assert_eq!(ask("GET", ROOT, &[("cookie", cookie)]).status, 401);
}

/// Where pictures are kept: where the papers show them, if that is asked for.
fn pictures() -> Option<PathBuf> {
    let wanted = std::env::var_os("NEARGATE_PICTURES").is_some();
    wanted.then(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/console"))
}

#[track_caller]
fn shot(browser: &mut Browser, name: &str) {
    if let Some(folder) = pictures() {
        std::fs::create_dir_all(&folder).unwrap();
        browser.picture(&folder.join(name));
    }
}

/// No serious finding, by light and by dark.
#[track_caller]
fn assert_accessible(browser: &mut Browser) {
    for theme in ["light", "dark"] {
        browser.theme(theme);
        let Some(found) = axe(browser) else { return };
        let place = browser.value("location.href");
        assert!(
            found.is_empty(),
            "{place} in the {theme}: {}",
            found.join("\n")
        );
    }
    browser.theme("light");
}

#[test]
fn a_browser_sees_what_is_real() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let machine = Machine::idle();
    let site = Site::dockerfile("shop", "the first edition", SOUND);
    machine.neargate(&["up", &site.argument()]);
    browser.go(&link(&machine, &["--write"]).0);
    browser.until_text("It is as it should be");
    for text in ["shop", "✓ up", "2 healthy of 2 wanted", "CREATE_COMPLETE"] {
        browser.until_text(text);
    }
    assert_accessible(&mut browser);
    shot(&mut browser, "home.png");

    // An edit with a bug: the page that is open says so by itself, with the cause.
    browser
        .value("window.stayed = true; document.querySelector('#card-application-shop a').focus()");
    site.write("Dockerfile", BROKEN);
    let up = machine.run(&["up", &site.argument()]);
    assert_eq!(up.code, 1, "{up:?}");
    browser.until_text("One thing is wrong");
    browser.until_text("✗ failing");
    let red = browser.value("document.querySelector('#card-application-shop .cause').innerText");
    assert!(red.as_str().unwrap_or_default().contains("code 2"), "{red}");
    // It is the same page still, and the focus is where it was.
    let kept = browser.value("window.stayed && document.activeElement.closest('li').id");
    assert_eq!(kept, Value::from("card-application-shop"));
    assert_accessible(&mut browser);
    shot(&mut browser, "home-red.png");

    // By the keyboard alone: the first row, and why it is red.
    browser.value("document.activeElement.blur()");
    browser.press("j");
    browser.press("w");
    browser.arrives_at("Why");
    browser.until_text("What mends it");
    let why = browser.text();
    assert!(
        why.contains("Usage: server") || why.contains("exit code 2"),
        "{why}"
    );
    assert_accessible(&mut browser);
    shot(&mut browser, "why.png");

    // Its stack, by Ctrl-K, has the first failure on top.
    browser.press_with("k", 2);
    browser.until(
        "the palette is open",
        "document.querySelector('dialog[open] a')",
    );
    browser.type_text("shop");
    browser.until(
        "it is found",
        "[...document.querySelectorAll('dialog li')].some((it) => it.innerText === 'shop stack')",
    );
    assert_accessible(&mut browser);
    browser.press("Enter");
    browser.arrives_at("Stack shop");
    browser.until_text("failed first");
    browser.until_text("How long it took");
    assert_accessible(&mut browser);

    // Its logs, searched by the daemon.
    browser.press("g");
    browser.press("l");
    browser.arrives_at("Logs");
    browser.until_text("Log groups");
    browser.press("j");
    browser.press("Enter");
    browser.arrives_at("Logs /");
    browser.until("it is a log", "document.querySelector('#log[role=log]')");
    browser.press("/");
    browser.type_text("usage:");
    browser.press("Enter");
    browser.until(
        "what was looked for is marked",
        "document.querySelector('#log mark')?.innerText === 'Usage:'",
    );
    assert_accessible(&mut browser);
    shot(&mut browser, "logs.png");

    // Mended: the page is green again, by itself.
    browser.press("g");
    browser.press("h");
    browser.arrives_at("One thing is wrong");
    site.write("Dockerfile", SOUND);
    site.write("site/index.html", "the second edition");
    machine.neargate(&["up", &site.argument()]);
    browser.until_text("It is as it should be");
    browser.until_text("UPDATE_COMPLETE");

    // Its service: scaled by the button, which asks whether one is sure.
    browser.press("g");
    browser.press("s");
    browser.arrives_at("Services");
    browser.press("j");
    browser.press("Enter");
    browser.arrives_at("Service shop");
    browser.until_text("Targets");
    assert_accessible(&mut browser);
    browser.value("window.confirm = () => true; document.querySelector('[name=count]').value = 3; document.querySelector('form.act [name=count]').form.requestSubmit()");
    browser.until_text("is to have 3 tasks");
    browser.press("Escape");
    browser.until_text("3 healthy of 3 wanted");
    shot(&mut browser, "service.png");

    // Narrow.
    browser.width(360, 800);
    let wide = browser.value("[...document.querySelectorAll('body *')].filter((it) => it.getBoundingClientRect().right > 365).map((it) => it.outerHTML.slice(0, 120))");
    assert_eq!(wide, json!([]), "it is wider than a telephone");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// A browser that was let in, at a path of the console.
#[track_caller]
fn visit(browser: &mut Browser, path: &str) {
    let host = browser.value("location.origin");
    browser.go(&format!("{}{ROOT}{path}", host.as_str().unwrap()));
}

#[test]
fn a_browser_looks_into_everything() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let machine = Machine::idle();
    let site = Site::page("shop", "the first edition");
    let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
    let url = up["url"].as_str().unwrap();
    for _ in 0..50 {
        assert_eq!(machine.page(url).unwrap().status, 200);
    }
    browser.go(&link(&machine, &[]).0);
    browser.until_text("requests a second");
    browser.until_text("p99");
    shot(&mut browser, "home.png");

    browser.until_text("✓ answers 200");
    visit(&mut browser, "services/shop/shop/deployment");
    browser.until_text("Failed requests: none of those since it began");
    browser.until(
        "tasks are drawn",
        "document.querySelector('svg.gantt rect.well')",
    );
    assert_accessible(&mut browser);
    visit(&mut browser, "stacks/shop");
    browser.until(
        "a graph is drawn",
        "document.querySelectorAll('svg.graph path.edge').length > 10",
    );
    browser.press("a");
    browser.until_text("aws cloudformation describe-stacks --stack-name shop");
    shot(&mut browser, "stack.png");
    visit(&mut browser, "balancers/shop");
    for text in ["HTTP:80", "nothing else takes it", "✓ healthy"] {
        browser.until_text(text);
    }
    assert_accessible(&mut browser);
    visit(&mut browser, "services/shop/shop/metrics");
    browser.until(
        "a line is drawn",
        "document.querySelector('svg.plot path.line')",
    );
    browser.until_text("p99");
    assert_accessible(&mut browser);
    shot(&mut browser, "metrics.png");

    // Does the balancer reach a task? On the port that it serves, and on no other.
    visit(&mut browser, "network");
    browser.press("j");
    browser.value("[...document.querySelectorAll('[data-row]')].find((it) => it.innerText.includes('shop')).querySelector('a').click()");
    browser.until(
        "the network is there",
        "document.querySelector('#way [name=from] option')",
    );
    assert_accessible(&mut browser);
    for (port, words) in [("8080", "✓ "), ("81", "✗ ")] {
        browser.until(
            "the network is there",
            "document.querySelector('#way [name=from] option')",
        );
        let ask = format!(
            "(() => {{ const options = [...document.querySelectorAll('#way option')]; \
             const own = (text) => options.find((it) => it.label.includes(text)).value; \
             const form = document.querySelector('#way'); form.from.value = own('ELB'); \
             form.to.value = own('ecs'); form.port.value = '{port}'; form.requestSubmit(); }})()"
        );
        browser.value(&ask);
        browser.until(
            "it is answered",
            &format!("document.querySelector('#answer h2')?.innerText.startsWith('{words}')"),
        );
    }
    browser.until_text("ENI_SG_RULES_MISMATCH");
    assert_accessible(&mut browser);
    shot(&mut browser, "network.png");

    // A log line that wants to be more than text, in a group that does, too.
    let hostile = "</p><img src=x onerror='window.hurt=1'><script>window.hurt=1</script>";
    let group = json!({ "logGroupName": "/hostile" });
    machine.ask("logs", "CreateLogGroup", group);
    let stream = json!({ "logGroupName": "/hostile", "logStreamName": "x" });
    machine.ask("logs", "CreateLogStream", stream);
    let now_ms = browser.value("Date.now()");
    let events = json!({
        "logGroupName": "/hostile", "logStreamName": "x",
        "logEvents": [{ "timestamp": now_ms, "message": hostile }],
    });
    visit(&mut browser, "logs?group=%2Fhostile");
    browser.until_text("There are no such lines");
    machine.ask("logs", "PutLogEvents", events);
    // It comes by the stream of the page.
    browser.until_text("window.hurt=1");
    visit(
        &mut browser,
        "logs?group=%2Fhostile&q=img&kind=regex&mark=1",
    );
    browser.until(
        "it is marked",
        "document.querySelector('mark')?.innerText === 'img'",
    );
    assert_eq!(
        browser.value("window.hurt === undefined"),
        Value::from(true)
    );

    for (path, text) in [
        ("images", "Run by"),
        ("machine", "control groups"),
        ("pipelines", "There are none"),
        ("services", "2 healthy of 2 wanted"),
        ("keys", "the next row"),
        ("why", "nothing is wrong"),
    ] {
        visit(&mut browser, path);
        browser.until_text(text);
        assert_accessible(&mut browser);
    }
    let Some(aws) = e2e::Aws::of(&machine) else {
        return;
    };
    aws.ask(&["ecs", "list-clusters"]);
    visit(&mut browser, "calls");
    browser.until_text("ecs ListClusters");
    browser.until_text("arn:aws:iam::000000000000:root");
    assert_accessible(&mut browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
