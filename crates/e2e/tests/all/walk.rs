//! From a folder to a live service, the way a new user goes.

use e2e::{Load, Machine, PATIENCE, Site, example};

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
