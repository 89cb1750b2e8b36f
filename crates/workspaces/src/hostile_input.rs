//! Hostile archives.

use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use fuzz::{Target, shape_of};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::folder::Folder;
use crate::unpack::unpack;

fn archive(names: &[&str], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for name in names {
        archive.start_file(*name, options).unwrap();
        archive.write_all(b"some text").unwrap();
    }
    archive.add_symlink("link", "a/b", options).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn fuzz_zip() {
    let directory = tempfile::tempdir().unwrap();
    let (inside, beside) = (
        directory.path().join("inside"),
        directory.path().join("kept"),
    );
    std::fs::write(&beside, "kept").unwrap();
    Target::new("zip", env!("CARGO_MANIFEST_DIR"))
        .seeds([
            archive(&["a/b", "c"], CompressionMethod::Stored),
            archive(&["../kept", "/etc/x", "link/y"], CompressionMethod::Stored),
            archive(&["a/b"], CompressionMethod::Deflated),
        ])
        .words([
            &b"PK\x03\x04"[..],
            b"PK\x01\x02",
            b"PK\x05\x06",
            b"../",
            b"\xff\xff\xff\xff",
            b"link",
        ])
        .run(|input| {
            let _ = std::fs::remove_dir_all(&inside);
            std::fs::create_dir(&inside).unwrap();
            let mut file = tempfile::tempfile_in(directory.path()).unwrap();
            file.write_all(input).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            let folder = Folder::open(&inside).unwrap();
            let unpacked = unpack(&folder, &inside, Path::new(""), file);
            let beside = std::fs::read(&beside).unwrap();
            assert_eq!(beside, b"kept", "nothing is written outside of the folder");
            unpacked.map_err(|error| shape_of(&error.message))
        });
}
