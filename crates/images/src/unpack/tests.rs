//! Hostile and honest layers.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use engine::{Fault, Result};

use super::{Compression, unpack};
use crate::blobs::digest_bytes;
use crate::limits::{UNPACK_LIMITS, UnpackLimits};

/// A tar written by hand, so that it may say what no tool would write.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: u8, path: &str, link: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        {
            let bytes = header.as_mut_bytes();
            bytes[..path.len().min(100)].copy_from_slice(&path.as_bytes()[..path.len().min(100)]);
            bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
            bytes[156] = kind;
        }
        header.set_size(content.len() as u64);
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
    fn file(self, path: &str, content: &str) -> Self {
        self.entry(b'0', path, "", content.as_bytes())
    }
    fn directory(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"")
    }
    fn symlink(self, path: &str, to: &str) -> Self {
        self.entry(b'2', path, to, b"")
    }
    fn hard_link(self, path: &str, to: &str) -> Self {
        self.entry(b'1', path, to, b"")
    }
    fn records(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..4)
                .map(|digits| rest + digits)
                .find(|length| length.to_string().len() + rest == *length)
                .unwrap();
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.entry(b'x', "records", "", &content)
    }
    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// A directory with a target to unpack into and a neighbour that must stay as it is.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.target()).unwrap();
        fs::create_dir(place.outside()).unwrap();
        fs::write(place.outside().join("secret"), "untouched").unwrap();
        place
    }
    fn target(&self) -> PathBuf {
        self.0.path().join("target")
    }
    fn outside(&self) -> PathBuf {
        self.0.path().join("outside")
    }
    fn unpack(&self, tar: &[u8], limits: &UnpackLimits) -> Result<()> {
        self.unpack_blob(tar, tar, Compression::None, limits)
    }
    fn unpack_blob(
        &self,
        tar: &[u8],
        blob: &[u8],
        compression: Compression,
        limits: &UnpackLimits,
    ) -> Result<()> {
        let path = self.0.path().join("blob");
        fs::write(&path, blob).unwrap();
        let blob = File::open(&path).unwrap();
        unpack(
            blob,
            compression,
            &digest_bytes(tar),
            &self.target(),
            limits,
        )
    }
    fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["target", "outside", "blob"].contains(&name.as_str()))
            .collect();
        assert_eq!(names, Vec::<String>::new(), "beside the target");
        let outside: Vec<_> = fs::read_dir(self.outside()).unwrap().collect();
        assert_eq!(outside.len(), 1, "something was made outside");
        let secret = self.outside().join("secret");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
        assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
    }
}

/// A layer that must be refused, with a word that the refusal says.
fn refused(tar: Tar, word: &str) {
    refused_within(tar, word, &UNPACK_LIMITS);
}

fn refused_within(tar: Tar, word: &str, limits: &UnpackLimits) {
    let place = Place::new();
    let error = place.unpack(&tar.end(), limits).unwrap_err();
    assert_eq!(error.fault, Fault::Invalid, "{error}");
    assert!(error.to_string().contains(word), "{error}");
    place.assert_outside_untouched();
}

fn unpacked(tar: Tar) -> Place {
    let place = Place::new();
    place.unpack(&tar.end(), &UNPACK_LIMITS).unwrap();
    place.assert_outside_untouched();
    place
}

#[test]
fn ways_up_are_refused() {
    let out = "leads out of the layer";
    refused(Tar::default().file("../evil", "x"), out);
    refused(Tar::default().file("a/../../evil", "x"), out);
    refused(Tar::default().directory("a/.."), out);
    refused(
        Tar::default()
            .records(&[("path", b"../evil")])
            .file("a", "x"),
        out,
    );
    refused(
        Tar::default()
            .entry(b'L', "l", "", b"../evil\0")
            .file("a", "x"),
        out,
    );
    refused(Tar::default().file("/tmp/evil", "x"), "absolute");
    refused(Tar::default().file("../.wh.secret", ""), out);
}

#[test]
fn a_link_is_never_a_way() {
    let below = "not a directory";
    let link = || Tar::default().symlink("link", "../outside");
    refused(link().file("link/evil", "x"), below);
    refused(link().directory("link/evil"), below);
    refused(link().file("link/.wh.secret", ""), below);
    refused(link().file("link/.wh..wh..opq", ""), below);
    refused(link().file("link/a/b", "x"), below);
    refused(link().hard_link("mine", "link/secret"), below);
    refused(
        Tar::default().symlink("link", "/").file("link/evil", "x"),
        below,
    );
    // Also when the directory was there before, and when the link is deeper.
    refused(
        Tar::default()
            .directory("d")
            .symlink("d/l", "..")
            .file("d/l/x/y", "x"),
        below,
    );
}

#[test]
fn a_file_over_a_link_replaces_the_link() {
    let place = unpacked(
        Tar::default()
            .symlink("a", "../outside/secret")
            .file("a", "mine"),
    );
    let a = place.target().join("a");
    assert!(fs::symlink_metadata(&a).unwrap().is_file());
    assert_eq!(fs::read_to_string(a).unwrap(), "mine");
}

