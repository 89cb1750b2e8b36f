"""Stacks of neargate's own template, created and deleted through CloudFormation's API."""

import contextlib
import pathlib
import time

from api import ApiError

TEMPLATE = pathlib.Path(__file__).parent.parent / "crates/neargate/src/templates/application.yaml"
# What a person would see as at once; the same that `neargate up` uses is 30 ms.
LOOK_EVERY_SECONDS = 0.01
TIMEOUT_SECONDS = 120


def create(api, name, image, count, port=8080):
    """Creates a stack and returns the seconds until CREATE_COMPLETE."""
    values = {"Name": name, "Image": image, "Count": count, "ContainerPort": port}
    began = time.monotonic()
    api.query(
        "cloudformation", "CreateStack", StackName=name, TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    wait(api, name, "CREATE_COMPLETE")
    return time.monotonic() - began


def delete(api, name):
    """Deletes a stack and returns the seconds until DELETE_COMPLETE."""
    began = time.monotonic()
    stack_id = describe(api, name).findtext("StackId")
    api.query("cloudformation", "DeleteStack", StackName=name)
    wait(api, stack_id, "DELETE_COMPLETE")
    return time.monotonic() - began


def describe(api, name):
    answer = api.query("cloudformation", "DescribeStacks", StackName=name)
    return answer.find("./DescribeStacksResult/Stacks/member")


def wait(api, name, wanted):
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        status = describe(api, name).findtext("StackStatus")
        if status == wanted:
            return
        if not status.endswith("IN_PROGRESS"):
            raise ApiError(f"the stack `{name}` is {status}: {'; '.join(failures(api, name))}")
        time.sleep(LOOK_EVERY_SECONDS)
    raise ApiError(f"the stack `{name}` is not {wanted} after {TIMEOUT_SECONDS} s")


def failures(api, name):
    with contextlib.suppress(ApiError):
        answer = api.query("cloudformation", "DescribeStackEvents", StackName=name)
        for event in answer.iter("member"):
            if (event.findtext("ResourceStatus") or "").endswith("_FAILED"):
                reason = event.findtext("ResourceStatusReason")
                yield f"{event.findtext('LogicalResourceId')}: {reason}"


def resources(api, name):
    """Logical to physical ids."""
    answer = api.query("cloudformation", "DescribeStackResources", StackName=name)
    return {
        it.findtext("LogicalResourceId"): it.findtext("PhysicalResourceId")
        for it in answer.iter("member")
    }


def outputs(api, name):
    return {
        it.findtext("OutputKey"): it.findtext("OutputValue")
        for it in describe(api, name).findall("./Outputs/member")
    }
