//! `user:group` as numbers, by the `/etc/passwd` and `/etc/group` of the image that is being built.

use std::io::Read;
use std::path::Path;

use engine::{EngineError, Result};

use crate::limits::PASSWD_BYTES_MAX;
use crate::place::During;
use crate::tree::Tree;

/// The owner that `text` names. A number is its own; a name without a group brings its group along.
pub fn resolve(text: &str, image: &Tree) -> Result<(u64, u64)> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let (uid, own_gid) = match number(user) {
        Some(uid) => (uid, uid),
        None => user_by_name(user, image)?,
    };
    let gid = match group {
        None | Some("") => own_gid,
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => group_by_name(group, image)?,
        },
    };
    Ok((uid, gid))
}

fn number(text: &str) -> Option<u64> {
    text.parse::<u32>().ok().map(u64::from)
}

fn user_by_name(name: &str, image: &Tree) -> Result<(u64, u64)> {
    if name == "root" {
        return Ok((0, 0));
    }
    let file = read(image, "etc/passwd")?;
    fields_of(&file, name)
        .and_then(|fields| Some((number(fields.get(2)?)?, number(fields.get(3)?)?)))
        .ok_or_else(|| {
            EngineError::invalid(format!("the image's `/etc/passwd` has no user `{name}`"))
        })
}

fn group_by_name(name: &str, image: &Tree) -> Result<u64> {
    if name == "root" {
        return Ok(0);
    }
    let file = read(image, "etc/group")?;
    fields_of(&file, name)
        .and_then(|fields| number(fields.get(2)?))
        .ok_or_else(|| {
            EngineError::invalid(format!("the image's `/etc/group` has no group `{name}`"))
        })
}

fn fields_of<'a>(file: &'a str, name: &str) -> Option<Vec<&'a str>> {
    file.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name)
}

fn read(image: &Tree, path: &str) -> Result<String> {
    let Some(node) = image
        .find(Path::new(path))?
        .filter(|node| node.metadata.is_file())
    else {
        return Ok(String::new());
    };
    let mut bytes = Vec::new();
    image
        .open(&node)?
        .take(PASSWD_BYTES_MAX)
        .read_to_end(&mut bytes)
        .during(|| format!("cannot read `/{path}` of the image"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