#[test]
fn a_directory_over_a_link_replaces_the_link() {
    let place = unpacked(
        Tar::default()
            .symlink("a", "../outside")
            .directory("a")
            .file("a/b", "mine"),
    );
    assert!(place.target().join("a/b").is_file());
}

#[test]
fn hard_links_stay_in_the_layer() {
    refused(
        Tar::default().hard_link("a", "../outside/secret"),
        "leads out",
    );
    refused(Tar::default().hard_link("a", "/etc/passwd"), "absolute");
    refused(
        Tar::default().hard_link("a", "nothing"),
        "nothing in the layer",
    );
    refused(
        Tar::default().hard_link("a", "no/thing"),
        "nothing in the layer",
    );
    refused(
        Tar::default().directory("d").hard_link("a", "d"),
        "directory",
    );
    let place = unpacked(Tar::default().file("a", "x").hard_link("b", "a"));
    assert_eq!(fs::metadata(place.target().join("b")).unwrap().nlink(), 2);
    // A hard link to a symbolic link is that link, not what it leads to.
    let place = unpacked(
        Tar::default()
            .symlink("l", "../outside/secret")
            .hard_link("m", "l"),
    );
    assert!(place.target().join("m").is_symlink());
}

#[test]
fn devices_are_refused() {
    refused(
        Tar::default().entry(b'3', "dev/mem", "", b""),
        "device node",
    );
    refused(
        Tar::default().entry(b'4', "dev/sda", "", b""),
        "device node",
    );
}

#[test]
fn strange_entries_are_refused() {
    refused(Tar::default().entry(b'S', "a", "", b""), "sparse");
    refused(Tar::default().entry(b'Z', "a", "", b""), "unknown type");
    refused(
        Tar::default()
            .records(&[("GNU.sparse.major", b"1")])
            .file("a", "x"),
        "sparse",
    );
    refused(
        Tar::default()
            .records(&[("uid", b"4294967295")])
            .file("a", "x"),
        "impossible id",
    );
    refused(
        Tar::default().directory("d").file("d", "x"),
        "directory before",
    );
}

#[test]
fn names_are_bounded() {
    let long = format!("{}\0", "a/".repeat(3000));
    refused(
        Tar::default()
            .entry(b'L', "l", "", long.as_bytes())
            .file("a", "x"),
        "more than 4095 bytes",
    );
    let component = format!("{}\0", "a".repeat(300));
    refused(
        Tar::default()
            .entry(b'L', "l", "", component.as_bytes())
            .file("a", "x"),
        "too long a name",
    );
    let huge = vec![b'a'; 2 << 20];
    refused(
        Tar::default().entry(b'L', "l", "", &huge).file("a", "x"),
        "extension header",
    );
}

#[test]
fn an_announced_size_takes_no_memory() {
    // The header promises 8 GiB less one byte of a name, and nothing comes.
    let mut tar = Tar::default().entry(b'L', "l", "", b"");
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..512].copy_from_slice(&tar.0[..512]);
    header.set_size((8 << 30) - 1);
    header.set_cksum();
    tar.0[..512].copy_from_slice(header.as_bytes());
    refused(tar, "extension header");
}

#[test]
fn entries_and_bytes_are_bounded() {
    let few = UnpackLimits {
        entries_max: 2,
        ..UNPACK_LIMITS
    };
    let three = Tar::default().file("a", "").file("b", "").file("c", "");
    refused_within(three, "more than 2 entries", &few);
    let small = UnpackLimits {
        bytes_max: 2000,
        ..UNPACK_LIMITS
    };
    let large = Tar::default().entry(b'0', "a", "", &[1; 4000]);
    refused_within(large, "more than 2000 bytes", &small);
}

#[test]
fn a_bomb_stops_early() {
    let tar = Tar::default()
        .entry(b'0', "zeros", "", &vec![0; 20 << 20])
        .end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&tar).unwrap();
    let bombs = [
        (gzip.finish().unwrap(), Compression::Gzip),
        (
            zstd::encode_all(tar.as_slice(), 3).unwrap(),
            Compression::Zstd,
        ),
    ];
    let limits = UnpackLimits {
        ratio_free_bytes: 1 << 20,
        ..UNPACK_LIMITS
    };
    for (blob, compression) in bombs {
        let place = Place::new();
        let result = place.unpack_blob(&tar, &blob, compression, &limits);
        let error = result.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid);
        assert!(error.to_string().contains("compressed size"), "{error}");
        let written = fs::metadata(place.target().join("zeros")).unwrap().len();
        assert!(written <= 6 << 20, "{written} bytes were written");
    }
}

