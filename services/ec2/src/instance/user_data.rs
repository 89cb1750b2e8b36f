//! What an instance is told to do at its first boot, in the forms of cloud-init: a script (`#!`),
//! `#cloud-boothook`, `#cloud-config`, a MIME message of several of them, and any of it compressed. Pure.
//! What is not carried out is refused by name; what cloud-init does not know it leaves alone, and so does
//! this. <https://cloudinit.readthedocs.io/en/latest/explanation/format.html>

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

/// What an instance may be given (EC2 User Guide: 16 KB before it is encoded).
pub const BYTES_MAX: usize = 16 * 1024;
/// What becomes of it when it is unpacked: more would be a bomb.
const UNPACKED_BYTES_MAX: u64 = 1 << 20;
/// Parts of one message.
const PARTS_MAX: usize = 64;

/// What is to be done, in the order of its kinds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserData {
    /// Run at every boot.
    pub boot_hooks: Vec<Vec<u8>>,
    pub boot_commands: Vec<String>,
    pub files: Vec<FileToWrite>,
    pub updates_packages: bool,
    pub upgrades_packages: bool,
    /// As the distribution's own program takes them.
    pub packages: Vec<String>,
    pub scripts: Vec<Vec<u8>>,
    /// Lines of a shell.
    pub run_commands: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileToWrite {
    pub path: String,
    pub content: Vec<u8>,
    /// Octal digits.
    pub permissions: Option<String>,
    pub owner: Option<String>,
    pub appends: bool,
}

pub fn parse(bytes: &[u8]) -> Result<UserData, String> {
    let mut out = UserData::default();
    take(&mut out, bytes, 0)?;
    Ok(out)
}

fn take(out: &mut UserData, bytes: &[u8], depth: usize) -> Result<(), String> {
    if bytes.starts_with(&[0x1f, 0x8b]) && depth == 0 {
        return take(out, &unpack(bytes)?, depth + 1);
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start();
    let begins = |word: &str| text.starts_with(word);
    if begins("#!") {
        out.scripts.push(text.as_bytes().to_vec());
    } else if begins("#cloud-boothook") {
        let script = text.split_once('\n').map_or("", |it| it.1);
        out.boot_hooks.push(script.as_bytes().to_vec());
    } else if begins("#cloud-config-archive") {
        return Err("#cloud-config-archive".to_owned());
    } else if begins("#cloud-config") {
        return config(out, text);
    } else if begins("Content-Type:") || begins("MIME-Version:") || begins("From ") {
        return message(out, bytes, depth);
    }
    for unbuilt in ["#include", "#part-handler", "## template:"] {
        if begins(unbuilt) {
            return Err(unbuilt.to_owned());
        }
    }
    Ok(())
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let limit = UNPACKED_BYTES_MAX + 1;
    let read = flate2::read::MultiGzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut unpacked);
    read.map_err(|error| format!("what is not gzip ({error})"))?;
    match unpacked.len() as u64 > UNPACKED_BYTES_MAX {
        true => Err("more than 1 MiB when it is unpacked".to_owned()),
        false => Ok(unpacked),
    }
}

/// Each part is what its own content type says, or, where that is plain text, what it looks like.
fn message(out: &mut UserData, bytes: &[u8], depth: usize) -> Result<(), String> {
    if depth > 1 {
        return Err("a MIME message in a MIME message".to_owned());
    }
    let parsed = mail_parser::MessageParser::default().parse(bytes);
    let parsed = parsed.ok_or("a MIME message that cannot be read")?;
    if parsed.parts.len() > PARTS_MAX {
        return Err(format!("more than {PARTS_MAX} MIME parts"));
    }
    for part in &parsed.parts {
        use mail_parser::MimeHeaders;
        let kind = part.content_type();
        let kind = kind.map(|it| format!("{}/{}", it.ctype(), it.subtype().unwrap_or_default()));
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        if kind.starts_with("multipart/") {
            continue;
        }
        let content = part.contents();
        match kind.as_str() {
            "text/x-shellscript" => out.scripts.push(content.to_vec()),
            "text/cloud-config" => config(out, &String::from_utf8_lossy(content))?,
            "text/cloud-boothook" => out.boot_hooks.push(content.to_vec()),
            "text/plain" | "" | "application/octet-stream" | "text/x-not-multipart" => {
                take(out, content, depth + 1)?;
            }
            other => return Err(format!("MIME parts of the type {other}")),
        }
    }
    Ok(())
}

