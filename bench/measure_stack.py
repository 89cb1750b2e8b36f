"""Creating and deleting a stack of neargate's own template, with the image there: a network, a
cluster, a load balancer and a service of two containers."""

import figures
import stack
from daemon import Neargate


def measure(executable, website, repeats):
    with Neargate(executable) as neargate:
        # The image comes into the registry with an application of its own.
        image = image_of(neargate, website)
        created, deleted = [], []
        for number in range(repeats):
            name = f"bench-{number}"
            created.append(stack.create(neargate.api(), name, image, count=2))
            deleted.append(stack.delete(neargate.api(), name))
    return {
        "stack_create_seconds": figures.summary(created),
        "stack_delete_seconds": figures.summary(deleted),
    }


def image_of(neargate, website):
    neargate.up(website, "--name", "site")
    api = neargate.api()
    image = api.json(
        "ecs", "DescribeTaskDefinition", taskDefinition="site"
    )["taskDefinition"]["containerDefinitions"][0]["image"]
    stack.delete(api, "site")
    return image
