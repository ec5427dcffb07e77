# SPDX-License-Identifier: MIT
"""When the server reads its device, and when it writes its journal anew, as seen from outside."""

import os
import threading
import time

from observe import peak
from world import children


class Watch(threading.Thread):
    """Intervals, by time.monotonic(), in which a condition holds; to be used by `with'."""

    def __init__(self, holds, pause=0.002):
        super().__init__(daemon=True)
        self.holds, self.pause = holds, pause
        self.intervals, self.done = [], threading.Event()
        self.unfinished = False  # it held to the end
        self.peak = 0  # bytes, of readings: the most that such a process had resident

    def run(self):
        began = None
        while not self.done.is_set():
            now, holds = time.monotonic(), self.holds()
            if holds and began is None:
                began = now
            elif not holds and began is not None:
                self.intervals.append((began, now))
                began = None
            time.sleep(self.pause)
        self.unfinished = began is not None
        if self.unfinished:
            self.intervals.append((began, time.monotonic()))

    def __enter__(self):
        if not self.is_alive():
            self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


def readings(server):
    """Of the device: the monitor has a child beside its spawner, which is the first."""
    def holds():
        try:
            reads = [child for child in children(server.pid) if not children(child)]
        except OSError:
            return False
        watch.peak = max(watch.peak, *(peak(child) for child in reads), 0)
        return bool(reads)
    watch = Watch(holds)
    return watch


def first_reading(server):
    """That which a server begins with: its first child."""
    first = []

    def holds():
        try:
            now = children(server.pid)
        except OSError:
            return False
        first.extend(now[:1] if not first else [])
        return bool(first) and first[0] in now
    return Watch(holds, 0.001)


def compactions(world):
    path = os.path.join(world.state, "wg0.leases.new")
    return Watch(lambda: os.path.exists(path))


def longer(intervals, factor):
    """So much longer than they were: what has been read is worked on for some time."""
    return [(begin, end + (factor - 1) * (end - begin)) for begin, end in intervals]


def longest_at(samples, intervals):
    """
    Of the request that took longest of those under way in one of the intervals: after how much of
    that (0 to 1, or a bit more) it was due. None if there is none.
    """
    found = [(took, (when - begin) / (end - begin)) for when, took in samples
             for begin, end in intervals if when < end and when + took / 1e6 > begin]
    return max(found)[1] if found else None


def split(samples, intervals, others=()):
    """
    How long those of load.c's requests ([when, us], as `slowest' lists them) took that were under
    way in one of the intervals, and those that were in none of these, nor of the others.
    """
    def within(intervals, when, took):
        return any(when < end and when + took / 1e6 > begin for begin, end in intervals)

    during, else_ = [], []
    for when, took in samples:
        if within(intervals, when, took):
            during.append(took)
        elif not within(others, when, took):
            else_.append(took)
    return during, else_


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else 0


def summary(times):
    return {"requests": len(times), "p50": quantile(times, 0.5), "p99": quantile(times, 0.99),
            "max": quantile(times, 1)}
