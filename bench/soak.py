#!/usr/bin/env python3
"""A mixed load for a while, and whether anything grows meanwhile: memory, descriptors, disk, CPU.

    bench/soak.py --executable PATH                 thirty minutes
    bench/soak.py --executable PATH --minutes 5     shorter, for working on it

The load, again and again: a stack of parameters and one of `up`'s template are made and deleted, tasks are
run and stopped, an image is pushed and another deleted, logs are read, and a page behind a load balancer is
asked for all the time. Once a minute everything but the page rests for a moment and the daemon, the edge and
the supervisors of the page's tasks are looked at.

The daemon's CPU time is that of the same work at each sample, seldom looked at (what a round takes depends on what
else the machine does, and so does how often a client looks); the edge's and the supervisors' that of a thousand
requests for the page.

Flat is what, over the last two thirds of the samples, rises by no more than 5 % of its median or by what
`FLOORS` says, whichever is more; the rise is the median of the slopes between any two samples (Theil and
Sen) times that time. Records of what is over are kept for a while (docs/growth.md): the store may rise by
`REMEMBERED_KIB` for each round of the load. A short run sees the store's page caches fill, 10 MiB in all, which
the first third of a long one leaves behind. Exits with 1 when anything is not flat, or a request failed.
"""

import argparse
import itertools
import json
import os
import pathlib
import signal
import statistics
import sys
import time

sys.dont_write_bytecode = True

import machine
import registry
import stack
from daemon import EDGE, Neargate
from growth import chain
from load import Load
from memory import memory_mib
from probe_app import ProbeApp

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 60
# Connections end, freed memory is given back.
REST_SECONDS = 2
PAGE_RATE = 20
TASKS_AT_ONCE = 2
SAME_STACKS = 5
SAME_TASKS = 2
# Between two looks at what is under way while CPU time is measured.
SELDOM_SECONDS = 0.5
IMAGES_KEPT = 5
# A short run has samples enough all the same.
SAMPLES_MIN = 12

FLOORS = {
    "daemon_own_mib": 1.0, "edge_own_mib": 0.5, "shims_own_mib": 0.5,
    "daemon_rss_mib": 2.0, "edge_rss_mib": 1.0, "shims_rss_mib": 1.0,
    "daemon_files": 3, "edge_files": 3, "shims_files": 2,
    "daemon_cpu_ms": 30, "edge_cpu_ms": 100, "shims_cpu_ms": 50,
    "store_mib": 0.25, "files_mib": 1.0,
}
# Deleted stacks with their events and stopped tasks; measured, see docs/growth.md.
REMEMBERED_KIB = 300


