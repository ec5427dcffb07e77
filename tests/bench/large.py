# SPDX-License-Identifier: MIT
"""
One server with as many peers as wished, up to 500,000, each with two addresses: memory, readings of
the device, start, compaction, and the cost of a request.
"""

import concurrent.futures
import os
import signal
import subprocess
import time

from counting import ROLES
from observe import counts_instructions, cpu_seconds, instructions, memory, peak
from watch import compactions, first_reading, longer, longest_at, readings, split, summary
from world import TOOLS, Failure, World, processes, wait_for

PACE = {"renewals": 200, "new leases": 20}  # a second, of which each is timed
READINGS = 70  # seconds of that, in which the device is read twice
COMPACTION = 40
WORK = 1.5  # times as long as a reading takes, until the server has done with it
SETTLE = 2  # seconds after a reading before something else is measured
AFTER = 1  # seconds after a journal was written anew, in which the old one is freed
READING = 30  # seconds, from one to the next
COUNTED = 20000  # requests of which the cost is taken


def say(text, *values):
    print("scale: " + text % values, flush=True)


def spent(pids, work):
    """Processor time of each process meanwhile, in us, and what work() returns."""
    before = cpu_seconds(pids)
    result = work()
    return [(b[0] - a[0]) * 1e6 for a, b in zip(before, cpu_seconds(pids))], result


def newcomers(seconds):
    """How many have no lease before they are in the pace."""
    return PACE["new leases"] * seconds


def paced(world, seconds, first, peers, newcomer):
    """
    For so long, at an even pace whatever becomes of it: renewals of those peers, and new leases
    from the newcomer on. By kind: when each was due, and how long it took.
    """
    loads = {"renewals": {"f": first, "p": peers},
             "new leases": {"f": newcomer, "p": newcomers(seconds)}}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {kind: pool.submit(world.load, r=PACE[kind], t=seconds, s=PACE[kind] * seconds,
                                     **load) for kind, load in loads.items()}
        return {kind: done.result()["slowest"] for kind, done in running.items()}


