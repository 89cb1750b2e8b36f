//! `user:group` as numbers, by the `/etc/passwd` and `/etc/group` of the image that is being built.

use std::io::Read;
use std::path::Path;

use engine::{EngineError, Result};

use crate::limits::PASSWD_BYTES_MAX;
use crate::place::During;
use crate::tree::Tree;

/// The owner that `text` names. A number is its own; a name without a group brings its group along. A
/// user that the image does not know is root, and a group that it does not know is the user's, as BuildKit has it.
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
            None => group_by_name(group, image)?.unwrap_or(own_gid),
        },
    };
    Ok((uid, gid))
}

fn number(text: &str) -> Option<u64> {
    text.parse::<u32>().ok().map(u64::from)
}

fn user_by_name(name: &str, image: &Tree) -> Result<(u64, u64)> {
    if matches!(name, "" | "root") {
        return Ok((0, 0));
    }
    let file = read(image, "etc/passwd", name)?;
    let found = fields_of(&file, name);
    let ids = found.and_then(|it| Some((number(it.get(2)?)?, number(it.get(3)?)?)));
    Ok(ids.unwrap_or_default())
}

fn group_by_name(name: &str, image: &Tree) -> Result<Option<u64>> {
    if name == "root" {
        return Ok(Some(0));
    }
    let file = read(image, "etc/group", name)?;
    let found = fields_of(&file, name);
    Ok(found.and_then(|it| number(it.get(2)?)))
}

fn fields_of<'a>(file: &'a str, name: &str) -> Option<Vec<&'a str>> {
    file.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name)
}

/// Nobody is known where there is nothing at all.
fn read(image: &Tree, path: &str, name: &str) -> Result<String> {
    if image.is_nothing() {
        return Err(EngineError::invalid(format!(
            "there is no `/{path}` yet that could know `{name}`; name a number instead"
        )));
    }
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
