#!/usr/bin/env python3
"""What an operation costs as history grows: the daemon's CPU time, of one executable.

    bench/growth.py --executable PATH              all of it, as lines of JSON
    bench/growth.py --executable PATH --only lives

CPU time is what the kernel charges the daemon with (user and system), so that other load on the
machine does not count. Runs beside any daemon, with a state directory of its own that it removes.
"""

import argparse
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True

import registry
from daemon import Neargate
from probe_app import RUN_TASK_MAX, ProbeApp

TICKS = os.sysconf("SC_CLK_TCK")
# A stack that takes longer is not slow but stuck.
STACK_TIMEOUT_SECONDS = 600
PAUSE_SECONDS = 0.02
# A template has no more (CloudFormation User Guide, "Quotas").
RESOURCES_MAX = 500
# Ten tasks run after this time.
TASKS_SECONDS = 5


class Daemon:
    """A daemon and its CPU time. Ticks are coarse: what is measured has to take many of them."""

    def __init__(self, neargate):
        self.neargate = neargate
        process = neargate.serve()
        neargate.wait_ready()
        self.pid = process.pid
        self.api = neargate.api()

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def spent(self, body):
        before = self.cpu_seconds()
        body()
        return round(self.cpu_seconds() - before, 3)

    def stack(self, operation, **members):
        return self.api.query("cloudformation", operation, **members)

    def wait(self, stack, status):
        """By polling, as clients do; seldom enough that the polls are a small part."""
        end = time.monotonic() + STACK_TIMEOUT_SECONDS
        while time.monotonic() < end:
            answer = self.stack("DescribeStacks", StackName=stack)
            if (now := answer.find(".//StackStatus").text) == status:
                return
            if now.endswith(("FAILED", "ROLLBACK_COMPLETE")):
                break
            time.sleep(PAUSE_SECONDS)
        raise RuntimeError(f"the stack is {now}")

    def life(self, name, body):
        answer = self.stack("CreateStack", StackName=name, TemplateBody=body)
        identity = answer.find(".//StackId").text
        self.wait(identity, "CREATE_COMPLETE")
        self.stack("DeleteStack", StackName=name)
        self.wait(identity, "DELETE_COMPLETE")


def chain(count):
    """A template of parameters that each wait for the one before."""
    def resource(number):
        properties = {"Type": "String", "Value": "it"}
        after = {"DependsOn": f"P{number - 1}"} if number else {}
        return {"Type": "AWS::SSM::Parameter", "Properties": properties} | after

    resources = {f"P{number}": resource(number) for number in range(count)}
    # Without spaces: a template in a request has at most 51,200 bytes.
    return json.dumps({"Resources": resources}, separators=(",", ":"))


def lives(daemon):
    """A stack of one name, made and deleted: CPU of ten lives, after so many."""
    body = chain(4)
    for block in range(26):
        spent = daemon.spent(lambda: [daemon.life("up", body) for _ in range(10)])
        if block in (0, 1, 5, 10, 15, 20, 25):
            yield {"lives_before": block * 10, "cpu_seconds_of_ten": spent}


def chains(daemon):
    """A stack of n resources in a chain, made and deleted."""
    for count in (50, 100, 250, RESOURCES_MAX):
        identity = []

        def make(count=count, identity=identity):
            answer = daemon.stack("CreateStack", StackName=f"n{count}", TemplateBody=chain(count))
            identity.append(answer.find(".//StackId").text)
            daemon.wait(identity[0], "CREATE_COMPLETE")

        def unmake(count=count, identity=identity):
            daemon.stack("DeleteStack", StackName=f"n{count}")
            daemon.wait(identity[0], "DELETE_COMPLETE")

        yield {"resources": count, "create_cpu_seconds": daemon.spent(make),
               "delete_cpu_seconds": daemon.spent(unmake)}


