# SPDX-License-Identifier: MIT
"""When the server reads its device, and when it writes its journal anew, as seen from outside."""

import os
import threading
import time

from world import children


class Watch(threading.Thread):
    """Intervals, by time.monotonic(), in which a condition holds; to be used by `with'."""

    def __init__(self, holds, pause=0.002):
        super().__init__(daemon=True)
        self.holds, self.pause = holds, pause
        self.intervals, self.done = [], threading.Event()

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
        if began is not None:
            self.intervals.append((began, time.monotonic()))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


def readings(server):
    """Of the device: the monitor has a child beside its spawner, which is the first."""
    def holds():
        try:
            return any(not children(child) for child in children(server.pid))
        except OSError:
            return False
    return Watch(holds)


def compactions(world):
    path = os.path.join(world.state, "wg0.leases.new")
    return Watch(lambda: os.path.exists(path))


def split(samples, intervals, after=0.0):
    """
    Those of load.c's requests ([when, us], as `slowest' lists them) that were under way in one of
    the intervals, or up to so many seconds after it; and those that were not.
    """
    during, else_ = [], []
    for when, took in samples:
        hit = any(when < end + after and when + took / 1e6 > begin for begin, end in intervals)
        (during if hit else else_).append(took)
    return during, else_


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else 0
