//! `docker save`: an archive that is an OCI layout and, beside it, what older clients read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use engine::{Descriptor, Digest};
use http::{Response, header};
use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::archive::written_by;
use crate::names::shown;
use crate::routes::Call;

pub async fn save(call: Call, names: Vec<String>) -> Answer {
    if call.query.get("platform").is_some() {
        return Err(Refusal::not_built("saving one platform of an image"));
    }
    if names.is_empty() {
        return Err(Refusal::bad("say which images to save: `names`"));
    }
    let docker = &call.docker;
    let mut blobs: BTreeMap<Digest, PathBuf> = BTreeMap::new();
    let (mut entries, mut saved, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for text in names {
        let found = docker.find_image(&text).await?;
        let details = docker.details(&found.id).await?;
        let config = details.manifest["config"]["digest"]
            .as_str()
            .unwrap_or_default();
        let config: Digest = config.parse()?;
        let name = found.name.as_ref().map(shown);
        let parts = details.layers.iter().map(|it: &Descriptor| &it.digest);
        for digest in parts.chain([&config, &details.manifest_digest]) {
            blobs.insert(digest.clone(), docker.images.read_blob(digest).await?);
        }
        let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        saved.push(json!({
            "Config": path(&config), "RepoTags": name.iter().collect::<Vec<_>>(),
            "Layers": details.layers.iter().map(|it| path(&it.digest)).collect::<Vec<_>>(),
        }));
        if seen.insert(details.manifest_digest.clone()) {
            let mut entry = json!({
                "mediaType": details.media_type, "digest": details.manifest_digest,
                "size": details.manifest_bytes,
            });
            if let Some(name) = &name {
                entry["annotations"] = json!({ "io.containerd.image.name": name });
            }
            entries.push(entry);
        }
    }
    let documents = [
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        (
            "index.json",
            json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries }),
        ),
        ("manifest.json", json!(saved)),
    ];
    let body = written_by(move |to| write(to, &blobs, &documents));
    let mut response = Response::new(body);
    answer::set(&mut response, header::CONTENT_TYPE, "application/x-tar");
    Ok(response)
}

fn write(
    to: &mut dyn Write,
    blobs: &BTreeMap<Digest, PathBuf>,
    documents: &[(&str, Value)],
) -> io::Result<()> {
    let mut builder = tar::Builder::new(to);
    let header = |size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(size);
        header.set_mtime(0);
        header
    };
    for (digest, path) in blobs {
        let file = std::fs::File::open(path)?;
        let mut header = header(file.metadata()?.len());
        builder.append_data(&mut header, format!("blobs/sha256/{}", digest.hex()), file)?;
    }
    for (name, document) in documents {
        let bytes = document.to_string().into_bytes();
        builder.append_data(&mut header(bytes.len() as u64), name, &bytes[..])?;
    }
    builder.into_inner().map(drop)
}
