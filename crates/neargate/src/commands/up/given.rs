//! What a Dockerfile's steps are given that is in no image: secrets, and SSH agents.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use engine::BuildSecret;

/// As much as BuildKit takes: a secret is a password or a key.
const SECRET_BYTES_MAX: usize = 500 * 1024;

/// Reads a variable of the environment; `None` when it is not set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `id=NAME,src=FILE`, `id=NAME,env=VARIABLE`, or `id=NAME` for the variable of that name.
pub fn secrets(
    texts: &[String],
    environment: Environment<'_>,
) -> Result<BTreeMap<String, BuildSecret>> {
    texts.iter().map(|text| secret(text, environment)).collect()
}

fn secret(text: &str, environment: Environment<'_>) -> Result<(String, BuildSecret)> {
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) if !value.is_empty() => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(value.to_owned()),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file" | "env")) => {}
            _ => bail!(
                "`--secret {text}` holds `{field}`; write `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`"
            ),
        }
    }
    let id = id.with_context(|| format!("`--secret {text}` has no `id`"))?;
    let bytes = match (file, variable) {
        (Some(_), Some(_)) => bail!("`--secret {text}` takes `src` or `env`, and not both"),
        (Some(file), None) => read(&file)?,
        (None, variable) => {
            let name = variable.unwrap_or_else(|| id.clone());
            let value = environment(&name);
            let value = value.with_context(|| {
                format!("the secret `{id}` is to come from the variable `{name}`, which is not set")
            })?;
            value.into_bytes()
        }
    };
    if bytes.len() > SECRET_BYTES_MAX {
        bail!("the secret `{id}` is larger than {SECRET_BYTES_MAX} bytes");
    }
    Ok((id, BuildSecret(bytes)))
}

fn read(path: &str) -> Result<Vec<u8>> {
    let failed = || format!("cannot read the secret in `{path}`");
    let mut bytes = Vec::new();
    // One byte more than allowed, so that too much is noticed.
    File::open(path)
        .with_context(failed)?
        .take(SECRET_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    Ok(bytes)
}

/// `NAME=SOCKET`, or `NAME` for the socket that `SSH_AUTH_SOCK` names.
pub fn agents(texts: &[String], environment: Environment<'_>) -> Result<BTreeMap<String, PathBuf>> {
    let agent = |text: &String| {
        let (name, socket) = match text.split_once('=') {
            Some((name, socket)) => (name, Some(socket.to_owned())),
            None => (text.as_str(), environment("SSH_AUTH_SOCK")),
        };
        let socket = socket.filter(|it| !it.is_empty()).with_context(|| {
            format!("`--ssh {text}` needs an agent: start one with `ssh-agent`, or write `{name}=SOCKET`")
        })?;
        let path = std::path::absolute(&socket)?;
        let is_socket = std::fs::metadata(&path).is_ok_and(|it| it.file_type().is_socket());
        if !is_socket {
            bail!("`--ssh {text}`: `{socket}` is not the socket of an agent");
        }
        Ok((name.to_owned(), path))
    };
    texts.iter().map(agent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "hidden".to_owned())
    }

    #[test]
    fn secrets_come_from_files_and_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "of a file").unwrap();
        let of_file = format!("id=file,src={}", file.display());
        let texts = [of_file, "id=v,env=TOKEN".to_owned(), "id=TOKEN".to_owned()];
        let found = secrets(&texts, &variables).unwrap();
        let text = |id: &str| String::from_utf8(found[id].0.clone()).unwrap();
        assert_eq!(text("file"), "of a file");
        assert_eq!(
            (text("v").as_str(), text("TOKEN").as_str()),
            ("hidden", "hidden")
        );
        for (text, message) in [
            ("src=a", "has no `id`"),
            ("id=a,colour=red", "holds `colour=red`"),
            ("id=a,src=b,env=c", "takes `src` or `env`"),
            ("id=a", "the variable `a`, which is not set"),
            (
                "id=a,src=/none/of/it",
                "cannot read the secret in `/none/of/it`",
            ),
        ] {
            let error = secrets(&[text.to_owned()], &variables).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn an_agent_is_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let named = format!("own={}", socket.display());
        let of_environment = |_: &str| Some(socket.display().to_string());
        let found = agents(&[named, "default".to_owned()], &of_environment).unwrap();
        assert_eq!((&found["own"], &found["default"]), (&socket, &socket));
        let error = agents(&["default".to_owned()], &|_| None).unwrap_err();
        assert!(error.to_string().contains("needs an agent"), "{error}");
        let error = agents(&["own=/etc/passwd".to_owned()], &|_| None).unwrap_err();
        assert!(
            error.to_string().contains("is not the socket of an agent"),
            "{error}"
        );
    }
}