#[test]
fn damage_is_found() {
    let whole = Tar::default().file("a", &"x".repeat(2000)).end();
    let damaged = |tar: &[u8], word: &str| {
        let place = Place::new();
        let error = place.unpack(tar, &UNPACK_LIMITS).unwrap_err();
        assert_eq!(error.fault, Fault::Invalid);
        assert!(error.to_string().contains(word), "{error}");
    };
    damaged(&whole[..1000], "ends within a file");
    damaged(&whole[..300], "ends within a header");
    let mut flipped = whole.clone();
    flipped[3] ^= 1;
    damaged(&flipped, "checksum");
    let place = Place::new();
    let error = place
        .unpack_blob(&whole, &whole, Compression::Gzip, &UNPACK_LIMITS)
        .unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    let other = Tar::default().file("b", "y").end();
    let error = place
        .unpack_blob(&other, &whole, Compression::None, &UNPACK_LIMITS)
        .unwrap_err();
    assert!(error.to_string().contains("configuration says"), "{error}");
}

#[test]
fn no_garbage_breaks_it() {
    // A damaged byte at any of many places gives an answer, not a crash or an escape.
    let tar = Tar::default()
        .records(&[("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"b\nc")])
        .symlink("l", "../outside")
        .file("d/f", "content")
        .end();
    for at in (0..tar.len() - 1024).step_by(3) {
        let mut damaged = tar.clone();
        damaged[at] = damaged[at].wrapping_add(1);
        let place = Place::new();
        let _ = place.unpack(&damaged, &UNPACK_LIMITS);
        place.assert_outside_untouched();
    }
}

#[test]
fn attributes_arrive() {
    let mut capability = vec![1, 0, 0, 2, 0, 4, 0, 0];
    // Network raw access permitted; the value holds a line feed byte elsewhere.
    capability.extend_from_slice(&[0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let records: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.security.capability", &capability),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/evil"),
        ("mtime", b"1500000000.25"),
        ("uid", b"100000"),
    ];
    let mut tar = Tar::default()
        .directory("./")
        .directory("d")
        .records(&records)
        .file("d/f", "content");
    let at = tar.0.len() - 1024;
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&tar.0[at..at + 512]);
    header.set_mode(0o4755);
    header.set_cksum();
    tar.0[at..at + 512].copy_from_slice(header.as_bytes());
    let place = unpacked(tar);
    let file = place.target().join("d/f");
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o4755);
    assert_eq!((metadata.uid(), metadata.gid()), (100_000, 8));
    assert_eq!(metadata.mtime(), 1_500_000_000);
    assert_eq!(metadata.mtime_nsec(), 250_000_000);
    assert_eq!(xattr(&file, "security.capability"), Some(capability));
    assert_eq!(xattr(&file, "trusted.overlay.redirect"), None);
    for directory in ["", "d"] {
        let metadata = fs::metadata(place.target().join(directory)).unwrap();
        assert_eq!(metadata.mtime(), 1_000_000_000, "`{directory}`");
        assert_eq!(metadata.uid(), 7);
    }
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 100];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn whiteouts_become_what_overlays_read() {
    let place = unpacked(
        Tar::default()
            .file("d/.wh.gone", "")
            .file("d/.wh..wh..opq", "")
            .file("d/.wh..wh.plnk", "")
            .file("kept", "x")
            .file(".wh.kept", "")
            .file(".wh.again", "")
            .file("again", "y")
            .file(".wh.folder", "")
            .directory("folder"),
    );
    let at = |path: &str| place.target().join(path);
    let gone = fs::symlink_metadata(at("d/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(xattr(&at("d"), "trusted.overlay.opaque").unwrap(), b"y");
    assert!(!at("d/.wh..wh.plnk").exists());
    assert!(at("kept").is_file() && at("again").is_file());
    let folder = xattr(&at("folder"), "trusted.overlay.opaque");
    assert_eq!(folder.unwrap(), b"y");
    refused(Tar::default().file(".wh...", ""), "removes nothing");
}

#[test]
fn compressed_layers_unpack() {
    let tar = Tar::default().file("a/b/c", "deep").end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar[..700]).unwrap();
    let mut members = gzip.finish().unwrap();
    let mut second = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    second.write_all(&tar[700..]).unwrap();
    members.extend(second.finish().unwrap());
    let zstd = zstd::encode_all(tar.as_slice(), 3).unwrap();
    for (blob, compression) in [(members, Compression::Gzip), (zstd, Compression::Zstd)] {
        let place = Place::new();
        place
            .unpack_blob(&tar, &blob, compression, &UNPACK_LIMITS)
            .unwrap();
        let content = fs::read_to_string(place.target().join("a/b/c"));
        assert_eq!(content.unwrap(), "deep");
    }
}

#[test]
fn media_types_say_the_compression() {
    let check = |media_type: &str, expected| {
        assert_eq!(Compression::of(media_type).ok(), expected, "{media_type}");
    };
    check(
        "application/vnd.oci.image.layer.v1.tar",
        Some(Compression::None),
    );
    check(
        "application/vnd.oci.image.layer.v1.tar+zstd",
        Some(Compression::Zstd),
    );
    check(
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        Some(Compression::Gzip),
    );
    check("application/vnd.oci.image.layer.v1.tar+encrypted", None);
    check("text/plain", None);
}
