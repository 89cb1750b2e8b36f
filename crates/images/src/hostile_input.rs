//! Hostile manifests, configurations and layers.

use std::fs::{self, File};
use std::io::Write;

use fuzz::{Target, shape_of};

use crate::blobs::digest_bytes;
use crate::document::{ConfigFile, Manifest};
use crate::limits::UNPACK_LIMITS;
use crate::unpack::{Compression, unpack};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MANIFEST: &str = r#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2}]}"#;
const CONFIG: &str = r#"{"architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"], "Cmd": ["a"], "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "a"], "Interval": 1}}, "rootfs": {"type": "layers", "diff_ids": []}, "history": [{"created_by": "a", "empty_layer": true}]}"#;

#[test]
fn fuzz_manifest() {
    Target::new("manifest", ROOT)
        .seeds([MANIFEST, CONFIG])
        .words([
            "\"manifests\": [",
            "null",
            "\"size\": -1",
            "sha256:",
            "sha512:",
            "\"platform\": {",
        ])
        .run(|input| {
            let manifest = Manifest::parse(input, None).err();
            let config = ConfigFile::parse(input).err();
            [manifest, config].map(|it| it.map(|error| shape_of(&error.to_string())))
        });
}

/// A layer is unpacked beneath its directory, whatever it says: nothing appears beside it.
#[test]
fn fuzz_layer() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    let mut seed = Vec::new();
    for (kind, path, link) in [
        (b'5', "d", ""),
        (b'0', "d/a", ""),
        (b'2', "d/l", "../../x"),
        (b'1', "h", "d/a"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.as_mut_bytes()[156] = kind;
        header.set_size(0);
        header.set_mode(0o755);
        header.set_cksum();
        seed.extend_from_slice(header.as_bytes());
    }
    seed.resize(seed.len() + 1024, 0);
    Target::new("layer", ROOT)
        .seeds([seed])
        .words([
            "../",
            "/etc/",
            "d/l/a",
            ".wh.",
            ".wh..wh..opq",
            "0000644\0",
            "ustar\0",
        ])
        .run(|input| {
            fs::create_dir(&root).unwrap();
            let blob = place.path().join("blob");
            File::create(&blob).unwrap().write_all(input).unwrap();
            let digest = digest_bytes(input);
            let outcome = unpack(
                File::open(&blob).unwrap(),
                Compression::None,
                &digest,
                &root,
                &UNPACK_LIMITS,
            );
            fs::remove_dir_all(&root).unwrap();
            let beside = fs::read_dir(place.path()).unwrap().count();
            assert_eq!(beside, 1, "something was made beside the layer's directory");
            outcome.err().map(|error| shape_of(&error.to_string()))
        });
}
