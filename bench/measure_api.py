"""DescribeServices, requests per second, beside moto's server: the same signed request by the same
client, one after the other. neargate verifies the signature of each; moto does not look at it."""

import json
import pathlib
import re
import subprocess
import tempfile

import peers
from api import Api
from daemon import EDGE, Neargate

MOTO_PORT = 4599
ROUND_SECONDS = 4
CONNECTIONS = 8
SCRIPT = """
wrk.method = "POST"
wrk.body = {body}
{headers}
function response(status) if status ~= 200 then wrk.thread:stop() end end
"""


def missing():
    return peers.missing("wrk", str(peers.MOTO))


def measure(executable, rounds):
    with Neargate(executable) as neargate:
        neargate.serve()
        neargate.wait_ready()
        api = neargate.api()
        prepare(api)
        command = [str(peers.MOTO), "-H", EDGE, "-p", str(MOTO_PORT)]
        with peers.running(command, f"http://{EDGE}:{MOTO_PORT}/moto-api/"):
            moto = Api({
                "AWS_ENDPOINT_URL": f"http://{EDGE}:{MOTO_PORT}", "AWS_REGION": api.region,
                "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret",
            })
            prepare(moto)
            found = {"neargate": [], "moto_server": []}
            for _ in range(rounds):
                found["neargate"].append(rate(api))
                found["moto_server"].append(rate(moto))
    return {"describe_services_per_second": {name: max(it) for name, it in found.items()}}


def prepare(api):
    """A cluster with a service that runs nothing: what is described is the same on both sides."""
    api.json("ecs", "CreateCluster", clusterName="bench")
    api.json(
        "ecs", "RegisterTaskDefinition", family="bench", cpu="256", memory="512",
        networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
        containerDefinitions=[{"name": "web", "image": "bench", "essential": True}],
    )
    vpc = api.ec2("CreateVpc", CidrBlock="10.9.0.0/16").findtext(".//vpcId")
    subnet = api.ec2("CreateSubnet", VpcId=vpc, CidrBlock="10.9.1.0/24").findtext(".//subnetId")
    group = api.ec2(
        "CreateSecurityGroup", GroupName="bench", GroupDescription="bench", VpcId=vpc
    ).findtext(".//groupId")
    # moto fails without security groups, which are optional.
    network = {"subnets": [subnet], "securityGroups": [group]}
    api.json(
        "ecs", "CreateService", cluster="bench", serviceName="web", taskDefinition="bench",
        desiredCount=0, launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": network},
    )
    asked = describe(api)
    if len(asked["services"]) != 1:
        raise RuntimeError(f"there is no service to describe: {asked}")


def describe(api):
    return api.json("ecs", "DescribeServices", cluster="bench", services=["web"])


def rate(api):
    """Requests per second, all of which were answered with 200."""
    body = json.dumps({"cluster": "bench", "services": ["web"]}).encode()
    headers = api.json_headers("ecs", "DescribeServices", body)
    # wrk adds one of its own to any other spelling.
    headers["Host"] = headers.pop("host")
    lines = "\n".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items())
    with tempfile.TemporaryDirectory(prefix="ngbench-", dir="/var/tmp") as directory:
        script = pathlib.Path(directory) / "ask.lua"
        script.write_text(SCRIPT.format(body=json.dumps(body.decode()), headers=lines))
        done = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_SECONDS}s", "-s", script,
             f"http://{api.address}/"],
            capture_output=True, text=True, timeout=60, check=True,
        )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"not every request was answered: {done.stdout}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])
