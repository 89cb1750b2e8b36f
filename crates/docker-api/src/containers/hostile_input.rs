//! Hostile queries and bodies.

use fuzz::{Target, bucket, shape_of};

use super::record::CreateRequest;
use crate::query::Query;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn fuzz_query() {
    Target::new("query", ROOT)
        .seeds([
            "all=1&limit=5&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D",
            "filters={\"status\":{\"running\":true}}&t=-1",
            "name=a+b&name=%zz&until=1.5",
        ])
        .words([
            "filters=",
            "%7B",
            "%22",
            "&",
            "=",
            "[[",
            "{\"label\":",
            "%00",
            "limit=99999999999999999999",
        ])
        .run(|input| {
            let query = Query::parse(&String::from_utf8_lossy(input));
            let told = |it: crate::answer::Refusal| shape_of(&it.message);
            (
                query.number("limit").map(|it| it.is_some()).map_err(told),
                (query.filters(&["label", "status"]))
                    .map(|it| (bucket(it.get("label").len()), it.flag("status")))
                    .map_err(told),
                query.flag("all"),
            )
        });
}

#[test]
fn fuzz_container() {
    Target::new("container", ROOT)
        .seeds([
            r#"{"Image": "a", "Cmd": ["b"], "Env": ["A=b"], "Entrypoint": "c",
            "ExposedPorts": {"80/tcp": {}}, "Healthcheck": {"Test": ["CMD", "a"], "Interval": 1},
            "HostConfig": {"Binds": ["/a:/b:ro"], "PortBindings": {"80/tcp": [{"HostPort": "1"}]},
            "Memory": 1, "RestartPolicy": {"Name": "always"}, "Ulimits": [{"Name": "nofile"}]},
            "NetworkingConfig": {"EndpointsConfig": {"n": {"Aliases": ["x"]}}}}"#,
        ])
        .words([
            "[[[[",
            "{\"HostConfig\":",
            "null",
            "-1",
            "1e400",
            "\"Cmd\":",
            "\\ud800",
        ])
        .run(
            |input| match serde_json::from_slice::<CreateRequest>(input) {
                Ok(_) => String::new(),
                Err(error) => shape_of(&error.to_string()),
            },
        );
}
