//! A client of the registry: pushes an image by plain HTTP, as the OCI Distribution specification
//! says.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde_json::{Value, json};

use crate::http::{Answer, Connection};
use crate::machine::Machine;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image to be pushed.
pub struct Pushed {
    pub layer: Vec<u8>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl Pushed {
    /// An image of one layer that holds one program, which is its entry point with some arguments.
    pub fn program(file: &Path, arguments: &[&str]) -> Self {
        let name = file.file_name().expect("a program has a name");
        let mut archive = tar::Builder::new(Vec::new());
        // Files have holes here and there, which not every reader of archives knows.
        archive.sparse(false);
        archive.mode(tar::HeaderMode::Deterministic);
        archive.append_path_with_name(file, name).unwrap();
        let layer = archive.into_inner().unwrap();
        let mut entrypoint = vec![format!("/{}", name.to_string_lossy())];
        entrypoint.extend(arguments.iter().map(|it| (*it).to_owned()));
        let config = json!({ "Entrypoint": entrypoint, "User": "65534:65534" });
        Self::layer(layer, config)
    }

    /// An image of one layer, an archive that need not be a good one.
    pub fn layer(layer: Vec<u8>, config: Value) -> Self {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(&config),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest_of(&layer),
                "size": layer.len(),
            }],
        });
        Self {
            layer,
            config,
            manifest: manifest.to_string().into_bytes(),
        }
    }

    /// Pushes it and returns its name. The repository must be there.
    #[track_caller]
    pub fn push(&self, machine: &Machine, repository: &str, tag: &str) -> String {
        self.push_with(machine, &machine.registry_password(), repository, tag)
    }

    /// The same with a token that was got otherwise.
    #[track_caller]
    pub fn push_with(
        &self,
        machine: &Machine,
        password: &str,
        repository: &str,
        tag: &str,
    ) -> String {
        let pushed = self.try_push(machine, password, repository, tag);
        pushed.unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same for pushes that may be cut short: how far it came, then.
    pub fn try_push(
        &self,
        machine: &Machine,
        password: &str,
        repository: &str,
        tag: &str,
    ) -> Result<String, String> {
        let ask = |method: &str, path: &str, more: &[(&str, &str)], body: &[u8], wanted| {
            let answer = machine
                .try_registry(password, method, path, more, body)
                .map_err(|error| format!("{method} {path}: {error}"))?;
            match answer.status == wanted {
                true => Ok(answer),
                false => Err(format!("{method} {path}: {}", answer.text())),
            }
        };
        for blob in [&self.layer, &self.config] {
            let path = format!("{repository}/blobs/uploads/");
            let begun = ask("POST", &path, &[], &[], 202)?;
            let place = begun.header("location").expect("an upload has a place");
            let join = if place.contains('?') { '&' } else { '?' };
            let digest = digest_of(blob).replace(':', "%3A");
            let target = format!("{place}{join}digest={digest}");
            let target = target.split("/v2/").last().unwrap_or_default();
            let headers = [("content-type", "application/octet-stream")];
            ask("PUT", target, &headers, blob, 201)?;
        }
        let path = format!("{repository}/manifests/{tag}");
        let headers = [("content-type", MANIFEST)];
        ask("PUT", &path, &headers, &self.manifest, 201)?;
        let host = "000000000000.dkr.ecr.us-east-1.amazonaws.com";
        Ok(format!("{host}/{repository}:{tag}"))
    }

    pub fn put_manifest(&self, machine: &Machine, repository: &str, tag: &str) -> Answer {
        let path = format!("{repository}/manifests/{tag}");
        machine.registry("PUT", &path, &[("content-type", MANIFEST)], &self.manifest)
    }
}

pub fn digest_of(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

impl Machine {
    /// What `aws ecr get-login-password` prints.
    #[track_caller]
    pub fn registry_password(&self) -> String {
        let answer = self.ask("ecr", "GetAuthorizationToken", json!({}));
        let token = answer["authorizationData"][0]["authorizationToken"].as_str();
        let token = STANDARD.decode(token.expect("there is a token")).unwrap();
        let token = String::from_utf8(token).unwrap();
        token
            .strip_prefix("AWS:")
            .expect("the user is AWS")
            .to_owned()
    }

    /// A request to the registry, below `/v2/`, with the token.
    #[track_caller]
    pub fn registry(&self, method: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        self.registry_with(&self.registry_password(), method, path, more, body)
    }

    /// The same with a token that was got otherwise.
    #[track_caller]
    pub fn registry_with(
        &self,
        password: &str,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.try_registry(password, method, path, more, body)
            .unwrap()
    }

    /// The same for who may find nobody there.
    pub fn try_registry(
        &self,
        password: &str,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let basic = STANDARD.encode(format!("AWS:{password}"));
        let (host, authorization) = (self.listen.to_string(), format!("Basic {basic}"));
        let mut headers = vec![("host", host.as_str()), ("authorization", &authorization)];
        headers.extend_from_slice(more);
        headers.push(("connection", "close"));
        let mut connection = Connection::open(self.listen)?;
        connection.ask(method, &format!("/v2/{path}"), &headers, body)
    }
}
