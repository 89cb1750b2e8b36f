"""How long `neargate why` takes to say that nothing is wrong, with many services that run: the command, from
outside, as a person waits for it."""

import subprocess
import time

import figures
from daemon import COMMAND_TIMEOUT_SECONDS, Neargate
from probe_app import NAME, ProbeApp

# How long all services together may take to come up.
STEADY_TIMEOUT_SECONDS = 240


def measure(executable, services, rounds):
    with Neargate(executable) as neargate:
        app = ProbeApp(neargate)
        for at in range(services):
            create(app, f"service-{at}")
        wait_steady(app, services)
        seconds = [ask(neargate) for _ in range(rounds)]
    return {"why": {"services": services, "seconds": figures.summary(seconds)}}


def create(app, name):
    app.api.json(
        "ecs", "CreateService", cluster=NAME, serviceName=name, taskDefinition=NAME, desiredCount=1,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {
            "subnets": [app.resources["SubnetA"], app.resources["SubnetB"]],
            "securityGroups": [app.resources["ContainerGroup"]],
            "assignPublicIp": "ENABLED",
        }},
    )


def wait_steady(app, services):
    """`why` calls nothing well that is still on its way."""
    names = [f"service-{at}" for at in range(services)]
    end = time.monotonic() + STEADY_TIMEOUT_SECONDS
    while time.monotonic() < end:
        found = []
        for start in range(0, services, 10):
            some = names[start:start + 10]
            found += app.api.json("ecs", "DescribeServices", cluster=NAME, services=some)["services"]
        if all(it["deployments"][0]["rolloutState"] == "COMPLETED" for it in found):
            return
        time.sleep(0.5)
    raise RuntimeError("not every service became steady")


def ask(neargate):
    began = time.monotonic()
    done = subprocess.run(
        neargate.arguments("why"), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0 or "nothing is wrong" not in done.stdout:
        raise RuntimeError(f"not everything was found to be well: {done.stdout}{done.stderr}")
    return seconds
