"""Pushes a small image into the embedded registry, as any OCI client does."""

import base64
import gzip
import hashlib
import http.client
import io
import json
import tarfile
import urllib.parse

OCI = "application/vnd.oci.image"
TIMEOUT_SECONDS = 60


def push(api, repository, program, path):
    """Pushes an image of one static program, which is its entry point; returns the digest."""
    token = api.json("ecr", "GetAuthorizationToken")["authorizationData"][0]["authorizationToken"]
    registry = Registry(api.address, repository, token)
    layer = tar_of(program, path)
    packed = gzip.compress(layer)
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": [path]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    }).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
        "config": registry.blob(config, f"{OCI}.config.v1+json"),
        "layers": [registry.blob(packed, f"{OCI}.layer.v1.tar+gzip")],
    }).encode()
    registry.send("PUT", "manifests/latest", manifest, {"content-type": f"{OCI}.manifest.v1+json"})
    return digest(manifest)


class Registry:
    def __init__(self, address, repository, token):
        self.address = address
        self.root = f"/v2/{repository}/"
        self.headers = {"authorization": f"Basic {token}"}

    def blob(self, content, media_type):
        """Uploads a blob and returns its descriptor."""
        place = self.send("POST", "blobs/uploads/")["location"]
        url = urllib.parse.urlsplit(urllib.parse.urljoin(self.root, place))
        query = urllib.parse.urlencode(
            urllib.parse.parse_qsl(url.query) + [("digest", digest(content))]
        )
        self.send("PUT", f"{url.path}?{query}", content)
        return {"mediaType": media_type, "digest": digest(content), "size": len(content)}

    def send(self, method, path, content=b"", headers=None):
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_SECONDS)
        try:
            target = path if path.startswith("/") else self.root + path
            connection.request(method, target, content, self.headers | (headers or {}))
            response = connection.getresponse()
            answer = response.read().decode(errors="replace")
        finally:
            connection.close()
        if response.status not in (201, 202):
            raise RuntimeError(f"the registry answered {response.status} to {method}: {answer}")
        return {name.lower(): value for name, value in response.getheaders()}


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar_of(program, path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()
