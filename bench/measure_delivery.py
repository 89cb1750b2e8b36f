"""Continuous delivery: from create-stack until the URL of the example's stack answers, and from a push
to the branch until the last answer of the version before, under a steady load."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import figures
import peers
from daemon import EDGE, Neargate
from load import RATE, Load

ROOT = pathlib.Path(__file__).resolve().parent.parent
AWS = ROOT / ".venv/bin/aws"
IMAGES = {
    "ruby:3.3-slim": ROOT / "target/test-images/ruby.tar",
    "aws/codebuild/environment:latest": ROOT / "target/test-images/build-environment.tar",
}
GITHUB_PORT = 8929
TOKEN = "bench-token"
BUCKET, STACK, REPOSITORY = "bench-templates", "bench", "hello-world"
MARK = re.compile(rb"edition (\d+)")
MARGIN_SECONDS = 1
TIMEOUT_SECONDS = 180


def missing():
    return peers.missing("docker", "git", str(AWS), *map(str, IMAGES.values()))


def measure(executable, pushes):
    with tempfile.TemporaryDirectory(prefix="ngbench-delivery-", dir="/var/tmp") as directory:
        place = pathlib.Path(directory)
        (place / "github/bench").mkdir(parents=True)
        script = ROOT / "crates/e2e/fixtures/github.py"
        github = [sys.executable, script, place / "github", str(GITHUB_PORT), TOKEN]
        address = f"http://127.0.0.1:{GITHUB_PORT}"
        options = ["--github", address]
        with peers.running(github, address), Neargate(executable, options) as neargate:
            return Walk(neargate, place).measure(pushes)


class Walk:
    """A user at a shell."""

    def __init__(self, neargate, place):
        self.neargate = neargate
        self.app = place / "app"
        neargate.serve()
        neargate.wait_ready()
        variables = json.loads(neargate.run("env", "--json"))
        self.environment = os.environ | variables | {
            "PATH": f"{AWS.parent}:{os.environ['PATH']}", "HOME": str(place), "AWS_PAGER": "",
        }
        shutil.copytree(ROOT / "examples/sinatra", self.app)
        self.bare = place / "github/bench/app.git"

    def types(self, line, folder=ROOT / "examples/delivery"):
        done = subprocess.run(
            ["sh", "-euc", line], cwd=folder, env=self.environment, capture_output=True, text=True,
            timeout=TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            raise RuntimeError(f"`{line}`: {done.stdout}{done.stderr}{self.neargate.log_end()}")
        return done.stdout.strip()

    def measure(self, pushes):
        for name, file in IMAGES.items():
            self.neargate.run("image", "import", str(file), name)
        self.prepare()
        created = self.create()
        url = self.url()
        self.wait_for_executions(1)
        with Load(url, EDGE) as load:
            time.sleep(MARGIN_SECONDS)
            pushed = [self.push(number) for number in range(1, pushes + 1)]
            time.sleep(MARGIN_SECONDS)
        return {"delivery_create_seconds": figures.summary([created])} | live(load, pushed)

    def prepare(self):
        self.write(0)
        self.types("docker build --quiet --tag rea .", self.app)
        uri = self.types(
            f"aws ecr create-repository --repository-name {REPOSITORY} "
            "--query repository.repositoryUri --output text"
        )
        self.types(
            f"aws ecr get-login-password | docker login -u AWS --password-stdin {uri.split('/')[0]}; "
            f"docker tag rea {uri}; docker push --quiet {uri}"
        )
        self.types(f"aws s3 mb s3://{BUCKET}; aws s3 cp --recursive templates s3://{BUCKET}/templates")
        self.types(
            f"git init --quiet --bare --initial-branch main {self.bare}; "
            "git init --quiet --initial-branch main; git config user.name b; "
            f"git config user.email b@b; git add .; git commit --quiet -m 0; "
            f"git remote add origin {self.bare}; git push --quiet --set-upstream origin main",
            self.app,
        )

    def write(self, number):
        text = (self.app / "app.rb").read_text()
        text = re.sub(r'"(Hello World!|edition \d+)\\n"', rf'"edition {number}\\n"', text)
        (self.app / "app.rb").write_text(text)

    def create(self):
        """Until the URL answers, looked at from the moment that the command was typed."""
        parameters = {
            "TemplateBucket": BUCKET, "RepositoryName": REPOSITORY, "GitHubOwner": "bench",
            "GitHubRepository": "app", "GitHubToken": TOKEN,
        }
        words = " ".join(f"ParameterKey={k},ParameterValue={v}" for k, v in parameters.items())
        began = time.monotonic()
        self.types(
            f"aws cloudformation create-stack --stack-name {STACK} --template-body file://main.yaml "
            f"--capabilities CAPABILITY_IAM --parameters {words}; "
            f"aws cloudformation wait stack-create-complete --stack-name {STACK}"
        )
        with Load(self.url(), EDGE) as load:
            while not any(body for _, body in load.answers):
                if time.monotonic() - began > TIMEOUT_SECONDS:
                    raise RuntimeError("the stack's URL does not answer")
                time.sleep(0.005)
        return time.monotonic() - began

    def url(self):
        return self.types(
            f"aws cloudformation describe-stacks --stack-name {STACK} --output text "
            "--query 'Stacks[0].Outputs[?OutputKey==`ServiceUrl`].OutputValue'"
        )

    def push(self, number):
        """When the push began; returns when its execution has ended."""
        self.write(number)
        self.types(f"git commit --quiet -am {number}", self.app)
        began = time.monotonic()
        self.types("git push --quiet", self.app)
        self.wait_for_executions(number + 1)
        return began

    def wait_for_executions(self, count):
        api = self.neargate.api()
        name = api.json("codepipeline", "ListPipelines")["pipelines"][0]["name"]
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            found = api.json("codepipeline", "ListPipelineExecutions", pipelineName=name)
            found = [it["status"] for it in found["pipelineExecutionSummaries"]]
            if "Failed" in found:
                break
            if found.count("Succeeded") >= count:
                return
            time.sleep(0.02)
        raise RuntimeError(f"{count} executions did not succeed: {found}")


def live(load, pushed):
    seen = {}
    for ended, body in load.answers:
        if found := body and MARK.search(body):
            seen.setdefault(int(found[1]), []).append(ended)
    took = []
    for version, began in enumerate(pushed, 1):
        if version not in seen:
            raise RuntimeError(f"version {version} was never served")
        took.append(max(max(seen[version - 1]), min(seen[version])) - began)
    return {
        "push_to_live_seconds": figures.summary(took),
        "push_load": {
            "requests_per_second_asked": RATE, "requests": len(load.answers),
            "failed": load.failed(), "complaints": load.complaints[:20],
        },
    }
