"""A neargate of the benchmark's own: other addresses and another state directory than anybody's."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from api import Api

# An address of the loopback that is this process's own: ids are below 2^22.
EDGE = f"127.{64 + (os.getpid() >> 16)}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
LISTEN = f"{EDGE}:4566"
# A command that takes longer than this is not slow but stuck.
COMMAND_TIMEOUT_SECONDS = 180


class Neargate:
    """One state directory, from its making to its removal."""

    def __init__(self, executable, options=()):
        self.executable = pathlib.Path(executable)
        self.options = list(options)
        # Not /tmp, which may be memory: images and containers lie on a disk.
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="ngbench-", dir="/var/tmp"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def arguments(self, *words):
        common = ["--state", str(self.state), "--listen", LISTEN, "--edge", EDGE, *self.options]
        return [str(self.executable), *words, *common]

    def run(self, *words):
        """Runs a command to its end and returns what it printed."""
        done = subprocess.run(
            self.arguments(*words), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"`neargate {' '.join(words)}` failed: {done.stdout}{done.stderr}{self.log_end()}"
            )
        return done.stdout

    def up(self, folder, *options):
        """`up`, timed from outside: the report, with `wall_seconds` beside its own figures."""
        began = time.monotonic()
        report = json.loads(self.run("up", str(folder), "--json", *options))
        return report | {"wall_seconds": time.monotonic() - began}

    def serve(self):
        """Starts the daemon without waiting for it."""
        with open(self.state / "daemon.log", "ab") as log:
            return subprocess.Popen(
                self.arguments("serve"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", start_new_session=True,
            )

    def health(self):
        """That a daemon is there, as it says to anybody, or None when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{LISTEN}/_neargate/v1/health", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def wait_ready(self, pause_seconds=0.001, timeout_seconds=30):
        end = time.monotonic() + timeout_seconds
        while time.monotonic() < end:
            if health := self.health():
                return health
            time.sleep(pause_seconds)
        raise RuntimeError(f"the daemon does not answer: {self.log_end()}")

    def api(self):
        return Api(json.loads(self.run("env", "--json")))

    def stop(self):
        self.run("stop")

    def remove(self):
        """Stops everything and removes the state directory; never fails, so that it always ends."""
        if not self.state.exists():
            return
        with contextlib.suppress(Exception):
            self.stop()
        shutil.rmtree(self.state, ignore_errors=True)
        if self.state.exists():
            print(f"could not remove `{self.state}` wholly: see what is mounted or runs in it")

    def log_end(self, lines=15):
        with contextlib.suppress(OSError):
            text = (self.state / "daemon.log").read_text(errors="replace")
            return "\nthe daemon's last words:\n" + "\n".join(text.splitlines()[-lines:])
        return ""

    def processes(self, role):
        """The ids of this daemon's processes in a role: `serve`, `edge` or `shim`."""
        found = []
        for directory in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (directory / "cmdline").read_bytes().decode().split("\0")
                own = any(word.startswith(str(self.state)) for word in words)
                if own and role in words[:2]:
                    found.append(int(directory.name))
        return found