fn config(out: &mut UserData, text: &str) -> Result<(), String> {
    let node = template::read_yaml(text).map_err(|error| format!("this #cloud-config: {error}"))?;
    let json = node.to_json();
    let members = match &json {
        Json::Object(members) => members,
        Json::Null => return Ok(()),
        _ => return Err("a #cloud-config that is no mapping".to_owned()),
    };
    for (name, value) in members {
        match name.as_str() {
            "bootcmd" => out.boot_commands.extend(commands(name, value)?),
            "runcmd" => out.run_commands.extend(commands(name, value)?),
            "write_files" => {
                for file in list(name, value)? {
                    out.files.push(file_to_write(file)?);
                }
            }
            "packages" => {
                for package in list(name, value)? {
                    out.packages.push(package_name(package)?);
                }
            }
            "package_update" | "repo_update" | "apt_update" => {
                out.updates_packages |= flag(name, value)?;
            }
            "package_upgrade" | "repo_upgrade" | "apt_upgrade" => {
                out.upgrades_packages |= flag(name, value)?;
            }
            other => return Err(format!("`{other}` in #cloud-config")),
        }
    }
    Ok(())
}

fn list<'a>(name: &str, value: &'a Json) -> Result<&'a Vec<Json>, String> {
    (value.as_array()).ok_or_else(|| format!("`{name}` in #cloud-config that is no list"))
}

