use std::io::Write;

use tar::{EntryType, Header};

use super::World;

/// A tar of entries: a name, a kind, and a text or a link's target. Names are written as they are.
fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if kind.is_dir() { 0o700 } else { 0o640 });
        header.set_uid(3);
        header.set_gid(4);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        let is_link = kind.is_symlink() || kind.is_hard_link();
        if is_link {
            header.as_gnu_mut().unwrap().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        let text = if is_link { "" } else { text };
        header.set_size(text.len() as u64);
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn world(name: &str, bytes: &[u8]) -> World {
    let world = World::new();
    std::fs::write(world.context().join(name), bytes).unwrap();
    world
}

pub fn good() -> Vec<u8> {
    archive(&[
        ("./", EntryType::Directory, ""),
        ("./d/", EntryType::Directory, ""),
        ("d/a", EntryType::Regular, "A"),
        ("/abs", EntryType::Regular, "B"),
        ("d/link", EntryType::Symlink, "a"),
        ("same", EntryType::Link, "d/a"),
        ("new/x", EntryType::Regular, "X"),
    ])
}

#[tokio::test]
async fn a_local_archive_is_unpacked() {
    for (name, bytes) in [
        ("a.tar", good()),
        ("a.tgz", gzip(&good())),
        ("a.tar.bz2", bzip2(&good())),
        ("a.tar.zst", zstd::encode_all(&*good(), 1).unwrap()),
        ("a.tar.xz", xz(&good())),
        // What it is called does not matter.
        ("a", xz(&good())),
    ] {
        let world = world(name, &bytes);
        let outcome = world
            .build(&format!("FROM scratch\nADD {name} /in\n"))
            .await
            .unwrap();
        assert_eq!(
            outcome.layers,
            [[
                "dir 755 0:0 in",
                "dir 700 3:4 in/d",
                "file 640 3:4 in/d/a = A",
                "file 640 3:4 in/abs = B",
                "link in/d/link -> a",
                "same in/same = in/d/a",
                "dir 755 0:0 in/new",
                "file 640 3:4 in/new/x = X",
            ]]
        );
    }
}

#[tokio::test]
async fn copy_leaves_an_archive_alone_and_add_what_is_none() {
    let world = world("a.tar", &good());
    let outcome = world.build("FROM scratch\nCOPY a.tar /\n").await.unwrap();
    assert_eq!(outcome.layers[0].len(), 1);
    world.put("text.gz", "not gzip");
    std::fs::write(world.context().join("one.gz"), gzip(b"text")).unwrap();
    let outcome = world.build("FROM scratch\nADD text.gz /\n").await.unwrap();
    assert_eq!(outcome.layers, [["file 644 0:0 text.gz = not gzip"]]);
}

#[tokio::test]
async fn an_archive_follows_the_images_links_unless_it_replaces_them() {
    let bytes = archive(&[
        ("bin/tool", EntryType::Regular, "T"),
        ("lib/", EntryType::Directory, ""),
        ("lib/y", EntryType::Regular, "Y"),
        // Looks as in the archive from now on.
        ("tmp/", EntryType::Directory, ""),
        ("tmp/x", EntryType::Regular, "X"),
    ]);
    let world = world("root.tar", &bytes);
    world
        .image(
            "base",
            "FROM scratch\nRUN mkdir usr/bin && symlink bin usr/bin && symlink lib usr/bin && mkdir tmp && chown tmp 7",
        )
        .await;
    let outcome = world.build("FROM base\nADD root.tar /\n").await.unwrap();
    assert_eq!(
        outcome.layers[1],
        [
            "dir 755 0:0 usr",
            "dir 755 0:0 usr/bin",
            "file 640 3:4 usr/bin/tool = T",
            "dir 700 3:4 lib",
            "file 640 3:4 lib/y = Y",
            "dir 700 3:4 tmp",
            "file 640 3:4 tmp/x = X",
        ]
    );
}

#[tokio::test]
async fn links_of_an_archive_lead_within_where_it_is_unpacked() {
    let entries = [
        ("real/", EntryType::Directory, ""),
        ("rel", EntryType::Symlink, "real"),
        ("abs", EntryType::Symlink, "/real"),
        ("up", EntryType::Symlink, "../../.."),
        ("rel/a", EntryType::Regular, "A"),
        ("abs/b", EntryType::Regular, "B"),
        ("up/new/c", EntryType::Regular, "C"),
        ("real/../d", EntryType::Regular, "D"),
        ("../../e", EntryType::Regular, "E"),
        ("same", EntryType::Link, "../real/a"),
    ];
    let world = world("a.tar", &archive(&entries));
    let outcome = world.build("FROM scratch\nADD a.tar /in/\n").await.unwrap();
    assert_eq!(
        outcome.layers,
        [[
            "dir 755 0:0 in",
            "dir 700 3:4 in/real",
            "link in/rel -> real",
            "link in/abs -> /real",
            "link in/up -> ../../..",
            "file 640 3:4 in/real/a = A",
            "file 640 3:4 in/real/b = B",
            "dir 755 0:0 in/new",
            "file 640 3:4 in/new/c = C",
            "file 640 3:4 in/d = D",
            "file 640 3:4 in/e = E",
            "same in/same = in/real/a",
        ]]
    );
    let round = [
        ("a", EntryType::Symlink, "b"),
        ("b", EntryType::Symlink, "a"),
        ("a/x", EntryType::Regular, "X"),
    ];
    std::fs::write(world.context().join("a.tar"), archive(&round)).unwrap();
    let error = world.build("FROM scratch\nADD a.tar /in/\n").await;
    let message = error.err().unwrap().message;
    assert!(message.contains("has too many links in a row"), "{message}");
}

#[tokio::test]
async fn what_is_said_of_all_entries_is_none() {
    let said = (
        "pax_global_header",
        EntryType::XGlobalHeader,
        "11 a=12345\n",
    );
    let bytes = archive(&[said, ("a", EntryType::Regular, "A")]);
    let world = world("a.tar", &bytes);
    let outcome = world.build("FROM scratch\nADD a.tar /\n").await.unwrap();
    assert_eq!(outcome.layers, [["file 640 3:4 a = A"]]);
    // Also where the first entry has no name.
    let bytes = archive(&[("", EntryType::Regular, ""), ("a", EntryType::Regular, "A")]);
    std::fs::write(world.context().join("a.tar"), bytes).unwrap();
    let outcome = world.build("FROM scratch\nADD a.tar /\n").await.unwrap();
    assert_eq!(outcome.layers, [["file 640 3:4 a = A"]]);
}

#[tokio::test]
async fn hostile_archives_are_refused() {
    for (entry, message) in [
        (
            ("dev", EntryType::Char, ""),
            "the archive's entry `dev` is a device node",
        ),
        (
            ("sda", EntryType::Block, ""),
            "the archive's entry `sda` is a device node",
        ),
        (
            ("d/.wh.etc", EntryType::Regular, ""),
            "the archive's entry `d/.wh.etc` means a deletion in a layer",
        ),
    ] {
        let world = world(
            "a.tar",
            &archive(&[("first", EntryType::Regular, "1"), entry]),
        );
        let error = world
            .build("FROM scratch\nADD a.tar /in/\n")
            .await
            .err()
            .unwrap();
        assert_eq!(
            error.message,
            format!("Dockerfile:2: {message} (in `ADD a.tar /in/`)")
        );
        assert_eq!(
            world
                .images
                .layers_put
                .load(std::sync::atomic::Ordering::SeqCst),
            0
        );
    }
}

#[tokio::test]
async fn a_cut_off_archive_is_an_error() {
    let bytes = good();
    let world = world("a.tar", &bytes[..700]);
    world
        .build("FROM scratch\nADD a.tar /\n")
        .await
        .err()
        .unwrap();
    let zipped = gzip(&[bytes, vec![7; 100_000]].concat());
    std::fs::write(world.context().join("a.tar"), &zipped[..zipped.len() - 20]).unwrap();
    world.assert_clean();
}

#[tokio::test]
async fn what_takes_too_much_memory_is_refused() {
    // The header of an xz file whose dictionary is 1.5 GiB.
    let stream: [u8; 12] = [
        0xfd, b'7', b'z', b'X', b'Z', 0, 0, 4, 0xe6, 0xd6, 0xb4, 0x46,
    ];
    let block = [2, 0, 0x21, 1, 37, 0, 0, 0];
    let sum = crc32(&block).to_le_bytes();
    let bytes = [&stream[..], &block, &sum, &[0; 64]].concat();
    let world = world("a.bin", &bytes);
    let error = world.build("FROM scratch\nADD a.bin /\n").await;
    let message = error.err().unwrap().message;
    assert!(
        message.contains("would take more than 256 MiB"),
        "{message}"
    );
}

/// Of gzip and xz.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[tokio::test]
async fn a_broken_or_other_compressed_file_is_a_plain_one() {
    for bytes in [
        &b"BZh9 and not bzip2"[..],
        &[0xfd, b'7', b'z', b'X', b'Z', 0, 1, 2],
        &[0x28, 0xb5, 0x2f, 0xfd, 9, 9, 9],
        &zstd::encode_all(&b"text"[..], 1).unwrap(),
    ] {
        let world = world("a.tar.xz", bytes);
        let request = engine::BuildRequest {
            context: world.context(),
            dockerfile_text: Some("FROM scratch\nADD a.tar.xz /in/".into()),
            ..Default::default()
        };
        let (events, _) = tokio::sync::mpsc::channel(1);
        let built = engine::Builds::build(&world.builder, request, events);
        let built = built.await.unwrap();
        let tree = world.images.image(&built.digest).directories[0].clone();
        assert_eq!(std::fs::read(tree.join("in/a.tar.xz")).unwrap(), bytes);
    }
}

#[tokio::test]
async fn an_archive_brings_its_own_owners_and_permissions() {
    let world = world("a.tar", &archive(&[("x", EntryType::Regular, "X")]));
    let dockerfile = "FROM scratch\nADD --chown=8:9 --chmod=600 a.tar /in/\n";
    let outcome = world.build(dockerfile).await.unwrap();
    let expected = ["dir 755 8:9 in", "file 640 3:4 in/x = X"];
    assert_eq!(outcome.layers, [expected]);
}

#[tokio::test]
async fn a_name_without_end_is_not_read_into_memory() {
    let long = "n".repeat(1024 * 1024);
    let bytes = archive(&[
        ("././@LongLink", EntryType::GNULongName, &long),
        ("x", EntryType::Regular, "X"),
    ]);
    let world = world("a.tar", &gzip(&bytes));
    let error = world
        .build("FROM scratch\nADD a.tar /\n")
        .await
        .err()
        .unwrap();
    assert!(
        error
            .message
            .contains("the archive holds a name or header that is too long"),
        "{error}"
    );
}
