#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
cut.py - what a power cut may leave of the server's journal, at each instant of a run.

  cut.py CLIENT-NETNS-FD LOADER SECONDS STATES STARTS [SEED]

A server that begins its journal, and then one that writes one anew of which most is dead, serve
many clients (crash.py) under strace, which notes all that is done to the files, and all requests
and answers. That is replayed. At each instant the disk may have, since it was last told to sync:
any of the changes of the directory, in their order; and of each file any of what was written,
up to any byte, or with any of its sectors missing. LOADER (tests/unit/load_journal.c) reads each
such journal as the server does, this boot's and after a reboot; some STARTS of them the real server
itself. Whatever an answer had told by then must be there; no address may be held twice; none may be
refused as damaged. STATES: about how many of them are looked at, of each of the two runs.
"""

import os
import random
import re
import subprocess
import sys
import threading
import time

from crash import (FOLDER, JOURNAL, LIBC, PEERS, SLACK, TRACE, UNKNOWN, Ask, Check, Clients, Peer,
                   Server, Wrong, mostly_dead, now, wait_for)
from many import Device, crc32c, link_local

CALLS = "openat,pwrite64,fdatasync,fsync,ftruncate,renameat,unlinkat,close,sendto,recvfrom"
SECTOR = 512
NAME = os.path.basename(JOURNAL)


# ---- the record


def text_of(hexadecimal):
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def events(lines):
    """(what, process and descriptor, path or peer, data) of each call that has been done."""
    began = {}
    pattern = re.compile(r"^(\d+) +([\d.]+) (?:(\w+)\((.*)|<\.\.\. \w+ resumed>(.*))$")
    for line in lines:
        match = pattern.match(line)
        if not match:
            continue
        pid, clock, call, rest, resumed = match.groups()
        if resumed is not None:
            if pid not in began:
                continue
            clock, call, rest = began.pop(pid)
            rest += resumed
        elif rest.endswith("<unfinished ...>"):
            began[pid] = (clock, call, rest[:-len("<unfinished ...>")])
            # What is written may be there from now on; what is read or synced, only at its end.
            continue
        if re.search(r"\) += -1", rest):
            continue
        yield pid, float(clock), call, rest


DESCRIPTOR = re.compile(r"^(\d+)<((?:\\x..)*|[^>]*>?\]?)>(\(deleted\))?, ")
STRINGS = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Trace:
    """Turns the calls into what happens to files and peers."""

    def __init__(self, path):
        self.files = {}  # by process and descriptor: which of the files it is
        self.next = 0
        self.names = {}
        with open(path, encoding="ascii") as file:
            self.lines = file.read().split("\n")

    def file_of(self, pid, number, path):
        if (pid, number) not in self.files:
            name = os.path.basename(path)
            if os.path.dirname(path) != FOLDER or name not in self.names:
                return None
            self.files[pid, number] = self.names[name]
        return self.files[pid, number]

    def happens(self):
        for pid, clock, call, rest in events(self.lines):
            strings = [text_of(s) for s in STRINGS.findall(rest)]
            if call in ("openat", "unlinkat", "renameat"):
                if text_of((re.match(r"\d+<((?:\\x..)*)>", rest) or ["", ""])[1]) != \
                        FOLDER.encode():
                    continue
                names = [s.decode() for s in strings]
                if call == "openat" and "O_CREAT" in rest and names[0] not in self.names:
                    self.next += 1
                    self.names[names[0]] = self.next
                    yield "create", names[0], self.next, clock
                elif call == "unlinkat":
                    self.names.pop(names[0], None)
                    yield "unlink", names[0], None, clock
                elif call == "renameat":
                    self.names[names[1]] = self.names.pop(names[0])
                    yield "rename", names[0], names[1], clock
                continue
            socket = re.match(r"(\d+)<TCPv6:\[\[fe80::\]:970->\[(fe80::1:[0-9a-f:]+)\]", rest)
            if socket and call in ("recvfrom", "sendto"):
                if strings and strings[0]:
                    yield call, socket[2], strings[0].decode(), clock
                continue
            file = re.match(r"(\d+)<((?:\\x..)*)>", rest)
            if not file:
                continue
            number, path = file[1], text_of(file[2]).decode(errors="replace")
            if call == "close":
                self.files.pop((pid, number), None)
            elif call == "fsync" and path == FOLDER:
                yield "sync-folder", None, None, clock
            elif path.startswith(FOLDER + "/") or (pid, number) in self.files:
                known = self.file_of(pid, number, path)
                if known is None:
                    continue
                if call == "pwrite64":
                    offset = int(re.search(r", (\d+) *\) += ", rest)[1])
                    yield "write", known, (offset, strings[0]), clock
                elif call in ("fsync", "fdatasync"):
                    yield "sync", known, None, clock
                elif call == "ftruncate":
                    yield "truncate", known, int(re.search(r", (\d+) *\)", rest)[1]), clock


# ---- the disk


def changed(content, change):
    """It, after bytes were written to a place of it, or it was cut to a size."""
    if isinstance(change, int):
        return content[:change]
    offset, data = change
    return content[:offset] + data + content[offset + len(data):]


class File:
    def __init__(self, content=b""):
        self.durable, self.pending = content, []  # changes

    def contents(self, thorough, rng):
        """All that may be left of it."""
        content = self.durable
        yield content
        for change in self.pending:
            before = content
            content = changed(content, change)
            yield content
            if isinstance(change, int):
                continue
            offset, data = change
            size = len(data)
            ends = range(1, size) if thorough and data.strip() else \
                {1, size // 2, size - 1, rng.randrange(size)} - {0}
            for end in ends:
                yield changed(before, (offset, data[:end]))
        # The size has got there, and not all of the sectors: what is missing is as it was, or zero.
        old = self.durable[:len(content)].ljust(len(content), b"\0")
        sectors = [at for at in range(0, len(content), SECTOR)
                   if content[at:at + SECTOR] != old[at:at + SECTOR]]
        for missing in range(1, min(1 << len(sectors), 64)):
            if len(sectors) > 6:
                missing = rng.randrange(1, 1 << len(sectors))
            torn = bytearray(content)
            for i, at in enumerate(sectors):
                if missing >> i & 1:
                    torn[at:at + SECTOR] = old[at:at + SECTOR]
            yield bytes(torn)


class Disk:
    def __init__(self, files):
        self.files = files  # by number
        self.names = {}  # on disk
        self.pending = []  # changes of the folder: a function of its names

    def happens(self, what, which, how):
        if what == "create":
            self.files.setdefault(how, File())
            self.pending.append(lambda names: names.update({which: how}))
        elif what == "unlink":
            self.pending.append(lambda names: names.pop(which, None))
        elif what == "rename":
            self.pending.append(lambda names: which in names and
                                names.update({how: names.pop(which)}))
        elif what == "sync-folder":
            for change in self.pending:
                change(self.names)
            self.pending = []
        elif what == "write":
            self.files[which].pending.append(how)
        elif what == "truncate":
            self.files[which].pending.append(how)
        elif what == "sync":
            file = self.files[which]
            for change in file.pending:
                file.durable = changed(file.durable, change)
            file.pending = []

    def journals(self, thorough, rng):
        """All that the journal may be now; None: there is none."""
        names = dict(self.names)
        seen = set()
        for change in [lambda names: None] + self.pending:
            change(names)
            number = names.get(NAME)
            if number in seen:
                continue
            seen.add(number)
            if number is None:
                yield None
            else:
                yield from self.files[number].contents(thorough, rng)


# ---- what was told


class Told:
    """What the peers know, at each instant of a record."""

    def __init__(self, offset):
        self.offset = offset  # from the record's clock to that since boot
        self.peers = {link_local(n): Peer(n) for n in range(1, PEERS + 1)}
        self.asks = {}

    def happens(self, what, address, text, clock):
        peer = self.peers[address]
        if what == "recvfrom":
            self.asks[address] = Ask(peer, text)
            self.asks[address].begin(clock + self.offset)
        elif address in self.asks:
            self.asks.pop(address).answered(text)

    def now(self):
        """By public key: {family: address} and until when; of all that must be there."""
        return {peer.public: ({f: ip for f, ip in peer.held.items() if ip not in (None, UNKNOWN)},
                              peer.until) for peer in self.peers.values()}


# ---- reading what is left


class Loader:
    def __init__(self, program):
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        self.readers = [subprocess.Popen([program, id], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)
                        for id in (boot, "1b4e28ba-2fa1-11d2-883f-0016d3cca427")]
        self.states = 0

    def ask(self, reader, data):
        reader.stdin.write(len(data).to_bytes(4, sys.byteorder) + data)
        reader.stdin.flush()
        leases = {}
        while True:
            words = reader.stdout.readline().decode().split()
            if not words or words[0] == "refused":
                raise Wrong("refused: %s" % " ".join(words))
            if words[0] == "ok":
                return leases
            leases[words[0]] = ({4: words[1], 6: words[2]}, int(words[3]) / 1000)

    def check(self, data, told, clock):
        self.states += 1
        for other_boot, reader in enumerate(self.readers):
            leases = self.ask(reader, data or b"")
            held = [ip for ips, _ in leases.values() for ip in ips.values() if ip != "-"]
            if len(held) != len(set(held)):
                raise Wrong("an address is held twice")
            for public, (ips, until) in told.items():
                if until < clock + SLACK or not ips:
                    continue
                have, end = leases.get(public, ({}, 0))
                # What was left then, runs from now on.
                end -= now() - clock if other_boot else 0
                for family, ip in ips.items():
                    if have.get(family) != ip or end < until - SLACK:
                        raise Wrong("peer %s was told %s until %.3f, has %s until %.3f" % (
                            public, ips, until, have, end))


class Starts:
    """The real server on some of the journals."""

    def __init__(self, server, device, clients):
        self.server, self.device, self.clients = server, device, clients
        self.check = Check(server, device, clients)

    def other_boot(self, data):
        lines = data.split(b"\n")
        for i, line in enumerate(lines):
            if line.startswith(b"start ") and i + 1 < len(lines):
                words = line.split(b" ")
                words[1] = b"1b4e28ba-2fa1-11d2-883f-0016d3cca427"
                text = b" ".join(words[:-1])
                lines[i] = text + b" %08x" % crc32c(text)
        return b"\n".join(lines)

    def start(self, data, told, rng):
        self.device.place({peer.key: {link_local(peer.number) + "/128"}
                           for peer in self.clients.peers})
        for peer in self.clients.peers:
            held, peer.until = told[peer.public]
            peer.held = {4: UNKNOWN, 6: UNKNOWN, **held}
        for name in os.listdir(FOLDER):
            os.remove(os.path.join(FOLDER, name))
        if data is not None:
            with open(JOURNAL, "wb") as file:
                file.write(self.other_boot(data) if rng.random() < 0.3 else data)
        self.server.start()
        count = self.check.all()
        self.clients.asking = True
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            self.clients.turn(0.005)
        self.clients.settle(5)
        self.check.all()
        self.server.end()
        return count


# ---- all of it


def record(server, clients, seconds):
    """Has the server serve the clients under strace; returns what it began with."""
    server.end()
    content = None
    if os.path.exists(JOURNAL):
        content = mostly_dead()
        with open(JOURNAL, "wb") as file:
            file.write(content)
    server.trace(["-ttt", "-yy", "-xx", "-s", "65536", "-e", "trace=" + CALLS])
    clients.asking = True
    # Counted from the first lease on: under strace a start may take as long.
    before, end = clients.leased, time.monotonic() + 10
    while clients.leased == before and time.monotonic() < end:
        clients.turn(0.01)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        clients.turn(0.01)
    clients.settle(5)
    server.end()
    # strace ends with the last of them, and writes its last line then.
    wait_for(10, "the record", lambda: os.system("pidof strace >/dev/null"))
    server.child.wait()
    return content


def replay(content, told, loader, states, starts, server, rng):
    trace, disk = Trace(TRACE), Disk({})
    if content is not None:
        trace.names[NAME] = trace.next = 1
        disk.files[1], disk.names[NAME] = File(content), 1
    happened = list(trace.happens())
    chance = states / max(1, 12 * len(happened))
    begins = rng.sample(range(len(happened)), min(starts, len(happened)))
    counts = {}
    for i, (what, which, how, clock) in enumerate(happened):
        counts[what] = counts.get(what, 0) + 1
        if what in ("recvfrom", "sendto"):
            told.happens(what, which, how, clock)
        else:
            disk.happens(what, which, how)
        if what == "recvfrom":
            continue
        thorough = rng.random() < 0.05 or what not in ("write", "sync", "sendto")
        must, at = told.now(), clock + told.offset
        left = []
        if thorough or rng.random() < chance:
            left = list(disk.journals(thorough, rng))
        elif i in begins:
            left = [rng.choice(list(disk.journals(False, rng)))]
        try:
            for data in left:
                loader.check(data, must, at)
            if i in begins:
                server.start(rng.choice(left), must, rng)
        except Wrong as wrong:
            raise Wrong("instant %d of %d, after %s: %s" % (
                i, len(happened), what, wrong)) from None
    return counts


def main():
    if len(sys.argv) not in (6, 7):
        sys.exit(__doc__)
    server = Server(os.open("/proc/self/ns/net", os.O_RDONLY))
    number = int(sys.argv[6]) if len(sys.argv) > 6 else random.randrange(1 << 32)
    rng = random.Random(number)
    loader = Loader(sys.argv[2])
    seconds, states, starts = float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    device = Device(PEERS)
    threading.Thread(target=device.serve, daemon=True).start()
    if LIBC.setns(int(sys.argv[1]), 0):
        sys.exit("no such network namespace")
    wait_for(5, "the device", lambda: os.path.exists("/var/run/wireguard/wg0.sock"))
    clients = Clients(rng)
    told = Told(now() - time.time())
    starter = Starts(server, device, Clients(rng))
    try:
        for run in range(2):
            content = record(server, clients, seconds)
            with open(JOURNAL, "rb") as file:
                last = file.read()
            placed = dict(device.peers)
            counts = replay(content, told, loader, states, starts // 2, starter, rng)
            print("run %d: %s" % (run + 1, ", ".join("%s %d" % c for c in sorted(counts.items()))))
            device.place(placed)
            with open(JOURNAL, "wb") as file:
                file.write(last)
    except Wrong as wrong:
        sys.exit("seed %d, run %d: %s" % (number, run + 1, wrong))
    print("%d journals that a power cut may leave, %d of them started on" % (
        loader.states, 2 * (starts // 2)))


if __name__ == "__main__":
    main()
