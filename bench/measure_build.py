"""`docker build`, cold and cached, beside buildah: the same folder, the same Dockerfile, with a step
that runs a program. Both begin with an empty cache for the first, and change nothing for the second."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import figures
import peers
from daemon import Neargate

BUSYBOX = pathlib.Path("/bin/busybox")
DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-p", "/srv/data"]
COPY site /srv/site
RUN ["/bin/busybox", "cp", "-r", "/srv/site", "/srv/data/site"]
ENTRYPOINT ["/bin/busybox", "httpd", "-f", "-h", "/srv/site"]
"""


def missing():
    return peers.missing("docker", "buildah", str(BUSYBOX))


def measure(executable, repeats):
    found = {"neargate": {"cold": [], "cached": []}, "buildah": {"cold": [], "cached": []}}
    with tempfile.TemporaryDirectory(prefix="ngbench-build-", dir="/var/tmp") as directory:
        directory = pathlib.Path(directory)
        context = directory / "context"
        (context / "site").mkdir(parents=True)
        shutil.copy(BUSYBOX, context / "busybox")
        (context / "Dockerfile").write_text(DOCKERFILE)
        for number in range(repeats):
            (context / "site/index.html").write_text("x" * 4096)
            with Neargate(executable) as neargate:
                neargate.serve()
                neargate.wait_ready()
                docker = docker_environment(neargate)
                command = ["docker", "build", "--quiet", "--tag", "bench", str(context)]
                both(found["neargate"], command, docker)
            storage = directory / f"buildah-{number}"
            command = [
                "buildah", "--root", storage / "root", "--runroot", storage / "run",
                "--storage-driver", "vfs", "build", "--quiet", "--layers",
                "--isolation", "chroot", "--tag", "bench", str(context),
            ]
            both(found["buildah"], command, dict(os.environ))
    return {"build_seconds": {
        name: {kind: figures.summary(values) for kind, values in kinds.items()}
        for name, kinds in found.items()
    }}


def docker_environment(neargate):
    variables = json.loads(neargate.run("env", "--json"))
    return os.environ | {"DOCKER_BUILDKIT": "0", "DOCKER_HOST": variables["DOCKER_HOST"]}


def both(into, command, environment):
    for kind in ("cold", "cached"):
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        into[kind].append(time.monotonic() - began)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
