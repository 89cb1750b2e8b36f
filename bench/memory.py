"""Memory of a process, as the kernel counts it.

RSS counts every page that the process has in memory, also those of the executable, which all of
neargate's processes share. PSS divides a shared page by the number of processes that have it.
"""

import pathlib


def memory_mib(pid):
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "Pss", "Pss_Anon"):
            found[name.lower()] = round(int(value.split()[0]) / 1024, 2)
    return found
