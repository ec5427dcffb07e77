#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
faults.py - a disk that fails in one way after the other while many clients (crash.py) ask.

  faults.py CLIENT-NETNS-FD all|some [SEED]

Each fault is an errno that strace has a system call of the engine or the monitor return, from some
time on; or the journal's file system has no room. Meanwhile no lease may be acknowledged that is
not on the disk; where nothing can be written at all, requests are answered errno=4. Afterwards the
server serves again by itself, and it and the next one, which starts after it was killed, have all
that was acknowledged. Prints a line for each fault.
"""

import os
import random
import re
import subprocess
import sys
import threading
import time

from crash import (Ask, Check, Clients, Crash, FOLDER, LIBC, PEERS, Server, TRACE, Wrong, wait_for,
                   whole)
from many import Device

ERRORS = "ENOSPC", "EIO", "EROFS"
FILLER = FOLDER + "/filler"
NEW = "wg0.leases.new"


def faults(all_of_them):
    """What happens: injections; whether most of the journal is dead; what may be answered then."""
    # One that fails once makes it ask for a new file, as does one of which most is dead.
    broken = "pwrite64:error=EIO:when=1"
    when = {"fsync": ":when=2+"}  # the first is that of the start
    for number, error in enumerate(ERRORS):
        yield ["pwrite64:error=" + error], False, "no leases"
        yield ["fdatasync:error=" + error], False, "no leases"
        yield ["fallocate:error=" + error], False, "anything"
        for other, call in enumerate(("openat", "unlinkat", "renameat", "fsync")):
            if all_of_them or other % len(ERRORS) == number:
                yield [call + ":error=" + error + when.get(call, "")], True, "all leases"
                yield [broken, call + ":error=" + error], False, "no leases"
        if all_of_them or error == "EIO":
            yield ["fdatasync:error=%s:when=3" % error], False, "anything"
            # The folder, at the start; the new file; and the folder, once it has its name.
            yield ["fsync:error=%s:when=3" % error], True, "anything"
    yield ["full"], False, "few leases"
    yield ["full", "ftruncate:error=EIO"], False, "few leases"


class Faults(Crash):
    def fill(self, full):
        size = "256k" if full else "50%"
        if not full and os.path.exists(FILLER):
            os.remove(FILLER)
        subprocess.run(["mount", "-o", "remount,size=" + size, FOLDER], check=True)
        if full:
            subprocess.run(["dd", "if=/dev/zero", "of=" + FILLER, "bs=1k", "status=none"],
                           stderr=subprocess.DEVNULL, check=False)

    def ask(self, seconds, injections=()):
        """What was answered in that time, by errno; and until each of these has been done."""
        self.clients.answers, self.clients.leased = {}, 0
        self.clients.asking = True
        begin = time.monotonic()
        while time.monotonic() < begin + seconds or not self.injected(injections):
            self.clients.turn(0.01)
            if time.monotonic() > begin + 10:
                raise Wrong("strace did not do all of this")
        self.clients.settle(5)
        return self.clients.answers

    @staticmethod
    def injected(injections):
        if not injections:
            return True
        with open(TRACE, encoding="utf-8", errors="replace") as file:
            done = set(re.findall(r"^.*?\b(\w+)(?:\(| resumed>).*\(INJECTED\)$", file.read(), re.M))
        return {injection.partition(":")[0] for injection in injections} <= done

    def attach(self, injections):
        found = wait_for(10, "three processes", whole)
        pids = [str(found[role][0]) for role in ("engine", "monitor")]
        arguments = [word for pid in pids for word in ("-p", pid)]
        self.server.trace(["-f"] + self.inject(injections) + arguments)
        wait_for(10, "strace", lambda: all(self.traced(pid) for pid in pids))

    @staticmethod
    def inject(injections):
        """What is not traced is not injected either."""
        calls = ",".join(injection.partition(":")[0] for injection in injections)
        return ["-e", "trace=" + calls] + [
            word for injection in injections for word in ("-e", "inject=" + injection)]

    @staticmethod
    def traced(pid):
        with open("/proc/%s/status" % pid, encoding="ascii") as file:
            return "\nTracerPid:\t0\n" not in file.read()

    def one(self, injections, dead, expected):
        full = "full" in injections
        injections = [i for i in injections if i != "full"]
        if dead:
            # That it is written anew is what the server does first of all.
            self.server.end()
            self.stuff(0)
            paths = [NEW, FOLDER + "/" + NEW] + [FOLDER] * ("fsync" in injections[0])
            self.server.trace([word for path in paths for word in ("-P", path)] +
                              self.inject(injections))
            wait_for(10, "three processes", whole)
            wait_for(10, "an answer", self.server.leases)
        elif injections:
            self.attach(injections)
        Ask.lax = True
        if full:
            self.fill(True)
        answers = self.ask(0.3, injections)
        self.detach()
        if full:
            self.fill(False)
        said = ", ".join("errno %s: %d" % item for item in sorted(answers.items()))
        if expected == "no leases" and (self.clients.leased or not answers.get("4")):
            raise Wrong("leases were acknowledged: " + said)
        if expected == "few leases" and not answers.get("4"):
            raise Wrong("none was put off: " + said)
        if expected == "all leases" and (answers.get("4") or not answers.get("0")):
            raise Wrong("leases were not acknowledged: " + said)
        wait_for(10, "it serves again", lambda: self.ask(0.1).get("0") and self.clients.leased)
        self.check.all()
        Ask.lax = False
        self.server.end()
        self.server.start()
        self.check.all()
        return said


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[2] not in ("all", "some"):
        sys.exit(__doc__)
    server = Server(os.open("/proc/self/ns/net", os.O_RDONLY))
    number = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    rng = random.Random(number)
    device = Device(PEERS)
    threading.Thread(target=device.serve, daemon=True).start()
    if LIBC.setns(int(sys.argv[1]), 0):
        sys.exit("no such network namespace")
    clients = Clients(rng)
    runs = Faults(rng, server, clients, Check(server, device, clients))
    wait_for(5, "the device", lambda: os.path.exists("/var/run/wireguard/wg0.sock"))
    server.start()
    runs.ask(0.3)
    for injections, dead, expected in faults(sys.argv[2] == "all"):
        name = "%s%s" % (" ".join(injections), " (most of it is dead)" if dead else "")
        try:
            print("%s: %s" % (name, runs.one(injections, dead, expected)), flush=True)
        except Wrong as wrong:
            sys.exit("seed %d, %s: %s" % (number, name, wrong))
    server.end()


if __name__ == "__main__":
    main()
