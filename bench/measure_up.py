"""`neargate up` on the example: from nothing, and again with nothing changed."""

import time

import figures
from daemon import Neargate
from memory import memory_mib

# The daemon has come to rest by then: no probe of a new target, no clean-up is left.
IDLE_AFTER_SECONDS = 3


def measure(executable, website, repeats):
    """Each repeat has a state directory of its own; memory is taken in the last one."""
    first, second, steps = [], [], []
    for number in range(repeats):
        with Neargate(executable) as neargate:
            fresh = neargate.up(website)
            again = neargate.up(website)
            first.append(fresh["wall_seconds"])
            second.append(again["wall_seconds"])
            steps.append({"first": fresh["steps"], "second": again["steps"]})
            if number == repeats - 1:
                memory = idle_memory(neargate)
    return {
        "up_first_seconds": figures.summary(first),
        "up_second_seconds": figures.summary(second),
        "up_steps_seconds": steps,
        "idle_memory_mib": memory,
    }


def idle_memory(neargate):
    """Of the daemon, the edge and one task's supervisor, while two containers run."""
    time.sleep(IDLE_AFTER_SECONDS)
    return {
        "daemon": memory_mib(neargate.processes("serve")[0]),
        "edge": memory_mib(neargate.processes("edge")[0]),
        "shim": memory_mib(neargate.processes("shim")[0]),
    }
