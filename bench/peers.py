"""The peers that are measured beside neargate, and where they come from: Debian's packages and PyPI."""

import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

DEBIAN = ("nginx", "wrk", "docker-registry", "buildah", "crun")
VENV = pathlib.Path("/var/tmp/ngbench-venv")
MOTO = VENV / "bin/moto_server"
READY_SECONDS = 30


def install():
    """Debian starts a server when it is installed, on the port of others: not this time."""
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", *DEBIAN], check=True
        )
    finally:
        if ours:
            policy.unlink()
    if not MOTO.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "--quiet", "moto[server]==5.2.5"], check=True)


def missing(*programs):
    """Those of the programs that are not there."""
    return [it for it in programs if not (shutil.which(it) or pathlib.Path(it).exists())]


@contextlib.contextmanager
def running(command, url, **options):
    """A server, from when it answers until it is ended."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
        )
        try:
            wait(process, url, log)
            yield process
        finally:
            process.terminate()
            process.wait()


def wait(process, url, log):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(url, timeout=2)
                return
            except urllib.error.HTTPError:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    log.seek(0)
    raise RuntimeError(f"{process.args[0]} does not answer: {log.read().decode(errors='replace')}")
