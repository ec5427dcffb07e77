# SPDX-License-Identifier: MIT
"""
User instructions of a request, by valgrind's callgrind, which counts each that a process runs. So
it does not depend on the processor, nor on what else the machine does; but the processes are not
confined as they are else (unconfined.c), and are so slow that more requests are decided together
than there would be. What a process has run in all is known when it has ended: so the server is run
with and without the requests, and the difference is theirs.

Who wants to know where they go: `callgrind_annotate build/bench/callgrind/NAME'.
"""

import os
import re
import shutil
import subprocess

from world import POOLS, TOOLS, World, processes, wait_for

PEERS = 20000
FOLDER = os.path.join(TOOLS, "callgrind")
PROGRAM = os.path.join(TOOLS, "unconfined", "wg-dynamic")
ROLES = ("monitor", "spawner", "engine")
SIZES = {1: 500, 64: 4096}  # requests, by number at once


def total(path):
    with open(path, encoding="utf-8") as lines:
        return int(re.search(r"^(?:totals|summary): (\d+)", lines.read(), re.M).group(1))


def run(name, loads, peers=PEERS):
    """Instructions of monitor, spawner and engine, from their start to their end."""
    folder = os.path.join(FOLDER, "of " + name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with World() as world:
        world.tunnel()
        world.device(peers)
        server = world.start("srv", "valgrind", "-q", "--tool=callgrind",
                             "--callgrind-out-file=%s/%%p" % folder, PROGRAM, "server", "wg0",
                             "foreground", "pool", POOLS)
        wait_for(lambda: server.poll() is not None or len(processes(server.pid)) == 3, 60)
        pids = processes(server.pid)
        # The first answer comes when all is ready.
        world.load(c=1, n=1, p=1, f=peers)
        for load in loads:
            world.load(**load)
        world.stop(server)
    counts = []
    for role, pid in zip(ROLES, pids):
        counts.append(total(os.path.join(folder, str(pid))))
        os.rename(os.path.join(folder, str(pid)), os.path.join(FOLDER, "%s-%s" % (name, role)))
    shutil.rmtree(folder, ignore_errors=True)  # readers of the device may still write theirs
    return counts


def count():
    """By kind (new, renewals) and number at once, of each process: instructions of one request."""
    found = {}
    none = run("none", [])
    for c, n in SIZES.items():
        load = {"c": c, "n": n, "p": n, "f": 1}
        new = run("new-%d" % c, [load])
        both = run("renewals-%d" % c, [load, load])
        found["new", c] = [(a - b) / n for a, b in zip(new, none)]
        found["renewals", c] = [(a - b) / n for a, b in zip(both, new)]
    return found


def functions(name, inclusive=False):
    """Of a process that run() has counted: instructions by function, with what it calls or not."""
    done = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=100",
                           "--inclusive=%s" % ("yes" if inclusive else "no"),
                           os.path.join(FOLDER, name)], stdout=subprocess.PIPE, text=True,
                          check=True)
    found = {}
    for line in done.stdout.splitlines():
        match = re.match(r" *([\d,]+) \( *[\d.]+%\)  \S+?:(\S+)", line)
        if match:
            found[match[2]] = found.get(match[2], 0) + int(match[1].replace(",", ""))
    return found


def of_one(kind, c, role, inclusive=False):
    """Likewise of one request of those that count() has counted."""
    before = functions(("none" if kind == "new" else "new-%d" % c) + "-" + role, inclusive)
    return {name: (times - before.get(name, 0)) / SIZES[c]
            for name, times in functions("%s-%d-%s" % (kind, c, role), inclusive).items()}


def renewals(peers, requests=4096):
    """Instructions of one renewal on a device of that many peers, all of which have leases."""
    lease = {"c": 64, "n": peers, "p": peers}
    renew = {"c": 64, "n": requests, "p": peers}
    less, more = (run("growth-%d" % peers, loads, peers) for loads in ([lease], [lease, renew]))
    return sum(b - a for a, b in zip(less, more)) / requests
