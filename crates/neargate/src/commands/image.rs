//! `neargate image`: images that come from files, and what is there. It speaks to the daemon's
//! Docker socket, as docker's own client does.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::config::Config;
use crate::daemon;
use crate::say;

/// Pieces in which a file is sent.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Debug, Subcommand)]
pub enum Image {
    /// Make an image of a root file system (tar, .gz, .zst), or of what `docker save` wrote
    Import(Import),
    /// List images
    Ls,
    /// Remove images
    Rm {
        /// Names or ids
        #[arg(required = true)]
        images: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct Import {
    /// The archive
    file: PathBuf,
    /// What the image is called: `ruby:alpine`
    name: String,
    /// NAME=VALUE in the environment of its containers
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// What its containers run, a word at a time
    #[arg(long, num_args = 1.., value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// What stands before it
    #[arg(long, value_name = "WORD")]
    entrypoint: Vec<String>,
    /// Where its containers start
    #[arg(long, value_name = "DIR")]
    workdir: Option<String>,
    /// Who runs them
    #[arg(long)]
    user: Option<String>,
    /// A port that they listen on
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
}

impl Image {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        match self {
            Self::Import(it) => it.run(config).await?,
            Self::Ls => list(config).await?,
            Self::Rm { images } => {
                for image in images {
                    let path = format!("/images/{}", escaped(image));
                    ask(config, Method::DELETE, &path, None).await?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    /// As a Dockerfile's instructions, which is what the API takes.
    fn changes(&self) -> Vec<String> {
        let json = |words: &[String]| serde_json::json!(words).to_string();
        let quoted = |pair: &String| match pair.split_once('=') {
            Some((name, value)) => format!("ENV {name}=\"{value}\""),
            None => format!("ENV {pair}"),
        };
        let mut changes: Vec<String> = self.env.iter().map(quoted).collect();
        if !self.cmd.is_empty() {
            changes.push(format!("CMD {}", json(&self.cmd)));
        }
        if !self.entrypoint.is_empty() {
            changes.push(format!("ENTRYPOINT {}", json(&self.entrypoint)));
        }
        changes.extend(self.workdir.iter().map(|it| format!("WORKDIR {it}")));
        changes.extend(self.user.iter().map(|it| format!("USER {it}")));
        changes.extend(self.expose.iter().map(|it| format!("EXPOSE {it}")));
        changes
    }

    async fn run(&self, config: &Config) -> Result<()> {
        let open = || {
            let file = File::open(&self.file);
            file.with_context(|| format!("cannot open `{}`", self.file.display()))
        };
        let (repository, tag) = match self.name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (self.name.as_str(), "latest"),
        };
        // What is imported stands for the registry's image of that name, for builds as well.
        let place = format!("repo={}&tag={}&offer=1", escaped(repository), escaped(tag));
        let changes = self.changes();
        if !docker_api::holds_image(open()?).map_err(|error| anyhow!(error.chain()))? {
            let mut path = format!("/images/create?fromSrc=-&{place}");
            for change in &changes {
                path.push_str(&format!("&changes={}", escaped(change)));
            }
            ask(config, Method::POST, &path, Some(open()?)).await?;
        } else {
            if !changes.is_empty() {
                bail!(
                    "`{}` says itself how it is run: give no options",
                    self.file.display()
                );
            }
            let lines = ask(config, Method::POST, "/images/load", Some(open()?)).await?;
            let said = lines.iter().filter_map(|it| it["stream"].as_str());
            let loaded = said.filter_map(|it| it.trim().split_once(": ").map(|it| it.1));
            let loaded = loaded
                .reduce(|_, last| last)
                .context("the archive holds no image")?;
            let path = format!("/images/{}/tag?{place}", escaped(loaded));
            ask(config, Method::POST, &path, None).await?;
        }
        say::line(&self.name);
        Ok(())
    }
}

async fn list(config: &Config) -> Result<()> {
    let answer = ask(config, Method::GET, "/images/json", None).await?;
    let images = answer.into_iter().next().unwrap_or_default();
    if config.json {
        say::line(serde_json::to_string_pretty(&images)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", "ID", "SIZE"]);
    for image in images.as_array().into_iter().flatten() {
        let id = image["Id"].as_str().unwrap_or_default();
        let id = id
            .trim_start_matches("sha256:")
            .get(..12)
            .unwrap_or_default();
        let size = format!("{:.1} MB", image["Size"].as_f64().unwrap_or_default() / 1e6);
        let names = image["RepoTags"].as_array().into_iter().flatten();
        let mut names: Vec<&str> = names.filter_map(Value::as_str).collect();
        if names.is_empty() {
            names.push("<none>");
        }
        for name in names {
            table.add_row([name, id, &size]);
        }
    }
    say::line(table);
    Ok(())
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Sends a request to the daemon's socket. Returns what it answers, JSON by JSON; an error in it is
/// one here.
async fn ask(
    config: &Config,
    method: Method,
    path: &str,
    file: Option<File>,
) -> Result<Vec<Value>> {
    let socket = daemon::docker_socket(config);
    let connected = UnixStream::connect(&socket).await.with_context(|| {
        format!(
            "no daemon answers at `{}`: start one with `neargate serve`",
            socket.display()
        )
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(connected)).await?;
    tokio::spawn(connection);
    let file = file.map(tokio::fs::File::from_std);
    let pieces = stream::unfold(file, |file| async {
        let mut file = file?;
        let mut piece = vec![0; PIECE_BYTES];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(Frame::data(Bytes::from(piece))), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "docker")
        .body(StreamBody::new(Box::pin(pieces)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    let values: Vec<Value> = serde_json::Deserializer::from_slice(&bytes)
        .into_iter()
        .collect::<Result<_, _>>()
        .context("the daemon's answer is not JSON")?;
    let error = values.iter().find_map(|it| {
        let said = if status.is_success() {
            &it["error"]
        } else {
            &it["message"]
        };
        said.as_str()
    });
    match error {
        Some(error) => bail!("{error}"),
        None if !status.is_success() => bail!("the daemon answered {status}"),
        None => Ok(values),
    }
}
