"""From starting the daemon's process on a new state directory to its first answer over HTTP."""

import time

import figures
from daemon import Neargate


def measure(executable, repeats):
    seconds = []
    for _ in range(repeats):
        with Neargate(executable) as neargate:
            began = time.monotonic()
            process = neargate.serve()
            neargate.wait_ready()
            seconds.append(time.monotonic() - began)
            neargate.stop()
            process.wait()
    return {"daemon_ready_seconds": figures.summary(seconds)}
