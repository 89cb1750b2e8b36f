use super::World;

#[tokio::test]
async fn a_file_into_nothing() {
    let world = World::with(&[("index.html", "hello")]);
    let outcome = world
        .build("FROM scratch\nCOPY index.html /srv/\nCMD [\"/static\"]\n")
        .await
        .unwrap();
    assert_eq!(
        outcome.layers,
        [["dir 755 0:0 srv", "file 644 0:0 srv/index.html = hello"]]
    );
    assert_eq!(outcome.config.cmd, ["/static"]);
}