class Soak:
    def __init__(self, neargate):
        self.neargate = neargate
        # Its tasks are those that are run and stopped.
        self.app = ProbeApp(neargate)
        self.api = neargate.api()
        website = pathlib.Path(__file__).parent.parent / "examples/website"
        self.url = neargate.up(website)["url"]
        self.image = self.image_of("website")
        self.rounds = 0
        self.images = []
        self.api.json("ecr", "CreateRepository", repositoryName="soak")

    def round(self):
        number = self.rounds
        self.life("parameters", chain(10))
        stack.create(self.api, "short", self.image, count=1)
        stack.delete(self.api, "short")
        _, tasks = self.app.run_tasks(TASKS_AT_ONCE)
        self.app.wait_status(tasks, "RUNNING")
        self.app.first_acts(tasks)
        self.app.stop_tasks(tasks)
        self.forget_logs()
        self.push(number)
        self.rounds += 1

    def same_work(self):
        """The daemon's CPU milliseconds of some stacks and tasks."""
        pid = self.neargate.processes("serve")[0]
        often, stack.LOOK_EVERY_SECONDS = stack.LOOK_EVERY_SECONDS, SELDOM_SECONDS
        before = cpu_seconds(pid)
        for _ in range(SAME_STACKS):
            self.life("parameters", chain(10))
        for _ in range(SAME_TASKS):
            _, tasks = self.app.run_tasks(TASKS_AT_ONCE)
            time.sleep(SELDOM_SECONDS)
            self.app.wait_status(tasks, "RUNNING")
            self.app.stop_tasks(tasks)
        spent = cpu_seconds(pid) - before
        stack.LOOK_EVERY_SECONDS = often
        return round(spent * 1000)

    def image_of(self, family):
        found = self.api.json("ecs", "DescribeTaskDefinition", taskDefinition=family)
        return found["taskDefinition"]["containerDefinitions"][0]["image"]

    def life(self, name, body):
        answer = self.api.query("cloudformation", "CreateStack", StackName=name, TemplateBody=body)
        identity = answer.find(".//StackId").text
        stack.wait(self.api, identity, "CREATE_COMPLETE")
        self.api.query("cloudformation", "DeleteStack", StackName=name)
        stack.wait(self.api, identity, "DELETE_COMPLETE")

    def forget_logs(self):
        """Log groups outlive stacks, and streams tasks."""
        groups = self.api.json("logs", "DescribeLogGroups")["logGroups"]
        for group in (it["logGroupName"] for it in groups):
            if "short" in group:
                self.api.json("logs", "DeleteLogGroup", logGroupName=group)
            elif "probe" in group:
                found = self.api.json("logs", "DescribeLogStreams", logGroupName=group)
                for it in found["logStreams"]:
                    self.api.json("logs", "DeleteLogStream", logGroupName=group,
                                  logStreamName=it["logStreamName"])

    def push(self, number):
        answer = self.api.json("ecr", "GetAuthorizationToken")
        token = answer["authorizationData"][0]["authorizationToken"]
        door = registry.Registry(self.api.address, "soak", token)
        layer = door.blob(b"\0" * 65536, f"{registry.OCI}.layer.v1.tar")
        config = json.dumps({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {"number": str(number)}},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": f"{registry.OCI}.manifest.v1+json",
            "config": door.blob(config, f"{registry.OCI}.config.v1+json"), "layers": [layer],
        }).encode()
        door.send("PUT", f"manifests/v{number}", manifest,
                  {"content-type": f"{registry.OCI}.manifest.v1+json"})
        self.images.append(f"v{number}")
        if len(self.images) > IMAGES_KEPT:
            self.api.json("ecr", "BatchDeleteImage", repositoryName="soak",
                          imageIds=[{"imageTag": self.images.pop(0)}])

    def sample(self):
        found = {}
        roles = {
            "daemon": self.neargate.processes("serve"), "edge": self.neargate.processes("edge"),
            "shims": self.neargate.processes("shim"),
        }
        for role, pids in roles.items():
            memory = [memory_mib(it) for it in pids]
            # Pages of the executable are shared with whoever else runs it.
            found[f"{role}_own_mib"] = round(sum(it["pss_anon"] for it in memory), 2)
            found[f"{role}_rss_mib"] = round(sum(it["rss"] for it in memory), 2)
            found[f"{role}_files"] = sum(len(os.listdir(f"/proc/{it}/fd")) for it in pids)
            found[f"{role}_cpu_s"] = round(sum(cpu_seconds(it) for it in pids), 2)
        store = [*self.neargate.state.glob("store.*"), *self.neargate.state.glob("copies/*")]
        in_store = sum(on_disk(it) for it in store)
        all_files = sum(on_disk(it) for it in self.neargate.state.rglob("*"))
        found["store_mib"] = round(in_store / 2**20, 2)
        found["files_mib"] = round((all_files - in_store) / 2**20, 2)
        return found


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def on_disk(path):
    """What a file takes, whatever it says to be long; nothing when it is gone."""
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def run(soak, load, minutes):
    """Samples, a row each."""
    every = min(SAMPLE_SECONDS, minutes * 60 / SAMPLES_MIN)
    began = time.monotonic()
    rows, before, answered = [], soak.sample(), len(load.answers)
    while time.monotonic() - began < minutes * 60:
        due = time.monotonic() + every
        while time.monotonic() < due:
            soak.round()
        time.sleep(REST_SECONDS)
        row = soak.sample()
        thousands = (len(load.answers) - answered) / 1000
        for role in ("edge", "shims"):
            spent = row[f"{role}_cpu_s"] - before[f"{role}_cpu_s"]
            row[f"{role}_cpu_ms"] = round(spent * 1000 / thousands, 1)
        row["daemon_cpu_ms"] = soak.same_work()
        # What is looked at begins after it.
        before, answered = soak.sample(), len(load.answers)
        row |= {"minute": round((time.monotonic() - began) / 60, 2), "rounds": soak.rounds}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def rise(rows, name):
    """How much a column rises from the first to the last of these rows."""
    pairs = itertools.combinations(rows, 2)
    slopes = [(b[name] - a[name]) / (b["minute"] - a["minute"]) for a, b in pairs]
    return statistics.median(slopes) * (rows[-1]["minute"] - rows[0]["minute"])


def judge(rows):
    """A line for each column; whether all of them are flat."""
    late = rows[len(rows) // 3:]
    lives = late[-1]["rounds"] - late[0]["rounds"]
    all_flat = True
    print(f"\n{'':16}{'first':>9}{'median':>9}{'last':>9}{'rise':>9}{'allowed':>9}")
    for name, floor in FLOORS.items():
        median = statistics.median(row[name] for row in late)
        allowed = max(median * 0.05, floor)
        if name == "store_mib":
            allowed += lives * REMEMBERED_KIB / 1024
        risen = rise(late, name)
        flat = risen <= allowed
        all_flat &= flat
        print(f"{name:16}{late[0][name]:9.2f}{median:9.2f}{late[-1][name]:9.2f}{risen:9.2f}"
              f"{allowed:9.2f}  {'flat' if flat else 'GROWS'}")
    return all_flat


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executable", required=True)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    # Ended by whatever means, everything is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(json.dumps(machine.describe()))
    with Neargate(options.executable) as neargate:
        soak = Soak(neargate)
        with Load(soak.url, EDGE, PAGE_RATE) as load:
            rows = run(soak, load, options.minutes)
        flat = judge(rows)
        failed = load.failed()
        print(f"{failed} of {len(load.answers)} requests for the page failed; {soak.rounds} rounds; "
              f"load average {os.getloadavg()[0]:.2f}")
        for complaint in load.complaints[:5]:
            print(complaint)
    sys.exit(0 if flat and not failed else 1)


if __name__ == "__main__":
    main()
