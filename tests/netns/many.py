#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
many.py - a device with any number of peers, and as many clients, for what needs more of them than
there can be tunnels.

  many.py device NUMBER [SECONDS]
                           answers as a WireGuard device wg0 would, on its UAPI socket: NUMBER peers,
                           all of which have just shaken hands; to read it takes so many seconds, and
                           fails with EINTR, as the kernel's does, where something is set meanwhile
  many.py leases NUMBER    prints records of the server's journal: each peer has an address of
                           10.64.0.0/10 and one of 2001:db8::/64, for an hour from now on
  many.py clients NUMBER   leases for all of them, from [fe80::1:N%wg0]:970, wants routes and calls,
                           and asks again when called; prints `leased' once all have a lease, then
                           `TIME ROUTES' for each set of routes, when the last has it, in seconds
                           since 1970; until SIGTERM

Peer N, from 1 on, has the key of 28 zeros and N, and the link-local fe80::1:N (hexadecimal). On both
hosts wg0 is one end of a veth pair that needs no neighbour discovery; many.bash makes it.
"""

import base64
import errno
import os
import selectors
import socket
import sys
import threading
import time

PORT = 970
SERVER = "fe80::"
REQUEST = b"request_ip=1\nip=0.0.0.0/32\nwant=route,call\n\n"
SOCKET = "/var/run/wireguard/wg0.sock"


def link_local(number):
    return "fe80::1:%x:%x" % (number >> 16, number & 0xffff)


# ---- device


def key(number):
    return "%064x" % number


class Device:
    def __init__(self, count, seconds=0):
        self.seconds = seconds
        self.sets = 0
        self.lock = threading.Lock()
        self.place({key(n): {link_local(n) + "/128"} for n in range(1, count + 1)})

    def place(self, peers):
        """These are its peers from now on: a set of allowed-ips by key."""
        self.peers = peers
        self.holder = {ip: peer for peer, ips in peers.items() for ip in ips}

    def get(self, sets):
        if self.sets != sets:
            return ["errno=%d" % errno.EINTR, ""]
        lines = ["private_key=" + "1" * 64, "listen_port=51820"]
        now = int(time.time())
        for peer, ips in self.peers.items():
            lines += ["public_key=" + peer, "protocol_version=1",
                      "last_handshake_time_sec=%d" % now, "last_handshake_time_nsec=0"]
            lines += ["allowed_ip=" + ip for ip in ips]
        return lines + ["errno=0", ""]

    def set(self, lines):
        self.sets += self.seconds > 0
        peer, new = None, {}
        for line in lines:
            word, _, value = line.partition("=")
            if word == "public_key":
                peer = value
                new.setdefault(peer, [])
            elif word == "allowed_ip":
                new[peer].append(value)
        for peer, ips in new.items():
            for ip in ips:
                if ip in self.holder:
                    self.peers[self.holder.pop(ip)].remove(ip)
                if peer in self.peers:  # else it is added and removed in the same breath
                    self.peers[peer].add(ip)
                    self.holder[ip] = peer
        return ["errno=0", ""]

    def serve(self):
        os.makedirs(os.path.dirname(SOCKET), exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(SOCKET)
        listener.listen(16)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        try:
            with connection, connection.makefile("rw") as stream:
                self.answer(stream)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, stream):
        lines = []
        for line in stream:  # which ends at once for who only looks whether we listen
            if line == "\n":
                break
            lines.append(line.rstrip("\n"))
        else:
            return
        sets = self.sets
        if lines[0] == "get=1":
            time.sleep(self.seconds)
        with self.lock:
            answer = self.get(sets) if lines[0] == "get=1" else self.set(lines[1:])
        stream.write("".join(line + "\n" for line in answer))


# ---- journal


def crc_table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x82f63b78 * (value & 1)
        yield value


CRC = list(crc_table())


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def leases(count):
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000
    for n in range(1, count + 1):
        public_key = base64.b64encode(bytes.fromhex(key(n))).decode()
        record = "lease %s 10.%d.%d.%d %s %d 3600000" % (
            public_key, 64 + (n >> 16), n >> 8 & 255, n & 255,
            link_local(n).replace("fe80", "2001:db8"), now)
        print("%s %08x" % (record, crc32c(record.encode())))


# ---- clients


class Clients:
    def __init__(self, count):
        self.scope = socket.if_nametoindex("wg0")
        self.selector = selectors.DefaultSelector()
        self.answers = {}  # of those connections that are open
        self.later = []  # when to ask again, and who
        self.again = {}  # of the clients that are asking: whether to ask once more
        self.routes = {}  # by client
        self.told = None
        self.count = count
        for number in range(1, count + 1):
            called = self.socket(socket.SOCK_DGRAM, number)
            called.connect((SERVER, PORT, 0, self.scope))
            self.selector.register(called, selectors.EVENT_READ, (self.call, number))

    def socket(self, kind, number):
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((link_local(number), PORT, 0, self.scope))
        return sock

    def ask(self, number):
        self.again[number] = False
        sock = self.socket(socket.SOCK_STREAM, number)
        sock.connect_ex((SERVER, PORT, 0, self.scope))
        self.answers[sock] = b""
        self.selector.register(sock, selectors.EVENT_WRITE, (self.connected, number))

    def connected(self, sock, number):
        sock.sendall(REQUEST)
        self.selector.modify(sock, selectors.EVENT_READ, (self.answer, number))

    def call(self, sock, number):
        if sock.recv(64) != b"call=1\n\n":
            return
        if number in self.again:
            self.again[number] = True
        else:
            self.ask(number)

    def answer(self, sock, number):
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.answers[sock] += data
        if data:
            return
        self.selector.unregister(sock)
        sock.close()
        lines = self.answers.pop(sock).decode().split("\n")
        if "errno=0" in lines:
            self.routes[number] = " ".join(sorted(l[6:] for l in lines if l[:6] == "route="))
        elif lines != [""]:
            sys.exit("client %d: %s" % (number, " ".join(lines)))
        self.tell()
        if self.again.pop(number):
            self.ask(number)
        elif lines == [""]:  # the server has too many at once
            self.later.append((time.monotonic() + 1, number))

    def tell(self):
        sets = set(self.routes.values())
        if len(self.routes) < self.count or len(sets) > 1 or sets == {self.told}:
            return
        if self.told is None:
            print("leased", flush=True)
        else:
            print("%.6f %s" % (time.time(), *sets), flush=True)
        self.told = sets.pop()

    def run(self):
        waiting = list(range(self.count, 0, -1))
        while True:
            while waiting and len(self.answers) < 200:
                self.ask(waiting.pop())
            for event, _ in self.selector.select(0.1 if self.later else None):
                event.data[0](event.fileobj, event.data[1])
            while self.later and self.later[0][0] < time.monotonic():
                _, number = self.later.pop(0)
                if number not in self.again:
                    self.ask(number)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("device", "leases", "clients"):
        sys.exit(__doc__)
    if sys.argv[1] == "device":
        Device(int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) == 4 else 0).serve()
    elif sys.argv[1] == "leases":
        leases(int(sys.argv[2]))
    else:
        Clients(int(sys.argv[2])).run()
