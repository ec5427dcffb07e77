# SPDX-License-Identifier: MIT
"""Leases that all end in the same second, and the last free address of a pool."""

import time

from large import newcomers, paced, say
from watch import split, summary
from world import Failure, World

EXPIRING = 100000
BATCHES = 20
WAIT = 60  # seconds from the first of these leases to the end of all
BEFORE, PACED = 10, 25  # seconds: others' requests come from so long before that, for so long
POOL = ("10.7.0.0/16", 65534)
WARM = 500  # leases, which a server has given before its first ones are timed
PARTS, SAMPLE = 5, 100  # of the last addresses, and how many are in each
SKIPPED = 10  # of a part, in which a new load generator warms up

LEASE = "request_ip=1\\nip=0.0.0.0/32\\nip=::/128\\nleasetime=%d\\n\\n"
ADDRESS = "request_ip=1\\nip=0.0.0.0/32\\n\\n"


def expiry(number=EXPIRING):
    """
    Leases are whole seconds long. So they are asked for in batches, each for what is left until
    the same time, and end within a second. Others' requests come at an even pace all the while.
    """
    say("%d leases that end in the same second", number)
    with World() as world:
        world.tunnel()
        others = 2000
        device = world.device(number + others + newcomers(PACED))
        world.server()
        world.load(c=64, n=others, p=others, f=number + 1)
        size, end = number // BATCHES, time.monotonic() + WAIT
        for i in range(BATCHES):
            left = end - time.monotonic()
            if left < 12:
                raise Failure("leases are granted too slowly for them to end together")
            time.sleep(left % 1)
            world.load(c=64, n=size, p=size, f=1 + i * size,
                       q=LEASE % round(end - time.monotonic()))
        before = world.device_counts(device)["allowed_ips"]
        time.sleep(end - time.monotonic() - BEFORE)
        results = paced(world, PACED, number + 1, others, number + others + 1)
        new = len(results["new leases"])
        gone = before + 2 * new - world.device_counts(device)["allowed_ips"]
        if gone != 2 * number:
            raise Failure("%d addresses were to be taken out, but %d were" % (2 * number, gone))
        found = {"leases": number}
        for kind, slowest in results.items():
            during, else_ = split(slowest, [(end - 1, end + 13)])
            found[kind] = {"during": summary(during), "else": summary(else_)}
        return found


def last_address():
    """
    Latencies of the last requests that a pool has an address for; and of as many of another server,
    whose pool is as good as empty, in parts that follow each other.
    """
    say("a pool of %d addresses, up to the last one", POOL[1])
    one = {"i": 1, "q": ADDRESS}
    found = {"first": [], "last": []}
    with World() as empty, World() as full:
        for world in (empty, full):
            world.tunnel()
            world.device(POOL[1] + 1)
            world.server(pools=POOL[0])
        rest = POOL[1] - PARTS * SAMPLE
        for world, warm in ((empty, WARM), (full, rest)):
            world.load(c=64, n=warm, p=warm, f=1, **one)
        for i in range(PARTS):
            for key, world, peer in (("first", empty, WARM + 1), ("last", full, rest + 1)):
                result = world.load(c=1, n=SAMPLE, p=SAMPLE, f=peer + i * SAMPLE, s=SAMPLE, **one)
                found[key] += [us for _, us in sorted(result["slowest"])[SKIPPED:]]
        # And there is none any more.
        none = full.load(refused=True, c=1, n=1, p=1, f=POOL[1] + 1, **one)
        if not none["failed"]:
            raise Failure("there was an address left in a pool that is full")
    return found
