"""Calls to neargate's AWS door: Signature Version 4, the JSON and the query protocol.

Only what the benchmark needs. Each call is a connection of its own, as a command line's is.
"""

import datetime
import hashlib
import hmac
import http.client
import json
import typing
import urllib.parse
import xml.etree.ElementTree as xml

# The `X-Amz-Target` prefixes of services that speak JSON.
JSON_TARGETS = {
    "ecs": "AmazonEC2ContainerServiceV20141113",
    "logs": "Logs_20140328",
    "ecr": "AmazonEC2ContainerRegistry_V20150921",
    "codepipeline": "CodePipeline_20150709",
}
# The API versions of services that speak the query protocol.
QUERY_VERSIONS = {
    "cloudformation": "2010-05-15",
    "elasticloadbalancing": "2015-12-01",
    "ec2": "2016-11-15",
}
# Longer than any answer takes, so that a benchmark never hangs on one.
TIMEOUT_SECONDS = 60


class Target(typing.NamedTuple):
    """What a request is about, as it is signed."""

    method: str
    path: str
    query: str


# Where everybody but S3 takes requests.
POST = Target("POST", "/", "")


class ApiError(Exception):
    """An answer that is not a success."""


class Api:
    """A caller with a key pair. `environment` is what `neargate env --json` prints."""

    def __init__(self, environment):
        self.address = environment["AWS_ENDPOINT_URL"].removeprefix("http://")
        self.key_id = environment["AWS_ACCESS_KEY_ID"]
        self.secret = environment["AWS_SECRET_ACCESS_KEY"]
        self.region = environment["AWS_REGION"]

    def json(self, service, operation, **members):
        """An operation of a service that speaks JSON 1.1."""
        body = json.dumps(members).encode()
        return json.loads(self._post(service, json_headers(service, operation), body) or b"{}")

    def json_headers(self, service, operation, body):
        """The headers of such a request, signed, for another client to send."""
        return self._signed(service, json_headers(service, operation), body)

    def ec2(self, operation, **members):
        """EC2's own query protocol, for inputs without lists."""
        return self.query("ec2", operation, **members)

    def query(self, service, operation, **members):
        """An operation of a service that speaks the query protocol; the answer is an XML element."""
        form = {"Action": operation, "Version": QUERY_VERSIONS[service]}
        form |= dict(flattened(members))
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = self._post(service, headers, urllib.parse.urlencode(form).encode())
        return without_namespaces(xml.fromstring(answer))

    def s3(self, method, path, query="", body=b""):
        """An operation of S3. The query's pairs are sorted and need no escapes."""
        return self._send("s3", {}, body, Target(method, path, query))

    def _post(self, service, headers, body):
        return self._send(service, headers, body, POST)

    def _send(self, service, headers, body, target):
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_SECONDS)
        signed = self._signed(service, headers, body, target)
        try:
            where = f"{target.path}?{target.query}" if target.query else target.path
            connection.request(target.method, where, body, signed)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ApiError(f"{service} answered {response.status}: {answer.decode(errors='replace')}")
        return answer

    def _signed(self, service, headers, body, target=POST):
        """The headers with those of the signature (AWS IAM User Guide, "Create a signed request")."""
        time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        body_hash = hashlib.sha256(body).hexdigest()
        headers = headers | {
            "host": self.address, "x-amz-date": time, "x-amz-content-sha256": body_hash,
        }
        names = sorted(headers)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        canonical = f"{target.method}\n{target.path}\n{target.query}\n{lines}\n{';'.join(names)}\n{body_hash}"
        scope = f"{time[:8]}/{self.region}/{service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}"
        key = f"AWS4{self.secret}".encode()
        for part in (time[:8], self.region, service, "aws4_request", to_sign):
            key = hmac.digest(key, part.encode(), "sha256")
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={key.hex()}"
        )
        return headers


def json_headers(service, operation):
    return {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": f"{JSON_TARGETS[service]}.{operation}",
    }


def flattened(value, name=""):
    """The pairs of the query protocol: `A.member.1.B` for nested lists and structures."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flattened(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from flattened(inner, f"{name}.member.{number}")
    else:
        yield name, str(value)


def without_namespaces(element):
    for inner in element.iter():
        inner.tag = inner.tag.rpartition("}")[2]
    return element
