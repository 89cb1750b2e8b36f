"""Tasks started through ecs:RunTask: how soon the process runs, and what many of them cost.

The time is from before the request is sent to the process's own first act, with the image there.
"""

import time

import figures
from daemon import Neargate
from memory import memory_mib
from probe_app import RUN_TASK_MAX, ProbeApp

# Between two tasks, so that each is started by a daemon at rest.
REST_SECONDS = 0.1
# Not worth more of anybody's time.
MANY_TIMEOUT_SECONDS = 120


def measure_one(executable, repeats):
    with Neargate(executable) as neargate:
        app = ProbeApp(neargate)
        seconds = []
        for _ in range(repeats):
            asked, tasks = app.run_tasks()
            time.sleep(REST_SECONDS)
            seconds.append(app.first_acts(tasks)[0] - asked)
            app.stop_tasks(tasks)
            time.sleep(REST_SECONDS)
    return {"run_task_seconds": figures.summary(seconds, digits=5)}


def measure_many(executable, total):
    """Tasks in batches of ten: does the last batch cost what the first one did?"""
    with Neargate(executable) as neargate:
        app = ProbeApp(neargate)
        began = time.monotonic()
        before = memory_mib(neargate.processes("serve")[0])
        running, batches = [], []
        while len(running) < total:
            asked, tasks = app.run_tasks(RUN_TASK_MAX)
            app.wait_status(tasks, "RUNNING")
            batches.append(max(app.first_acts(tasks)) - asked)
            running += tasks
            if time.monotonic() - began > MANY_TIMEOUT_SECONDS:
                print(f"  stopped at {len(running)} tasks: it took too long")
                break
        many = {
            "tasks": len(running),
            "batch_of": RUN_TASK_MAX,
            "first_batches_seconds": figures.summary(batches[:5]),
            "last_batches_seconds": figures.summary(batches[-5:]),
            "batches_seconds": [round(it, 4) for it in batches],
        } | memory_of(neargate, len(running), before)
        began = time.monotonic()
        app.stop_tasks(running)
        many["stop_seconds"] = round(time.monotonic() - began, 3)
    return {"many_tasks": many}


def memory_of(neargate, count, before):
    """All supervisors together divided by their number; PSS shares the executable's pages."""
    shims = [memory_mib(pid) for pid in neargate.processes("shim")]
    after = memory_mib(neargate.processes("serve")[0])
    return {
        "supervisor_pss_mib_each": round(sum(it["pss"] for it in shims) / max(1, len(shims)), 3),
        "supervisors": len(shims),
        "daemon_pss_mib_before": before["pss"],
        "daemon_pss_mib_after": after["pss"],
        "daemon_kib_per_task": round((after["pss"] - before["pss"]) * 1024 / count, 1),
    }