fn flag(name: &str, value: &Json) -> Result<bool, String> {
    match value {
        Json::Bool(flag) => Ok(*flag),
        Json::String(text) => Ok(["true", "yes", "on", "1"].contains(&text.as_str())),
        _ => Err(format!("`{name}` in #cloud-config that is no boolean")),
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A text is a line of the shell; a list is a command's words.
fn commands(name: &str, value: &Json) -> Result<Vec<String>, String> {
    let one = |it: &Json| -> Option<String> {
        match it {
            Json::Array(words) => {
                let words: Option<Vec<String>> = words.iter().map(scalar).collect();
                Some(
                    words?
                        .iter()
                        .map(|it| quoted(it))
                        .collect::<Vec<_>>()
                        .join(" "),
                )
            }
            other => scalar(other),
        }
    };
    let all: Option<Vec<String>> = list(name, value)?.iter().map(one).collect();
    all.ok_or_else(|| format!("`{name}` in #cloud-config with what is neither a text nor a list"))
}

/// A name, or a list of a name and a version.
fn package_name(value: &Json) -> Result<String, String> {
    let words: Vec<String> = match value {
        Json::Array(words) => words.iter().filter_map(scalar).collect(),
        other => scalar(other).into_iter().collect(),
    };
    match &words[..] {
        [name] => Ok(name.clone()),
        [name, version] => Ok(format!("{name}={version}")),
        _ => Err("`packages` in #cloud-config with what is no name".to_owned()),
    }
}

fn file_to_write(value: &Json) -> Result<FileToWrite, String> {
    let members = value.as_object();
    let members = members.ok_or("`write_files` in #cloud-config with what is no mapping")?;
    let mut file = FileToWrite::default();
    let mut encoding = String::new();
    for (name, value) in members {
        let wrong = || format!("`write_files.{name}` in #cloud-config");
        match name.as_str() {
            "path" => file.path = scalar(value).ok_or_else(wrong)?,
            "content" => file.content = scalar(value).ok_or_else(wrong)?.into_bytes(),
            "permissions" => file.permissions = Some(permissions(value).ok_or_else(wrong)?),
            "owner" => file.owner = Some(scalar(value).ok_or_else(wrong)?),
            "append" => file.appends = flag(name, value)?,
            "encoding" => encoding = scalar(value).ok_or_else(wrong)?,
            // All are written before packages come here.
            "defer" if !flag(name, value)? => {}
            _ => return Err(wrong()),
        }
    }
    if !file.path.starts_with('/') {
        return Err(format!("`write_files` to the path `{}`", file.path));
    }
    file.content = decode(&encoding, file.content)?;
    Ok(file)
}

fn permissions(value: &Json) -> Option<String> {
    let text = scalar(value)?;
    let digits = text.strip_prefix("0o").unwrap_or(&text).to_owned();
    let is_octal =
        (1..=5).contains(&digits.len()) && digits.bytes().all(|it| (b'0'..=b'7').contains(&it));
    is_octal.then_some(digits)
}

fn decode(encoding: &str, content: Vec<u8>) -> Result<Vec<u8>, String> {
    let from_base64 = |content: Vec<u8>| {
        let plain: Vec<u8> = content
            .into_iter()
            .filter(|it| !it.is_ascii_whitespace())
            .collect();
        let decoded = BASE64.decode(plain);
        decoded.map_err(|_| "`write_files.content` that is not base64".to_owned())
    };
    match encoding {
        "" | "text/plain" => Ok(content),
        "b64" | "base64" => from_base64(content),
        "gz" | "gzip" => unpack(&content),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => unpack(&from_base64(content)?),
        other => Err(format!("`write_files.encoding: {other}` in #cloud-config")),
    }
}

/// A text as one word of a shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_what_nobody_knows_are_told_apart() {
        let script = parse(b"#!/bin/bash\necho one\n").unwrap();
        assert_eq!(script.scripts, [b"#!/bin/bash\necho one\n"]);
        assert_eq!(parse(b"just words").unwrap(), UserData::default());
        assert_eq!(parse(b"").unwrap(), UserData::default());
        let hook = parse(b"#cloud-boothook\n#!/bin/sh\ntrue\n").unwrap();
        assert_eq!(hook.boot_hooks, [b"#!/bin/sh\ntrue\n"]);
        for unbuilt in [
            "#include\nhttp://x",
            "#part-handler\n",
            "#cloud-config-archive\n",
        ] {
            assert!(parse(unbuilt.as_bytes()).is_err(), "{unbuilt}");
        }
    }

    #[test]
    fn a_configuration_is_read_whole_or_refused_by_name() {
        let text = "#cloud-config\npackage_update: true\npackages:\n  - nginx\n  - [jq, '1.6']\n\
            write_files:\n  - path: /etc/a\n    content: aGVsbG8=\n    encoding: b64\n    permissions: '0640'\n    owner: root:adm\n\
            runcmd:\n  - echo \"$HOME\" > /x\n  - [touch, /a b]\nbootcmd:\n  - date\n";
        let read = parse(text.as_bytes()).unwrap();
        assert!(read.updates_packages && !read.upgrades_packages);
        assert_eq!(read.packages, ["nginx", "jq=1.6"]);
        assert_eq!(read.run_commands, ["echo \"$HOME\" > /x", "'touch' '/a b'"]);
        assert_eq!(read.boot_commands, ["date"]);
        let file = FileToWrite {
            path: "/etc/a".into(),
            content: b"hello".to_vec(),
            permissions: Some("0640".into()),
            owner: Some("root:adm".into()),
            appends: false,
        };
        assert_eq!(read.files, [file]);
        let refused = parse(b"#cloud-config\nusers: [default]\n").unwrap_err();
        assert_eq!(refused, "`users` in #cloud-config");
        assert!(parse(b"#cloud-config\nruncmd: {a: 1}\n").is_err());
        assert!(parse(b"#cloud-config\nwrite_files: [{path: a}]\n").is_err());
    }

    #[test]
    fn a_message_has_parts() {
        let text = "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\n\
            Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/sh\necho one\n--B\n\
            Content-Type: text/cloud-config\n\nruncmd: [date]\n--B--\n";
        let read = parse(text.as_bytes()).unwrap();
        assert_eq!(read.scripts.len(), 1, "{read:?}");
        assert!(
            read.scripts[0].starts_with(b"#!/bin/sh\necho one"),
            "{read:?}"
        );
        assert_eq!(read.run_commands, ["date"]);
        let odd = text.replace("text/cloud-config", "text/jinja2");
        assert_eq!(
            parse(odd.as_bytes()).unwrap_err(),
            "MIME parts of the type text/jinja2"
        );
    }
}
