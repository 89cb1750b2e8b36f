"""The results as a JSON file, as a Markdown table, and as a part of the README."""

import json

BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"

NOTES = """\
Each figure was measured in this run; `bench/run` repeats it. A percentile is a measured value. \
*Up from nothing*: no daemon, a new state directory, the executable built. *Edit to live*: from \
saving the file until the last answer with the old page has arrived. *RunTask*: from before the \
request is sent until the process itself reads the clock as its first act. *Balancer*: wrk, one \
thread, on the same cores; both listen on the host and connect from the load balancer's own \
interface through the same security groups to one origin (an nginx with a fixed answer of 1 KiB in \
a task's network), measured in turns; nginx with two workers, `reuseport`, upstream keep-alive and \
no access log. *A move* of a process between control groups is part of every start; it takes a \
kernel 5 to 15 ms, and a fraction of one since anything asked it for `favordynmods`. *Push to live*: from before \
`git push` until the last answer with the old page has arrived; the pipeline polls its repository, \
builds with `docker build` in a container, pushes, and deploys. *Build*: five steps on `FROM scratch`, \
the client's own start included. *Layer*: one client, one connection, in turns. *DescribeServices*: one \
service; wrk, one thread; neargate verifies each signature. *Memory*: PSS counts a page that several processes share once; RSS counts it for \
each."""


def write_json(results, path):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


def markdown(results):
    rows = [row for group in ROWS for row in group(results)]
    lines = ["| What | Measured | Aim |", "|---|---|---|"]
    lines += [f"| {what} | {measured} | {aim} |" for what, measured, aim in rows]
    return "\n".join([about(results["machine"]), "", *lines, "", NOTES])


def about(machine):
    busy = machine["load_before"] > machine["cores"] / 4
    shared = " Other programs ran on the machine meanwhile." if busy else ""
    move = machine["cgroup_move_ms"]
    fast = ", as with `favordynmods`" if move < 1 else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB of memory, "
        f"{machine['system']}, kernel {machine['kernel']}, {machine['file_system']}, "
        f"cgroup {machine['cgroups']} (a move takes {move} ms{fast}); {machine['date']}; "
        f"load average {machine['load_before']} before and {machine['load_after']} after the run."
        f"{shared}"
    )


def seconds(value):
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"


def median_and_max(found):
    runs = len(found["values"])
    return f"median {seconds(found['p50'])}, max {seconds(found['max'])} ({runs} runs)"


def up_rows(results):
    if found := results.get("up_first_seconds"):
        yield "`neargate up examples/website` from nothing", median_and_max(found), "5 s"
    if found := results.get("up_second_seconds"):
        yield "`up` again, nothing changed", median_and_max(found), "2 s"


def edit_rows(results):
    if found := results.get("edit_to_live_seconds"):
        yield "Edit to live, two containers", median_and_max(found), ""
    if load := results.get("edit_load"):
        asked = load["requests_per_second_asked"]
        measured = f"{load['failed']} of {load['requests']}"
        yield f"Failed requests during these, at {asked} a second", measured, "0"


def task_rows(results):
    if found := results.get("run_task_seconds"):
        measured = f"p50 {seconds(found['p50'])}, p99 {seconds(found['p99'])} of {len(found['values'])}"
        yield "RunTask to process running", measured, "p50 20 ms"
    if many := results.get("many_tasks"):
        first, last = many["first_batches_seconds"]["p50"], many["last_batches_seconds"]["p50"]
        measured = f"{seconds(first)} the first five batches, {seconds(last)} the last five (medians)"
        yield f"{many['tasks']} tasks in batches of {many['batch_of']}, a batch", measured, "flat"
        each = many["supervisor_pss_mib_each"]
        measured = f"{each:.2f} MiB (PSS) of its supervisor, {many['daemon_kib_per_task']:.0f} KiB of the daemon"
        yield "Memory for each of these", measured, ""


def stack_rows(results):
    for name, what in (("create", "created"), ("delete", "deleted")):
        if found := results.get(f"stack_{name}_seconds"):
            yield f"Stack of `up`'s template {what}", median_and_max(found), ""


def daemon_rows(results):
    if found := results.get("daemon_ready_seconds"):
        runs = len(found["values"])
        measured = f"p50 {seconds(found['p50'])}, max {seconds(found['max'])} ({runs} starts)"
        yield "Daemon start to ready", measured, "100 ms"
    names = {"daemon": "daemon", "edge": "load balancer process", "shim": "one task's supervisor"}
    for role, found in results.get("idle_memory_mib", {}).items():
        aim = "40 MiB" if role == "daemon" else ""
        measured = f"{found['pss']:.1f} MiB PSS, {found['rss']:.1f} MiB RSS"
        yield f"Idle memory, {names[role]}", measured, aim
    if size := results.get("executable_bytes"):
        yield "Executable", f"{size / 1e6:.1f} MB", "40 MB"


def balancer_rows(results):
    for connections, found in results.get("balancer", {}).items():
        for name, it in found.items():
            aim = "nginx's rate" if name == "neargate" else ""
            errors = f", {it['errors']} errors" if it["errors"] else ""
            yield (
                f"Load balancer, {connections} connections: {name}",
                f"{it['requests_per_second']:,.0f} requests/s, p50 {it['latency_ms_p50']:.2f} ms, "
                f"p99 {it['latency_ms_p99']:.2f} ms{errors}",
                aim,
            )


def delivery_rows(results):
    if found := results.get("delivery_create_seconds"):
        yield "`create-stack` of `examples/delivery` to its URL answering", seconds(found["p50"]), "5 s"
    if found := results.get("push_to_live_seconds"):
        measured = f"p50 {seconds(found['p50'])}, p99 {seconds(found['p99'])} of {len(found['values'])}"
        yield "`git push` to live, two containers", measured, "3 s"
    if load := results.get("push_load"):
        asked = load["requests_per_second_asked"]
        measured = f"{load['failed']} of {load['requests']}"
        yield f"Failed requests during these, at {asked} a second", measured, "0"


def build_rows(results):
    for name, kinds in results.get("build_seconds", {}).items():
        for kind, found in kinds.items():
            what = "`docker build`" if name == "neargate" else f"{name} build"
            aim = "100 ms" if (name, kind) == ("neargate", "cached") else ""
            yield f"{what}, {kind}", median_and_max(found), aim


def registry_rows(results):
    for name, found in results.get("registry_mb_per_second", {}).items():
        measured = f"push {found['push']['p50']:,.0f} MB/s, pull {found['pull']['p50']:,.0f} MB/s (medians)"
        aim = "twice docker-registry" if name == "neargate" else ""
        yield f"Layer of 200 MB: {name}", measured, aim


def api_rows(results):
    for name, rate in results.get("describe_services_per_second", {}).items():
        aim = "20 times moto_server" if name == "neargate" else ""
        yield f"DescribeServices, 8 connections: {name}", f"{rate:,.0f} requests/s", aim


ROWS = (
    up_rows, edit_rows, delivery_rows, task_rows, stack_rows, daemon_rows, build_rows,
    registry_rows, api_rows, balancer_rows,
)


def into_readme(text, readme):
    before, found, rest = readme.read_text().partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise SystemExit(f"`{readme}` has no `{BEGIN}` … `{END}`")
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
