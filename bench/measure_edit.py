"""From saving a file to the new page at the load balancer, under a steady load.

Every version of the page holds its number, so each answer tells which version served it. An edit is
live when the last answer of the version before has arrived: from then on only the new one is seen.
"""

import pathlib
import re
import shutil
import tempfile
import time

import figures
from daemon import EDGE, Neargate
from load import RATE, Load

MARK = re.compile(rb"<!-- version (\d+) -->")
# The load before the first edit and after the last one.
MARGIN_SECONDS = 1


def measure(executable, website, edits):
    with tempfile.TemporaryDirectory(prefix="ngbench-site-", dir="/var/tmp") as directory:
        site = pathlib.Path(directory) / "website"
        shutil.copytree(website, site)
        page = (site / "index.html").read_bytes()
        write_version(site, page, 0)
        with Neargate(executable) as neargate:
            url = neargate.up(site)["url"]
            with Load(url, EDGE) as load:
                time.sleep(MARGIN_SECONDS)
                edited, done = [], []
                for version in range(1, edits + 1):
                    edited.append(time.monotonic())
                    write_version(site, page, version)
                    neargate.up(site)
                    done.append(time.monotonic())
                time.sleep(MARGIN_SECONDS)
            return figures_of(load, edited, done)


def write_version(site, page, version):
    (site / "index.html").write_bytes(page + f"<!-- version {version} -->\n".encode())


def figures_of(load, edited, done):
    seen = {}
    for ended, body in load.answers:
        if found := body and MARK.search(body):
            seen.setdefault(int(found[1]), []).append(ended)
    live, first_seen = [], []
    for version, saved in enumerate(edited, 1):
        if version not in seen:
            raise RuntimeError(f"version {version} of the page was never served")
        first_seen.append(min(seen[version]) - saved)
        live.append(max(max(seen[version - 1]), min(seen[version])) - saved)
    return {
        "edit_to_live_seconds": figures.summary(live),
        "edit_to_first_new_page_seconds": figures.summary(first_seen),
        "edit_to_up_done_seconds": figures.summary([b - a for a, b in zip(edited, done)]),
        "edit_load": {
            "requests_per_second_asked": RATE,
            "requests": len(load.answers),
            "failed": load.failed(),
            "complaints": load.complaints[:20],
            "latency_seconds_p50": round(figures.median(load.latency_seconds), 5),
            "latency_seconds_p99": round(figures.percentile(load.latency_seconds, 99), 5),
        },
    }
