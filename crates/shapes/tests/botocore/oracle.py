"""Speaks for botocore: makes signed requests and answers, and reads what the Rust side wrote.

`oracle.py requests` prints a line of JSON per operation: the request as botocore sends it, and an
answer's members as the shapes store them. `oracle.py check` reads one line per operation and
compares: the request's members as the shapes understood them, and the answer as botocore's own
parser reads it. Values are made from the models alone, so both runs make the same ones.
"""

import base64
import datetime
import json
import pathlib
import sys
import tomllib

import botocore.session
from botocore import parsers, serialize
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY = Credentials("AKIDTESTS", "a secret/with+signs", "a session token")
REGION = "eu-central-1"
TIME = datetime.datetime(2026, 11, 22, 12, 34, 56, tzinfo=datetime.timezone.utc)
TEXT = 'v<1>&"\'é \u2028+%41/ x'
SESSION = botocore.session.get_session()
SERVICES = pathlib.Path(__file__).parent.parent.parent / "services"


def taken(module, service):
    """Of every listed structure the members that inputs take, and those that answers have."""
    listed = tomllib.loads((SERVICES / f"{module}.toml").read_text())
    structures = dict(listed.get("structures", {}))
    for name, members in listed["operations"].items():
        if shape := service.operation_model(name).input_shape:
            structures[shape.name] = members
    in_inputs = {name: {it for it in members.split() if not set("!=") & set(it)} for name, members in structures.items()}
    in_answers = {
        name: {it.split("!")[0] for it in members.split() if "=" not in it or "!" in it}
        for name, members in structures.items()
    }
    return in_inputs, in_answers


def value(shape, takes, stack=(), full=True):
    """A value for every member that is taken, but for recursion: a shape holds itself once."""
    kind = shape.type_name
    if kind == "structure":
        if shape.name in stack:
            return None
        members = {}
        for name, member in shape.members.items():
            if name not in takes.get(shape.name, shape.members):
                continue
            if getattr(shape, "is_tagged_union", False) and members:
                break
            made = value(member, takes, stack + (shape.name,), full)
            if made is not None and (full or name in shape.required_members):
                members[name] = made
        return members
    if kind == "list":
        made = value(shape.member, takes, stack, full)
        return None if made is None else ([made, made, made] if full else [])
    if kind == "map":
        made = value(shape.value, takes, stack, full)
        keys = getattr(shape.key, "enum", None) or ["k.1", "k 2"]
        return None if made is None else ({key: made for key in keys[:2]} if full else {})
    if kind == "string":
        return shape.enum[-1] if shape.enum else TEXT
    return {
        "integer": 7,
        "long": 2**40,
        "float": 1.5,
        "double": 1.5,
        "boolean": True,
        "timestamp": TIME,
        "blob": b"\x00blob\xff",
    }[kind]


def stored(made, shape, protocol):
    """The value as the shapes store it: in JSON, with the names of answers."""
    kind = shape.type_name
    if kind == "structure" and not getattr(shape, "is_document_type", False):
        members = {}
        for name, inner in made.items():
            member = shape.members[name]
            # Members whose name is also that of a serialization trait keep their own.
            members[member.serialization.get("name", name)] = stored(inner, member, protocol)
        return members
    if kind == "list":
        return [stored(inner, shape.member, protocol) for inner in made]
    if kind == "map":
        return {key: stored(inner, shape.value, protocol) for key, inner in made.items()}
    if isinstance(made, datetime.datetime):
        return made.timestamp()
    if isinstance(made, bytes):
        return base64.b64encode(made).decode()
    return made


def without_empty_lists(made):
    """Form parameters have no way to say that a list or structure is there and empty."""
    if isinstance(made, dict):
        inner = {key: without_empty_lists(it) for key, it in made.items()}
        return {key: it for key, it in inner.items() if it not in ([], {})}
    if isinstance(made, list):
        return [without_empty_lists(it) for it in made]
    return made


