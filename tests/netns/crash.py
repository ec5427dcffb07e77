#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
crash.py - kills the server at one system call after the other while many clients ask, and looks
each time whether all that they were told still holds.

  crash.py CLIENT-NETNS-FD POINTS [SEED]

It runs on the server's host and plays the device (many.py) there; the clients' sockets are made in
the network namespace of that descriptor. A point is a system call, and the how manieth of the
process that makes it, as strace counts them: while a server serves (`serve'), or from its start on
(`start'), where it first writes a journal anew of which most is dead, and of which the end may be
torn. What is killed is all of the server, or just the one process that came to the point first.

After each point the next server, or the next engine of the same one, must have each lease that a
client was told of by a whole answer, for as long as it was told, and none that it was told is over;
no address may be held twice; and device, journal and server must agree. Prints the points hit, for
each process and system call, and a last line that sums up; fails at the first thing that is wrong.
"""

import ctypes
import os
import random
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from base64 import b64encode
from itertools import chain

from many import Device, SERVER, crc32c, key, link_local

PEERS = 80  # more than there are addresses
FOUR, SIX = "192.0.2.%d", "2001:db8::%x"
POOL = "192.0.2.0/26,2001:db8::/122"
SERVE = ["wg-dynamic", "server", "wg0", "pool", POOL, "lease-time", "3600"]
FOLDER = "/var/lib/wg-dynamic"
JOURNAL = FOLDER + "/wg0.leases"
TRACE = "/run/trace"
AT_ONCE = 24  # connections
UNKNOWN = "?"  # what is held after a request that may have changed it, and had no answer
SLACK = 1.5  # seconds, to which times are compared


class Wrong(Exception):
    pass


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# ---- clients


class Peer:
    def __init__(self, number):
        self.number, self.key = number, key(number)
        self.public = b64encode(bytes.fromhex(self.key)).decode()
        self.held = {4: None, 6: None}  # by the last answer: an address, None or UNKNOWN
        self.until = 0
        self.asks = None
        self.story = []  # the last requests and answers, for people


class Ask:
    """A request on its way, and what its answer tells."""

    lax = False  # ends may be lost in a crash: there is no file that they could be written to

    def __init__(self, peer, request):
        self.peer, self.request, self.data, self.sent = peer, request, b"", None
        ips = re.findall("^ip=(.*)$", request, re.M)
        self.release = request.startswith("release_ip=")
        self.any = not ips and not self.release
        self.wants = {6 if ":" in ip else 4 for ip in ips} or {4, 6}

    @staticmethod
    def random(rng):
        ips = rng.choices((
            "",
            "ip=" + FOUR % rng.randrange(1, 63) + "/32\nip=" + SIX % rng.randrange(1, 64) + "\n",
            "ip=0.0.0.0/32\n",
            None,
        ), (70, 12, 6, 12))[0]
        if ips is None:
            return "release_ip=1\n\n"
        return "request_ip=1\n%sleasetime=%d\n\n" % (ips, rng.choice((10, 600, 3600)))

    def begin(self, time_now):
        """The server may have it from now on."""
        peer = self.peer
        if peer.until < time_now + SLACK:
            peer.held = {family: ip and UNKNOWN for family, ip in peer.held.items()}
        self.before, self.sent = dict(peer.held), time_now
        for family in peer.held:
            # Who asks for any keeps what it has.
            if not self.any or peer.held[family] is None:
                peer.held[family] = UNKNOWN

    def answered(self, text):
        """Takes the answer; false when it is not whole, else its errno."""
        if not text.endswith("\n\n"):
            return False
        values = [line.partition("=")[::2] for line in text.split("\n") if line]
        ips = {6 if ":" in ip else 4: ip.partition("/")[0] for word, ip in values if word == "ip"}
        number = dict(values).get("errno")
        peer = self.peer
        peer.story = peer.story[-3:] + [(self.before, self.request, text)]
        if number == "4" or (number == "3" and not ips):
            peer.held = self.before
        elif number in ("0", "3"):
            for family in peer.held:
                kept = number == "3" and family in self.wants
                ended = UNKNOWN if self.lax else None
                peer.held[family] = ips.get(family, self.before[family] if kept else ended)
            if ips:
                peer.until = self.sent + int(dict(values)["leasetime"])
        else:
            raise Wrong("peer %d was answered: %s" % (peer.number, text))
        return number


class Clients:
    def __init__(self, rng):
        self.rng = rng
        self.scope = socket.if_nametoindex("wg0")
        self.peers = [Peer(number) for number in range(1, PEERS + 1)]
        self.selector = selectors.DefaultSelector()
        self.open = {}
        self.asking = False
        self.answers = {}  # by errno
        self.leased = 0  # of these, those that tell of a lease
        self.pause = 0

    def ask(self):
        peer = self.rng.choice(self.peers)
        if peer.asks:
            return
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        try:
            sock.bind((link_local(peer.number), self.rng.randrange(1, 1024), 0, self.scope))
            sock.connect_ex((SERVER, 970, 0, self.scope))
        except OSError:
            sock.close()
            return
        peer.asks = self.open[sock] = Ask(peer, Ask.random(self.rng))
        self.selector.register(sock, selectors.EVENT_WRITE)

    def close(self, sock):
        ask = self.open.pop(sock)
        ask.peer.asks = None
        self.selector.unregister(sock)
        # Nothing stays of it that could be in the way of the next.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def ready(self, sock):
        ask = self.open[sock]
        try:
            if ask.sent is None:
                sock.sendall(ask.request.encode())
                ask.begin(now())
                self.selector.modify(sock, selectors.EVENT_READ)
                return
            data = sock.recv(65536)
        except OSError:
            data = b""
        ask.data += data
        if data:
            return
        if ask.sent is None or not ask.data:
            self.pause = time.monotonic() + 0.01  # nobody is there
        number = ask.sent is not None and ask.answered(ask.data.decode())
        if number:
            self.answers[number] = self.answers.get(number, 0) + 1
            self.leased += b"\nip=" in b"\n" + ask.data
        self.close(sock)

    def turn(self, timeout):
        if self.asking and time.monotonic() >= self.pause:
            for _ in range(AT_ONCE - len(self.open)):
                self.ask()
        for event, _ in self.selector.select(timeout):
            self.ready(event.fileobj)

    def settle(self, seconds):
        """Until all have been answered, or nobody can do so any more."""
        self.asking = False
        end = time.monotonic() + seconds
        while self.open and time.monotonic() < end:
            self.turn(0.05)
        for sock in list(self.open):
            self.close(sock)


# ---- the server and its journal


SEALED = {}  # lines that have been checked


def sealed(line):
    if line not in SEALED:
        text, _, crc = line.rpartition(b" ")
        SEALED[line] = crc == b"%08x" % crc32c(text)
    return SEALED[line]


def mostly_dead():
    """
    The journal with its last lease many times more, in place of the room behind its records; None
    if there is no lease.
    """
    with open(JOURNAL, "rb") as file:
        data = file.read().rstrip(b" \n") + b"\n"
    leases = [line for line in data.split(b"\n") if line.startswith(b"lease ")]
    return data + (leases[-1] + b"\n") * (1024 + 3 * PEERS) if leases else None


def records(data):
    """By key: its last record of a lease, as {family: (address, how)} and when it ends."""
    found, holder = {}, {}
    for line in data.split(b"\n"):
        if not sealed(line) or not line.startswith(b"lease "):
            continue
        words = line.decode().split(" ")
        ips = {}
        for family, word in ((4, words[2]), (6, words[3])):
            if word != "-":
                ip, _, how = word.partition(",")
                ips[family] = (ip, how)
                other = found.get(holder.get(ip))
                if other and holder[ip] != words[1] and other[0].get(family, " ")[0] == ip:
                    del other[0][family]
                holder[ip] = words[1]
        found[words[1]] = (ips, (int(words[4]) + int(words[5])) / 1000)
    return found


def processes():
    """The PIDs of monitor, spawner and engine and of all others of the server, by what they are."""
    parent, user = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/status" % pid, encoding="ascii") as status:
                text = status.read()
        except OSError:
            continue
        if text.startswith("Name:\twg-dynamic\n") and not re.search(r"^State:\s[ZX]", text, re.M):
            parent[int(pid)] = int(re.search(r"^PPid:\s(\d+)", text, re.M)[1])
            user[int(pid)] = re.search(r"^Uid:\s(\d+)", text, re.M)[1]
    found = {}
    for pid, above in parent.items():
        if user[pid] == "0":
            found.setdefault("reader" if above in parent else "monitor", []).append(pid)
        else:
            role = "spawner" if user.get(above, "0") == "0" else "engine"
            found.setdefault(role, []).append(pid)
    return found


def wait_for(seconds, what, condition):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Wrong("waited %d s in vain: %s" % (seconds, what))
        time.sleep(0.005)


def whole():
    found = processes()
    return found if {"monitor", "spawner", "engine"} <= set(found) else None


class Server:
    def __init__(self, netns):
        self.netns = netns
        self.child = None

    def enter(self):
        if LIBC.setns(self.netns, 0):
            os._exit(126)

    def run(self, *command):
        return subprocess.run(command, preexec_fn=self.enter, capture_output=True, text=True,
                              check=False)

    def start(self):
        done = self.run(*SERVE)
        if done.returncode:
            raise Wrong("no start: %s%s" % (done.stdout, done.stderr))

    def trace(self, arguments):
        """Starts it under strace, whose child it is not, or has strace attached to it."""
        if os.path.exists(TRACE):
            os.remove(TRACE)
        # -I2: it ends by SIGTERM, also where it has started the program itself.
        command = ["strace", "-q", "-I2", "-o", TRACE] + arguments
        if "-p" not in arguments:
            command = command[:1] + ["-D", "-f"] + command[1:] + SERVE + ["foreground"]
        self.child = subprocess.Popen(command, preexec_fn=self.enter, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        """All of it at once."""
        end = time.monotonic() + 10
        while True:
            pids = [pid for group in processes().values() for pid in group]
            if not pids:
                break
            if time.monotonic() > end:
                raise Wrong("processes that do not end: %s" % pids)
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.002)

    def leases(self):
        """By public key: the addresses, and for how long still; None when it does not say."""
        done = self.run("wg-dynamic", "show", "wg0", "dump")
        if done.returncode:
            return None
        found = {}
        for line in done.stdout.splitlines():
            words = line.split("\t")
            if words[1] == "lease":
                found[words[2]] = (words[3].split(","), int(words[4]))
        return found


LIBC = ctypes.CDLL(None, use_errno=True)


# ---- what must hold


class Check:
    def __init__(self, server, device, clients):
        self.server, self.device, self.clients = server, device, clients
        self.why = ""

    def agrees(self):
        """Whether device, journal and server do; else why not."""
        leases = self.server.leases()
        if leases is None:
            self.why = "the server says nothing"
            return None
        with open(JOURNAL, "rb") as file:
            recorded = records(file.read())
        time_now, all_ips = now(), []
        for peer in self.clients.peers:
            ips = set(leases.get(peer.public, ((), 0))[0])
            all_ips += ips
            on_device = set(self.device.peers[peer.key])
            if on_device != ips | {link_local(peer.number) + "/128"}:
                self.why = "peer %d: device %s, leases %s" % (peer.number, on_device, ips)
                return None
            record, end = recorded.get(peer.public, ({}, 0))
            held = {ip + ("/128" if ":" in ip else "/32") for ip, how in record.values()
                    if how != "past"}
            if held != ips and not (end < time_now + SLACK and not ips):
                self.why = "peer %d: journal %s, leases %s" % (peer.number, held, ips)
                return None
        if len(all_ips) != len(set(all_ips)):
            raise Wrong("an address is held twice")
        return (leases,)

    def all(self):
        try:
            leases, = wait_for(10, "agreement", self.agrees)
        except Wrong as wrong:
            raise Wrong("%s: %s" % (wrong, self.why)) from None
        time_now, count = now(), 0
        for peer in self.clients.peers:
            ips, left = leases.get(peer.public, ((), 0))
            ips = {6 if ":" in ip else 4: ip.partition("/")[0] for ip in ips}
            for family, ip in peer.held.items():
                told = "peer %d was told %s, and now has %s; %s" % (
                    peer.number, ip, ips, peer.story)
                if ip is None and family in ips:
                    raise Wrong(told)
                if ip in (None, UNKNOWN) or peer.until < time_now + SLACK:
                    continue
                if ips.get(family) != ip:
                    raise Wrong(told)
                if left < peer.until - time_now - SLACK:
                    raise Wrong("%s for %d s, not %d" % (told, left, peer.until - time_now))
                count += 1
        return count


# ---- points


JOURNAL_CALLS = "pwrite64 fdatasync sendmsg recvmsg sendto recvfrom close epoll_wait".split()
MONITOR_CALLS = "recvmsg sendmsg connect sendto read close clone wait4 poll".split()
START_CALLS = ("openat flock fsync renameat unlinkat pread64 pwrite64 write fdatasync clone "
               "mmap").split()
FEW = {"renameat": 1, "unlinkat": 2, "flock": 2, "fsync": 3, "pread64": 6, "fdatasync": 6}
# Where a lease comes to be acknowledged, and a journal to be replaced: each of these is hit.
MUST = [("serve", "engine", call) for call in ("pwrite64", "fdatasync", "sendto", "sendmsg")]
MUST += [("start", "server", "renameat")]
TRIES = 20
MOST = 12  # of others, and of what a server does many times: the last that is tried at first


def points(rng):
    """(when, what is killed, system call, the how manieth): without end, all calls in turn."""
    sites = [("serve", "engine", call) for call in JOURNAL_CALLS + ["all"]]
    sites += [("serve", "monitor", call) for call in MONITOR_CALLS + ["all"]]
    sites += [("serve", "server", call) for call in sorted({*JOURNAL_CALLS, *MONITOR_CALLS})]
    sites += [("serve", "server", "all")] * 4
    sites += [("start", "server", call) for call in START_CALLS + ["all"] * 4]
    sites += [("start", "one", call) for call in START_CALLS + ["all"] * 2]
    rng.shuffle(sites)
    most = MOST
    while True:
        for when, what, call in sites:
            last = 40 * most if call == "all" else most
            if when == "start":
                last = FEW.get(call, last)
            yield when, what, call, rng.randrange(1, last + 1)
        most = min(2 * most, 8 * MOST)


def points_that_must_be(rng, hits):
    for when, what, call in MUST:
        for _ in range(TRIES):
            yield when, what, call, rng.randrange(1, FEW.get(call, MOST) + 1)
            if any((when, call) == (hit[0], hit[2]) for hit in hits):
                break
        else:
            sys.exit("%s %s %s is not hit" % (when, what, call))


class Crash:
    def __init__(self, rng, server, clients, check):
        self.rng, self.server, self.clients, self.check = rng, server, clients, check
        self.hits = {}
        self.halves = {}

    def stuff(self, torn):
        """Makes most of the journal dead, and tears its end with this probability."""
        data = mostly_dead()
        if data is None:
            return
        Ask.lax = self.rng.random() < torn
        if Ask.lax:
            line = data.rstrip(b"\n").rpartition(b"\n")[2]
            data += line[:self.rng.randrange(1, len(line))]
        with open(JOURNAL, "wb") as file:
            file.write(data)

    def begin(self, when, what, call, count):
        inject = ["-e", "trace=%s,clone,clone3,fork,vfork,setsid" % call,
                  "-e", "inject=%s:signal=KILL:when=%d" % (call, count)]
        if when == "start":
            self.server.end()
            self.stuff(0.3)
            self.server.trace(inject)
            return {}
        found = wait_for(10, "three processes", whole)
        traced = ("monitor", "spawner", "engine") if what == "server" else (what,)
        pids = [pid for role in traced for pid in found[role]]
        self.server.trace(inject + (["-f"] if what == "server" else []) +
                          [word for pid in pids for word in ("-p", str(pid))])
        return {pid: role for role, group in found.items() for pid in group}

    def hit(self, call):
        """Who was killed at that call, and at which; the PIDs of all who were; and the record."""
        try:
            with open(TRACE, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            return None
        found = []
        for killed in re.finditer(r"^(\d+ +)?\+\+\+ killed by SIGKILL", text, re.M):
            prefix = killed[1] or ""
            calls = re.findall(r"^%s(\w+)\(" % re.escape(prefix), text[:killed.start()], re.M)
            found.append((int(prefix or 0), calls[-1] if calls else "?"))
        if not found:
            return None
        # Others may have ended with it, and been noted before.
        pid, at = next((pair for pair in found if pair[1] == call), found[0])
        return pid, at, [other for other, _ in found], text

    def role(self, roles, pid, text):
        if not pid:
            return None
        if pid in roles:
            return roles[pid]
        spawner = re.search(r"^(\d+) +setsid\(", text, re.M)
        if spawner and int(spawner[1]) == pid:
            return "spawner"
        if pid == self.server.child.pid and not roles:
            return "monitor"
        above = re.search(r"^(\d+) +(?:clone|fork)\b.*= %d$" % pid, text, re.M)
        spawners = [p for p, r in roles.items() if r == "spawner"]
        if spawner:
            spawners.append(int(spawner[1]))
        return "engine" if above and int(above[1]) in spawners else "reader"

    @staticmethod
    def tracers():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/status" % pid, encoding="ascii") as status:
                    if re.match(r"Name:\tstrace\n(.*\n)*?State:\t[^ZX]", status.read()):
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def detach(self):
        """So that nobody else is killed from now on: each process counts its calls by itself."""
        for pid in self.tracers():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        wait_for(10, "strace to end", lambda: not self.tracers())

    def one(self, when, what, call, count):
        roles = self.begin(when, what, call, count)
        clients, hit = self.clients, None
        clients.asking = True
        end = time.monotonic() + 1
        while not hit and time.monotonic() < end:
            clients.turn(0.005)
            hit = self.hit(call)
        if what == "server" or not hit:
            self.server.end()
        else:
            clients.settle(0.05)
        self.detach()
        # Each process has a count of its own: another may have come to it since.
        hit = hit and self.hit(call)
        if hit:
            pid, at, killed, text = hit
            role = self.role(roles, pid, text) or what
            self.hits.setdefault((when, role, at), set()).add(count)
            alone = role if what != "server" else "server"
            self.halves[alone] = self.halves.get(alone, 0) + 1
            if what != "server":
                self.goes_on({self.role(roles, pid, text) or what for pid in killed})
        clients.settle(5)
        Ask.lax = False
        self.server.child.wait()
        self.server.start()
        self.check.all()
        return hit

    def goes_on(self, killed):
        """With another engine; or not at all, when the monitor or what it needs is gone."""
        outcome = wait_for(10, "the next engine, or none",
                           lambda: whole() and "whole" or (not processes() and "none"))
        self.clients.settle(5)
        if outcome == "whole":
            self.check.all()
        elif killed == {"engine"}:
            raise Wrong("it ended with its engine")
        self.server.end()


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    server = Server(os.open("/proc/self/ns/net", os.O_RDONLY))
    number = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    rng = random.Random(number)
    device = Device(PEERS)
    threading.Thread(target=device.serve, daemon=True).start()
    if LIBC.setns(int(sys.argv[1]), 0):
        sys.exit("no such network namespace")
    clients = Clients(rng)
    check = Check(server, device, clients)
    crash = Crash(rng, server, clients, check)
    wait_for(5, "the device", lambda: os.path.exists("/var/run/wireguard/wg0.sock"))
    server.start()
    wanted, hits, missed = int(sys.argv[2]), 0, 0
    for point in chain(points_that_must_be(rng, crash.hits), points(rng)):
        try:
            if crash.one(*point):
                hits += 1
            else:
                missed += 1
        except Wrong as wrong:
            sys.exit("seed %d, point %d, %s: %s" % (number, hits, " ".join(map(str, point)), wrong))
        if hits == wanted:
            break
    server.end()
    for (when, role, call), counts in sorted(crash.hits.items()):
        print("%-5s %-7s %-12s %s" % (when, role, call, " ".join(map(str, sorted(counts)))))
    print("%d points hit (%s), %d not reached; answers: %s" % (
        hits, ", ".join("%s %d" % item for item in sorted(crash.halves.items())), missed,
        ", ".join("errno %s: %d" % item for item in sorted(clients.answers.items()))))


if __name__ == "__main__":
    main()
