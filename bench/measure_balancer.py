"""The load balancer beside nginx, in front of the same origin.

The origin is an nginx with a fixed answer of 1 KiB in the network namespace of one task, outside
the task's CPU limit, so that it is never what is measured. neargate's edge and nginx both listen
on the host and both connect from the load balancer's own interface, through the same routes and
the same security groups. They are measured in turns, with wrk on the same cores.
"""

import json
import re
import shutil
import subprocess
import time

import figures
import nginx
import stack
from daemon import EDGE, Neargate
from probe_app import NAME, ProbeApp

ORIGIN_PORT = 8080
NGINX_PORT = 8099
ROUND_SECONDS = 4
CONNECTIONS = (8, 64)
UNITS = {"us": 1e-3, "ms": 1, "s": 1e3}
HEALTHY_TIMEOUT_SECONDS = 60


def missing():
    """The programs that are needed and not there."""
    return [program for program in ("nginx", "wrk", "nsenter") if not shutil.which(program)]


def measure(executable, rounds):
    with Neargate(executable) as neargate:
        app = ProbeApp(neargate)
        _, tasks = app.run_tasks()
        app.wait_status(tasks, "RUNNING")
        interface, address = interface_of(app, tasks[0])
        namespaces = neargate.state / "run/netns"
        with nginx.origin(namespaces / interface, ORIGIN_PORT):
            register(app, address)
            host = stack.outputs(app.api, NAME)["Url"].removeprefix("http://")
            targets = [f"{address}:{ORIGIN_PORT}"]
            own = namespaces / balancer_interface(neargate)
            with nginx.balancer(own, EDGE, NGINX_PORT, targets):
                urls = {"neargate": f"http://{EDGE}/", "nginx": f"http://{EDGE}:{NGINX_PORT}/"}
                return {"balancer": {
                    str(connections): in_turns(urls, host, connections, rounds)
                    for connections in CONNECTIONS
                }}


def interface_of(app, task):
    details = app.describe([task])[0]["attachments"][0]["details"]
    found = {it["name"]: it["value"] for it in details}
    return found["networkInterfaceId"], found["privateIPv4Address"]


def register(app, address):
    group = app.resources["Targets"]
    target = {"Id": address, "Port": ORIGIN_PORT}
    app.api.query(
        "elasticloadbalancing", "RegisterTargets", TargetGroupArn=group, Targets=[target]
    )
    end = time.monotonic() + HEALTHY_TIMEOUT_SECONDS
    while time.monotonic() < end:
        answer = app.api.query("elasticloadbalancing", "DescribeTargetHealth", TargetGroupArn=group)
        if [it.text for it in answer.iter("State")] == ["healthy"]:
            return
        time.sleep(0.1)
    raise RuntimeError("the origin did not become healthy")


def balancer_interface(neargate):
    """The first interface of the only load balancer, which its connections come from."""
    snapshot = json.loads((neargate.state / "run/edge/snapshot.json").read_text())
    return find_interfaces(snapshot)[0]


def find_interfaces(node):
    """The edge's snapshot is its own affair: the first balancer's interfaces, wherever they are."""
    if isinstance(node, dict):
        if "balancers" in node:
            return node["balancers"][0]["interfaces"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            if found := find_interfaces(inner):
                return found
    return None


def in_turns(urls, host, connections, rounds):
    for url in urls.values():
        wrk(url, host, connections, seconds=1)
    found = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            found[name].append(wrk(url, host, connections, ROUND_SECONDS))
    return {name: median_of(it) for name, it in found.items()}


def median_of(rounds):
    names = ("requests_per_second", "latency_ms_p50", "latency_ms_p99")
    result = {name: figures.median([it[name] for it in rounds]) for name in names}
    return result | {"errors": sum(it["errors"] for it in rounds), "rounds": rounds}


def wrk(url, host, connections, seconds):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Host: {host}"]
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: (.*)", text)
    counted = (statuses[0] if statuses else "").split()[-1:]
    counted += re.findall(r"\d+", sockets[1]) if sockets else []
    return {
        "requests_per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "latency_ms_p50": milliseconds(text, 50),
        "latency_ms_p99": milliseconds(text, 99),
        "errors": sum(map(int, counted)),
    }


def milliseconds(text, percent):
    found = re.search(rf"\s{percent}%\s+([\d.]+)(us|ms|s)\b", text)
    return round(float(found[1]) * UNITS[found[2]], 3)
