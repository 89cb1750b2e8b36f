"""An application whose container is `probe.c`, with no service running: for tasks started one by
one. The probe writes the time of its first act to its log, which CloudWatch Logs hands out."""

import pathlib
import subprocess
import tempfile
import time

import registry
import stack
from api import ApiError

NAME = "probe"
SOURCE = pathlib.Path(__file__).parent / "probe.c"
# RunTask starts at most this many at once.
RUN_TASK_MAX = 10
TIMEOUT_SECONDS = 60
LOOK_EVERY_SECONDS = 0.02


class ProbeApp:
    def __init__(self, neargate):
        self.neargate = neargate
        neargate.serve()
        neargate.wait_ready()
        self.api = neargate.api()
        stack.create(self.api, NAME, self._image(), count=0)
        self.resources = stack.resources(self.api, NAME)

    def _image(self):
        repository = self.api.json("ecr", "CreateRepository", repositoryName=NAME)
        uri = repository["repository"]["repositoryUri"]
        with tempfile.TemporaryDirectory(prefix="ngbench-probe-", dir="/var/tmp") as directory:
            program = pathlib.Path(directory) / "probe"
            subprocess.run(["cc", "-static", "-O2", "-o", str(program), str(SOURCE)], check=True)
            digest = registry.push(self.api, NAME, program.read_bytes(), "/probe")
        return f"{uri}@{digest}"

    def run_tasks(self, count=1):
        """Asks for tasks; returns when it was asked (seconds since 1970) and their ARNs."""
        asked = time.time()
        answer = self.api.json(
            "ecs", "RunTask", cluster=NAME, taskDefinition=NAME, count=count,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {
                "subnets": [self.resources["SubnetA"], self.resources["SubnetB"]],
                "securityGroups": [self.resources["ContainerGroup"]],
                "assignPublicIp": "ENABLED",
            }},
        )
        if answer.get("failures") or len(answer["tasks"]) != count:
            raise RuntimeError(f"RunTask did not start {count}: {answer.get('failures')}")
        return asked, [task["taskArn"] for task in answer["tasks"]]

    def first_acts(self, tasks):
        """When each task's process began to run, by its own clock, in seconds since 1970."""
        return [self._first_act(task) for task in tasks]

    def _first_act(self, task):
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            if line := self._first_line(task):
                return int(line) / 1e9
            self._still_comes(task)
            time.sleep(LOOK_EVERY_SECONDS)
        raise RuntimeError(f"the task `{task}` does not write its time")

    def _first_line(self, task):
        """What the task's container wrote first, or None."""
        stream = f"web/web/{task.rsplit('/')[-1]}"
        try:
            events = self.api.json(
                "logs", "GetLogEvents", logGroupName=self.resources["LogGroup"],
                logStreamName=stream, startFromHead=True,
            )["events"]
        except ApiError as error:
            if "ResourceNotFoundException" in str(error):
                return None
            raise
        return events[0]["message"] if events else None

    def _still_comes(self, task):
        found = self.describe([task])[0]
        if found["lastStatus"] == "STOPPED":
            raise RuntimeError(f"a task did not start: {found.get('stoppedReason')}")

    def describe(self, tasks):
        found = []
        for start in range(0, len(tasks), 100):
            some = tasks[start:start + 100]
            found += self.api.json("ecs", "DescribeTasks", cluster=NAME, tasks=some)["tasks"]
        return found

    def wait_status(self, tasks, wanted):
        end = time.monotonic() + TIMEOUT_SECONDS
        while found := [it for it in self.describe(tasks) if it["lastStatus"] != wanted]:
            if found[0]["lastStatus"] == "STOPPED":
                raise RuntimeError(f"a task did not start: {found[0].get('stoppedReason')}")
            if time.monotonic() > end:
                raise RuntimeError(f"{len(found)} of {len(tasks)} tasks are not {wanted}")
            time.sleep(LOOK_EVERY_SECONDS)

    def stop_tasks(self, tasks):
        for task in tasks:
            self.api.json("ecs", "StopTask", cluster=NAME, task=task)
        self.wait_status(tasks, "STOPPED")
