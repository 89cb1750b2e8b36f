//! Who a container runs as: `user[:group]`, each a number or a name of the image's own lists.

use super::Root;
use crate::error::{Failure, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    /// All groups that it is in, its own first: who has given up a group's rights is told by its not being
    /// there.
    pub groups: Vec<u32>,
    pub home: String,
}

/// `name:password:uid:gid:comment:home:shell`
struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// `name:password:gid:members`
struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: Vec<&'a str>,
}

pub(crate) fn find_user(root: &Root, text: &str) -> Result<User> {
    let passwd = root.read("/etc/passwd")?.unwrap_or_default();
    let group = root.read("/etc/group")?.unwrap_or_default();
    resolve(text, &passwd, &group)
}

/// Further groups, each a number or a name.
pub(crate) fn find_groups(root: &Root, texts: &[String]) -> Result<Vec<u32>> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let group = root.read("/etc/group")?.unwrap_or_default();
    texts.iter().map(|text| find_group(text, &group)).collect()
}

fn resolve(text: &str, passwd: &str, group: &str) -> Result<User> {
    let (user, group_text) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let entry = passwd_entries(passwd)
        .find(|entry| entry.name == user)
        .or_else(|| passwd_entries(passwd).find(|entry| Some(entry.uid) == number));
    let uid = entry.as_ref().map(|entry| entry.uid).or(number);
    let uid = uid.ok_or_else(|| {
        Failure(format!(
            "unable to find user {user}: no matching entries in passwd file"
        ))
    })?;
    let gid = match group_text {
        Some(text) if !text.is_empty() => find_group(text, group)?,
        _ => entry.as_ref().map_or(0, |entry| entry.gid),
    };
    let name = entry.as_ref().map_or("", |entry| entry.name);
    // An explicit group replaces the lists' ones.
    let mut groups = vec![gid];
    if group_text.is_none() && !name.is_empty() {
        let of_user = |entry: &GroupEntry| entry.members.contains(&name) && entry.gid != gid;
        groups.extend(group_entries(group).filter(of_user).map(|it| it.gid));
    }
    let home = entry.map_or("/", |entry| entry.home);
    Ok(User {
        uid,
        gid,
        groups,
        home: if home.is_empty() { "/" } else { home }.to_owned(),
    })
}

fn find_group(text: &str, group: &str) -> Result<u32> {
    let named = group_entries(group).find(|entry| entry.name == text);
    named
        .map(|entry| entry.gid)
        .or_else(|| text.parse().ok())
        .ok_or_else(|| {
            Failure(format!(
                "unable to find group {text}: no matching entries in group file"
            ))
        })
}

fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("");
        Some(PasswdEntry {
            name,
            uid,
            gid,
            home,
        })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or("").split(',').collect();
        Some(GroupEntry { name, gid, members })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbad line\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nvideo:x:44:app,other\n";

    fn check(text: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let expected = User {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
        };
        assert_eq!(resolve(text, PASSWD, GROUP).unwrap(), expected, "{text}");
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        check("", 0, 0, &[0], "/root");
        check("app", 1000, 1001, &[1001, 44], "/home/app");
        check("1000", 1000, 1001, &[1001, 44], "/home/app");
        check("app:video", 1000, 44, &[44], "/home/app");
        check("4321:55", 4321, 55, &[55], "/");
        check("4321", 4321, 0, &[0], "/");
    }

    #[test]
    fn unknown_names_are_refused() {
        let error = resolve("nobody", PASSWD, GROUP).unwrap_err();
        assert!(error.0.contains("unable to find user nobody"));
        let error = resolve("app:nogroup", PASSWD, GROUP).unwrap_err();
        assert!(error.0.contains("unable to find group nogroup"));
    }
}
