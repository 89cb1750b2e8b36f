"""A layer of 200 MB into the registry and out of it, beside Debian's docker-registry, by one client on
one connection: the same bytes, in turns."""

import hashlib
import http.client
import os
import pathlib
import tempfile
import time
import urllib.parse

import figures
import peers
from daemon import EDGE, Neargate

SIZE = 200_000_000
PORT = 5099
# What the client sends and takes at once: large, so that it is never what is measured.
BLOCK = 1 << 20
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "{address}:{port}"}}
"""


def missing():
    return peers.missing("docker-registry")


def measure(executable, repeats):
    with Neargate(executable) as neargate, tempfile.TemporaryDirectory(
        prefix="ngbench-registry-", dir="/var/tmp"
    ) as directory:
        directory = pathlib.Path(directory)
        neargate.serve()
        neargate.wait_ready()
        api = neargate.api()
        api.json("ecr", "CreateRepository", repositoryName="bench")
        token = api.json("ecr", "GetAuthorizationToken")["authorizationData"][0]
        own = Side(api.address, f"Basic {token['authorizationToken']}")
        configuration = directory / "registry.yml"
        configuration.write_text(
            CONFIGURATION.format(directory=directory / "blobs", address=EDGE, port=PORT)
        )
        command = ["docker-registry", "serve", str(configuration)]
        with peers.running(command, f"http://{EDGE}:{PORT}/v2/"):
            peer = Side(f"{EDGE}:{PORT}", None)
            for number in range(repeats):
                layer = directory / "layer"
                digest = write_layer(layer)
                for side in (own, peer) if number % 2 == 0 else (peer, own):
                    side.push(layer, digest)
                    side.pull(digest)
    return {"registry_mb_per_second": {
        "neargate": own.figures(), "docker-registry": peer.figures(),
    }}


def write_layer(path):
    """Bytes that no store has yet, on disk, and their digest."""
    hashed = hashlib.sha256()
    piece = os.urandom(BLOCK)
    with open(path, "wb") as out:
        left, number = SIZE, 0
        while left:
            # Different everywhere, without asking the kernel for 200 MB of chance.
            block = (number.to_bytes(8, "big") + piece[8:])[:left]
            out.write(block)
            hashed.update(block)
            left -= len(block)
            number += 1
    return f"sha256:{hashed.hexdigest()}"


class Side:
    def __init__(self, address, authorization):
        self.address = address
        self.headers = {"authorization": authorization} if authorization else {}
        self.pushed, self.pulled = [], []

    def connection(self):
        return http.client.HTTPConnection(self.address, timeout=120, blocksize=BLOCK)

    def push(self, layer, digest):
        connection = self.connection()
        connection.request("POST", "/v2/bench/blobs/uploads/", headers=self.headers)
        response = connection.getresponse()
        response.read()
        place = urllib.parse.urlsplit(response.getheader("location"))
        query = urllib.parse.urlencode(urllib.parse.parse_qsl(place.query) + [("digest", digest)])
        headers = self.headers | {
            "content-length": str(SIZE), "content-type": "application/octet-stream",
        }
        with open(layer, "rb") as body:
            began = time.monotonic()
            connection.request("PUT", f"{place.path}?{query}", body, headers)
            response = connection.getresponse()
            answer = response.read()
            self.pushed.append(SIZE / 1e6 / (time.monotonic() - began))
        if response.status != 201:
            raise RuntimeError(f"{self.address} answered {response.status}: {answer}")
        connection.close()

    def pull(self, digest):
        connection = self.connection()
        began = time.monotonic()
        connection.request("GET", f"/v2/bench/blobs/{digest}", headers=self.headers)
        response = connection.getresponse()
        length, buffer = 0, bytearray(BLOCK)
        while count := response.readinto(buffer):
            length += count
        self.pulled.append(SIZE / 1e6 / (time.monotonic() - began))
        if length != SIZE:
            raise RuntimeError(f"{self.address} sent {length} bytes")
        connection.close()

    def figures(self):
        return {
            "push": figures.summary(self.pushed, 1), "pull": figures.summary(self.pulled, 1),
        }