class Large:
    """
    The server, its device, and what is measured on them, in this order. Beside the peers there may
    be others, which have no lease until the pace.
    """

    def __init__(self, world, peers, others=0):
        self.world, self.peers, self.reader_peak = world, peers, 0
        self.newcomer = peers + 1
        world.tunnel()
        self.device = world.device(peers + others)
        self.others = others
        self.server = world.server()

    def lease(self, rounds):
        """
        A lease for each: what one cost, over all of them, and of the last ones, in as many parts
        as there are rounds (but of 1,000 at least), which no reading falls in.
        """
        say("%d leases", self.peers)
        last = min(self.peers, COUNTED)
        parts = max(1, min(rounds, last // 1000))
        ends = [self.peers - last + last * i // parts for i in range(parts + 1)]
        pids = processes(self.server.pid)

        def some(first, end):
            return self.world.load(c=64, n=end - first, p=end - first, f=first + 1)

        whole = 0
        if ends[0]:
            whole += sum(spent(pids, lambda: some(0, ends[0]))[0])
        self.quiet()
        found = []
        for first, end in zip(ends, ends[1:]):
            times, result = spent(pids, lambda first=first, end=end: some(first, end))
            whole += sum(times)
            times = [us / (end - first) for us in times]
            found.append({"cpu": sum(times), **dict(zip(ROLES, times)), "rate": result["rate"]})
        counts = self.world.device_counts(self.device)
        if counts["allowed_ips"] != 3 * self.peers + self.others:
            raise Failure("not all leases are on the device: %s" % counts)
        return {"last": found, "all": whole / self.peers}

    def quiet(self):
        """Waits until the device has just been read."""
        def gets():
            return self.world.device_counts(self.device)["gets"]

        before = gets()
        with readings(self.server) as watch:
            wait_for(lambda: gets() > before, 120, 0.05)
            wait_for(lambda: not watch.holds(), 120)
        self.reader_peak = max(self.reader_peak, watch.peak)
        time.sleep(SETTLE)

    def memory(self):
        self.quiet()
        pids = processes(self.server.pid)
        return {**memory(pids), "peak": {**{role: peak(pid) for role, pid in zip(ROLES, pids)},
                                         "reader": self.reader_peak}}

    def paced(self, seconds, watch=None):
        """
        At that pace, of either kind: times while the device was read, or while what is watched
        happened; and of those during which nothing did.
        """
        with readings(self.server) as read, watch or read:
            results = paced(self.world, seconds, 1, self.peers, self.newcomer)
        self.newcomer += newcomers(seconds)
        seen, worked = watch.intervals if watch else read.intervals, longer(read.intervals, WORK)
        if not seen:
            raise Failure("what is to be watched did not happen in %d s" % seconds)
        intervals = [(begin, end + AFTER) for begin, end in seen] if watch else worked
        found = {"times": len(seen), "seconds": max(end - begin for begin, end in seen)}
        for kind, slowest in results.items():
            during, else_ = split(slowest, intervals, worked)
            found[kind] = {"longest at": longest_at(slowest, intervals),
                           "during": summary(during), "else": summary(else_)}
        return found

    def readings(self):
        say("readings of the device while %d requests come in a second", sum(PACE.values()))
        return self.paced(READINGS)

    def start(self):
        """
        Ends the server, and starts it on its journal: seconds to the first answer, and how long the
        reading took before which nothing can be decided.
        """
        say("start with that journal")
        self.world.stop(self.server)
        began = time.monotonic()
        with open(os.path.join(self.world.folder, "log"), "w", encoding="utf-8") as log:
            self.server = self.world.start("srv", *self.world.server_words(), stderr=log)
        with first_reading(self.server) as watch:
            while True:
                answer = subprocess.run(self.world.load_command(n=1, p=1), text=True, check=True,
                                        stdout=subprocess.PIPE)
                if '"failed": 0' in answer.stdout:
                    break
                if time.monotonic() > began + 120:
                    raise Failure("no answer after a start: %s" % answer.stdout)
        whole = time.monotonic() - began
        # A child that stays is the spawner: the reading of a small device is too short to be seen.
        reading = 0
        if watch.intervals and not watch.unfinished:
            begin, end = watch.intervals[0]
            reading = end - begin
        cpu = [us for us, _ in cpu_seconds(processes(self.server.pid))]
        return {"seconds": whole, "reading": reading, "rest": whole - reading,
                **dict(zip(ROLES, cpu))}

    def compaction(self):
        """Renewals up to where the journal is worth being written anew; then the pace."""
        path = os.path.join(self.world.state, "wg0.leases")
        records = int(subprocess.run(["grep", "-c", "^lease ", path], stdout=subprocess.PIPE,
                                     text=True, check=True).stdout)
        # Of the pace, a new lease makes two more records allowed.
        missing = 2 * (self.newcomer - 1) + 1024 - records - 5 * (
            PACE["renewals"] - PACE["new leases"])
        say("compaction, after %d renewals", max(missing, 0))
        if missing > 0:
            self.world.load(c=64, n=missing, p=self.peers)
        return self.paced(COMPACTION, compactions(self.world))

    def costs(self, rounds):
        """Of renewals, between two readings: processor time and latency."""
        found, until = [], 0
        for _ in range(rounds):
            if time.monotonic() > until:
                self.quiet()
                until = time.monotonic() + READING / 3
            found.append(self.cost())
        return found

    def cost(self):
        pids = processes(self.server.pid)
        renewals = {"c": 64, "n": COUNTED, "p": self.peers}
        alone = self.world.load(c=1, n=4000, p=self.peers)
        times, result = spent(pids, lambda: self.world.load(**renewals))
        times = [us / COUNTED for us in times]
        found = {"cpu": sum(times), **dict(zip(ROLES, times)), "rate": result["rate"],
                 "p50 alone": alone["p50"]}
        if counts_instructions():
            _, counts = instructions(pids, lambda: self.world.load(**renewals))
            found["instructions"] = sum(counts.values()) / COUNTED
        return found


def without_leases():
    """Memory of a server whose device has one peer, and of a program that only waits."""
    with World() as world:
        server = Large(world, 1).server
        pids = dict(zip(ROLES, processes(server.pid)))
        waiting = world.start("srv", os.path.join(TOOLS, "bare"), "pause")
        time.sleep(SETTLE)
        return {**{name: memory([pid]) for name, pid in pids.items()},
                "both halves": memory([pids["monitor"], pids["engine"]]),
                "all": memory(pids.values()),
                "pause()": memory([waiting.pid])}


def measure(peers, rounds, whole):
    """Memory and the cost of a request; if whole, all that is to be measured."""
    with World() as world:
        large = Large(world, peers, newcomers(READINGS + COMPACTION) if whole else 0)
        found = {"new": large.lease(rounds), "memory": large.memory(), "cost": large.costs(rounds)}
        if whole:
            found["readings"] = large.readings()
        found["start"] = [large.start() for _ in range(rounds if whole else 1)]
        found["memory after a start"] = large.memory()
        if whole:
            found["compaction"] = large.compaction()
        world.stop(large.server, signal.SIGKILL)
        return found