def images(daemon):
    """DescribeImages of one tag among n images."""
    api = daemon.api
    api.json("ecr", "CreateRepository", repositoryName="many")
    token = api.json("ecr", "GetAuthorizationToken")["authorizationData"][0]["authorizationToken"]
    door = registry.Registry(api.address, "many", token)
    config = door.blob(b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}',
                       f"{registry.OCI}.config.v1+json")
    pushed = 0
    for total in (10, 250, 500, 1000):
        while pushed < total:
            manifest = json.dumps({
                "schemaVersion": 2, "mediaType": f"{registry.OCI}.manifest.v1+json",
                "config": config, "layers": [], "annotations": {"number": str(pushed)},
            }).encode()
            door.send("PUT", f"manifests/v{pushed}", manifest,
                      {"content-type": f"{registry.OCI}.manifest.v1+json"})
            pushed += 1
        ask = lambda: [api.json("ecr", "DescribeImages", repositoryName="many",
                                imageIds=[{"imageTag": "v7"}]) for _ in range(20)]
        yield {"images": total, "cpu_seconds_of_20": daemon.spent(ask)}


def definitions(daemon):
    """RegisterTaskDefinition and DescribeTaskDefinition of a family with n inactive revisions."""
    api = daemon.api
    register = lambda: api.json("ecs", "RegisterTaskDefinition", family="many", cpu="256",
                                memory="512", networkMode="awsvpc",
                                requiresCompatibilities=["FARGATE"],
                                containerDefinitions=[{"name": "it", "image": "it"}])
    made = 0
    for total in (10, 500, 1000, 2000):
        while made < total:
            arn = register()["taskDefinition"]["taskDefinitionArn"]
            api.json("ecs", "DeregisterTaskDefinition", taskDefinition=arn)
            made += 1
        arn = register()["taskDefinition"]["taskDefinitionArn"]
        ask = lambda: [api.json("ecs", "DescribeTaskDefinition", taskDefinition="many")
                       for _ in range(20)]
        spent = daemon.spent(ask)
        api.json("ecs", "DeregisterTaskDefinition", taskDefinition=arn)
        made += 1
        yield {"inactive_revisions": total, "cpu_seconds_of_20": spent}


def tasks(daemon):
    """RunTask of ten tasks, until they run, beside so many that run."""
    app = ProbeApp(daemon.neargate)
    running = []
    for block in range(12):
        started = []

        def run(started=started):
            started += app.run_tasks(RUN_TASK_MAX)[1]
            # Looking costs, too: seldom, and the same for each.
            time.sleep(TASKS_SECONDS)

        spent = daemon.spent(run)
        yield {"tasks_before": len(running), "cpu_seconds_of_ten": spent}
        app.wait_status(started, "RUNNING")
        running += started
    app.stop_tasks(running)


def buckets(daemon):
    """Objects written and read in one bucket, and a page of ten buckets, among n buckets."""
    api = daemon.api
    made = 0
    for total in (10, 500, 1000, 2000):
        while made < total:
            api.s3("PUT", f"/many-{made}")
            made += 1

        def objects():
            for number in range(10):
                api.s3("PUT", f"/many-7/{number}", body=b"it")
                api.s3("GET", f"/many-7/{number}")

        page = lambda: [api.s3("GET", "/", "max-buckets=10") for _ in range(20)]
        yield {"buckets": total, "cpu_seconds_of_20_objects": daemon.spent(objects),
               "cpu_seconds_of_20_pages": daemon.spent(page)}


MEASUREMENTS = {"lives": lives, "chains": chains, "images": images, "definitions": definitions,
                "tasks": tasks, "buckets": buckets}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executable", required=True)
    parser.add_argument("--only", default=",".join(MEASUREMENTS))
    options = parser.parse_args()
    # Ended by whatever means, everything is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in options.only.split(","):
        with Neargate(options.executable) as neargate:
            daemon = Daemon(neargate)
            for row in MEASUREMENTS[name](daemon):
                print(json.dumps({"what": name} | row), flush=True)


if __name__ == "__main__":
    main()
