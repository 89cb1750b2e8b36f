//! What is asked of file systems in memory: `--tmpfs`, and mounts of the type `tmpfs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::record::{HostConfig, MountRequest};
use crate::answer::Refusal;

/// Options without a value, as docker takes them.
const FLAGS: [&str; 14] = [
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "strictatime",
];
/// Options with one.
const VALUES: [&str; 6] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];

/// Where they are.
pub fn paths(host: &HostConfig) -> Vec<PathBuf> {
    let mounts = of_mounts(host).map(|it| it.target.clone());
    let all = host.tmpfs.keys().cloned().chain(mounts);
    all.map(PathBuf::from).collect()
}

/// The options of each that has some.
pub fn options(host: &HostConfig) -> BTreeMap<PathBuf, Vec<String>> {
    let words = |text: &String| -> Vec<String> {
        let words = text.split(',').filter(|it| !it.is_empty());
        words.map(str::to_owned).collect()
    };
    let plain = host.tmpfs.iter().map(|(path, text)| (path, words(text)));
    let mounts = of_mounts(host).map(|it| (&it.target, of_mount(it)));
    let all = plain.chain(mounts).filter(|it| !it.1.is_empty());
    all.map(|(path, options)| (PathBuf::from(path), options))
        .collect()
}

pub fn check(host: &HostConfig) -> Result<(), Refusal> {
    for option in options(host).values().flatten() {
        let known = match option.split_once('=') {
            Some((name, value)) => VALUES.contains(&name) && is_value(value),
            None => FLAGS.contains(&option.as_str()),
        };
        if !known {
            return Err(Refusal::bad(format!("invalid tmpfs option \"{option}\"")));
        }
    }
    Ok(())
}

/// A number, with a unit or as a share of the memory.
fn is_value(text: &str) -> bool {
    let digits = text.trim_end_matches(|it: char| "kKmMgG%".contains(it));
    let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    is_number && text.len() - digits.len() <= 1
}

fn of_mounts(host: &HostConfig) -> impl Iterator<Item = &MountRequest> {
    host.mounts.iter().filter(|it| it.kind == "tmpfs")
}

fn of_mount(mount: &MountRequest) -> Vec<String> {
    let asked = &mount.tmpfs_options;
    let mut options: Vec<String> = asked.options.iter().map(|it| it.join("=")).collect();
    if asked.size_bytes > 0 {
        options.push(format!("size={}", asked.size_bytes));
    }
    if asked.mode > 0 {
        options.push(format!("mode={:o}", asked.mode));
    }
    if mount.read_only {
        options.push("ro".to_owned());
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_are_dockers() {
        let host = |value| serde_json::from_value::<HostConfig>(value).unwrap();
        let asked = host(json!({
            "Tmpfs": { "/a": "", "/b": "rw,exec,size=64m,mode=1770,uid=5" },
            "Mounts": [
                { "Type": "tmpfs", "Target": "/c", "ReadOnly": true,
                  "TmpfsOptions": { "SizeBytes": 1024, "Mode": 448, "Options": [["exec"]] } },
                { "Type": "volume", "Target": "/d" },
            ],
        }));
        check(&asked).unwrap();
        assert_eq!(paths(&asked), ["/a", "/b", "/c"].map(PathBuf::from));
        let options = options(&asked);
        assert_eq!(options.len(), 2);
        let of = |path: &str| options[&PathBuf::from(path)].join(",");
        assert_eq!(of("/b"), "rw,exec,size=64m,mode=1770,uid=5");
        assert_eq!(of("/c"), "exec,size=1024,mode=700,ro");
        for wrong in [
            "size=",
            "size=1mm",
            "upperdir=/x",
            "bind",
            "mode=1,x=2",
            "size=1\n",
        ] {
            let asked = host(json!({ "Tmpfs": { "/a": wrong } }));
            assert!(check(&asked).is_err(), "{wrong}");
        }
    }
}