def cases(operations):
    for module, signing_name, api_version, operation in operations:
        name = module.replace("_", "-")
        service = SESSION.get_service_model(name, api_version)
        model = service.operation_model(operation)
        in_inputs, in_answers = taken(module, service)
        for full in (True, False):
            given = value(model.input_shape, in_inputs, full=full) if model.input_shape else {}
            wanted = value(model.output_shape, in_answers, full=full) if model.output_shape else {}
            yield module, signing_name, service, model, full, given, wanted


def request(service, model, signing_name, given, full):
    protocol = service.resolved_protocol
    sent = serialize.create_serializer(protocol, False).serialize_to_request(given, model)
    request = AWSRequest(
        method=sent["method"],
        url="http://127.0.0.1:4566" + sent["url_path"],
        headers=dict(sent["headers"]),
        data=sent["body"],
    )
    if protocol != "json" and not full:
        # The small cases go presigned, which only works for what fits into a URL.
        request = AWSRequest(method="GET", url=request.url, params=sent["body"])
        SigV4QueryAuth(KEY, signing_name, REGION, expires=60).add_auth(request)
    else:
        SigV4Auth(KEY, signing_name, REGION).add_auth(request)
    prepared = request.prepare()
    body = prepared.body or b""
    return {
        "method": prepared.method,
        "url": prepared.url,
        "headers": [[k, v.decode() if isinstance(v, bytes) else v] for k, v in prepared.headers.items()],
        "body": body.decode() if isinstance(body, bytes) else body,
    }


def print_requests(operations):
    for module, signing_name, service, model, full, given, wanted in cases(operations):
        protocol = service.resolved_protocol
        made = {
            "module": module,
            "operation": model.name,
            "request": request(service, model, signing_name, given, full),
            "output": stored(wanted, model.output_shape, protocol) if model.output_shape else {},
        }
        print(json.dumps(made))


def check(operations):
    failures = 0
    for case, line in zip(cases(operations), sys.stdin, strict=True):
        module, _, service, model, full, given, wanted = case
        protocol = service.resolved_protocol
        got = json.loads(line)
        expected = stored(given, model.input_shape, protocol) if model.input_shape else {}
        understood = got["input"]
        if protocol != "json":
            expected, understood = without_empty_lists(expected), without_empty_lists(understood)
        answer = {"status_code": got["status"], "headers": got["headers"], "body": got["body"].encode()}
        parsed = parsers.create_parser(protocol).parse(answer, model.output_shape)
        metadata = parsed.pop("ResponseMetadata")
        problems = []
        if understood != expected:
            problems.append(f"request: {difference(understood, expected)}")
        if parsed != wanted:
            problems.append(f"answer: {difference(parsed, wanted)}")
        if metadata["RequestId"] != "the-request-id":
            problems.append(f"request id: {metadata}")
        error = {"status_code": got["error_status"], "headers": got["error_headers"], "body": got["error_body"].encode()}
        told = parsers.create_parser(protocol).parse(error, model.output_shape)
        if (told["Error"]["Code"], told["Error"]["Message"]) != ("ValidationError", TEXT):
            problems.append(f"error: {told}")
        if told["ResponseMetadata"]["RequestId"] != "the-request-id":
            problems.append(f"the error's request id: {told}")
        for problem in problems:
            failures += 1
            print(f"{module}:{model.name} (full={full}): {problem[:600]}")
    sys.exit(1 if failures else 0)


def difference(got, expected):
    if not (isinstance(got, dict) and isinstance(expected, dict)):
        return f"{got!r} instead of {expected!r}"
    keys = sorted(set(got) | set(expected))
    return {key: (got.get(key), expected.get(key)) for key in keys if got.get(key) != expected.get(key)}


if __name__ == "__main__":
    OPERATIONS = json.load(open(sys.argv[2]))
    {"requests": print_requests, "check": check}[sys.argv[1]](OPERATIONS)
