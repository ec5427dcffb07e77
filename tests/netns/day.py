#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
day.py - clients that behave as badly as clients do, and what must hold all the same.

  day.py clients NUMBER SEED   clients of many.py's device, which lease, renew, ask for another
                               address, release, and vanish, by chance; fails as soon as one is
                               given what another may still use. On SIGTERM prints for each that
                               has a lease: its number, address, and the end by CLOCK_BOOTTIME
  day.py burst NUMBER          all of them ask at once; fails unless each has an address by its first
                               request. Prints the seconds that the last had to wait
  day.py audit HELD            whether server, device and journal agree, and the server has every
                               lease of that file, which the clients have printed

Both on the hosts of many.bash.
"""

import base64
import random
import re
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time

from many import PORT, SERVER, link_local

ANSWER_S = 5  # for an answer, before a client gives up
JOURNAL = "/var/lib/wg-dynamic/wg0.leases"


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# ---- clients


class Client:
    def __init__(self, number, chance):
        self.number = number
        self.at = now() + chance.random()  # when to do something
        self.sock = None
        self.request = ""


class Clients:
    def __init__(self, count, seed):
        self.scope = socket.if_nametoindex("wg0")
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        self.chance = random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self.clients = [Client(n, self.chance) for n in range(1, count + 1)]
        self.holder = {}  # by address: its client and the end
        self.held = {}  # by client: its address
        self.granted = self.failed = 0
        self.stopped = False
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_):
        self.stopped = True

    def give_up(self, client):
        ip = self.held.pop(client.number, None)
        # After the end of its lease another may have had it, and given it up.
        if self.holder.get(ip, (None, 0))[0] == client.number:
            del self.holder[ip]

    def ask(self, client):
        chance = self.chance.random()
        client.request = "request_ip=1\nip=0.0.0.0/32\n\n"
        if chance < 0.05:
            client.request = "release_ip=1\n\n"
        elif chance < 0.15:
            client.request = "request_ip=1\nip=10.9.0.%d\n\n" % self.chance.randint(1, 254)
        if chance < 0.15:
            self.give_up(client)  # which the server may do before we hear of it
        client.sent = now()
        client.at = client.sent + ANSWER_S
        client.answer = b""
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock = sock
        try:
            sock.bind((link_local(client.number), PORT, 0, self.scope))
            sock.connect_ex((SERVER, PORT, 0, self.scope))
            self.selector.register(sock, selectors.EVENT_WRITE, client)
        except OSError:  # the interface is down
            self.close(client)
            self.fail(client)

    def close(self, client):
        try:
            self.selector.unregister(client.sock)
        except KeyError:
            pass
        client.sock.close()
        client.sock = None

    def fail(self, client):
        self.failed += 1
        client.at = now() + 0.5 + self.chance.random()

    def ready(self, client, events):
        try:
            if events & selectors.EVENT_WRITE:
                client.sock.sendall(client.request.encode())
                self.selector.modify(client.sock, selectors.EVENT_READ, client)
                return
            data = client.sock.recv(4096)
        except OSError:
            data = b""
        client.answer += data
        if data:
            return
        self.close(client)
        values = dict(l.split("=", 1) for l in client.answer.decode().split("\n") if "=" in l)
        if not client.answer.endswith(b"\n\n") or values["errno"] in "34":
            self.fail(client)
        elif values["errno"] != "0":
            sys.exit("client %d: %s" % (client.number, values))
        elif "ip" not in values:  # released
            client.at = now() + 5 * self.chance.random()
        else:
            self.have(client, values["ip"], int(values["leasetime"]))

    def have(self, client, ip, leasetime):
        other, end = self.holder.get(ip, (None, 0))
        if other not in (None, client.number) and end > now():
            sys.exit("client %d is given %s, which client %d may use for another %.3f s" %
                     (client.number, ip, other, end - now()))
        self.give_up(client)
        self.holder[ip] = client.number, client.sent + leasetime
        self.held[client.number] = ip
        self.granted += 1
        # It renews in time; or it vanishes, for longer than its lease.
        vanishes = self.chance.random() < 0.1
        client.at = client.sent + leasetime * (
            self.chance.uniform(1, 2) if vanishes else self.chance.uniform(0.4, 0.5))

    def run(self):
        while not self.stopped:
            for key, events in self.selector.select(0.05):
                if key.data.sock is key.fileobj:
                    self.ready(key.data, events)
            for client in self.clients:
                if client.at > now():
                    continue
                if client.sock:
                    self.close(client)
                    self.fail(client)
                else:
                    self.ask(client)
        for ip, (number, end) in self.holder.items():
            print(number, ip, end)
        print("# granted: %d, failed: %d" % (self.granted, self.failed), file=sys.stderr)


class Burst(Clients):
    def run(self):
        began = now()
        for client in self.clients:
            client.at = began + 3600
            self.ask_for_any(client)
        while self.granted < len(self.clients) and now() < began + 10:
            for key, events in self.selector.select(0.05):
                self.ready(key.data, events)
        if self.failed or self.granted < len(self.clients):
            sys.exit("granted: %d, failed: %d" % (self.granted, self.failed))
        print("%.2f" % (now() - began))

    def ask_for_any(self, client):
        self.chance.random = lambda: 1
        self.ask(client)


# ---- audit


def lines(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE,
                          text=True).stdout.splitlines()


def journal():
    last = {}
    with open(JOURNAL) as file:
        for line in file:
            word = line.split()
            if word[:1] == ["lease"]:
                last[word[1]] = [] if re.search("past|-", word[2]) else [word[2] + "/32"]
    return {key: ips for key, ips in last.items() if ips}


def audit(file):
    server, pools = {}, []
    for line in lines("wg", "dynamic", "show", "wg0", "dump"):
        word = line.split("\t")
        if word[1] == "lease":
            server[word[2]] = word[3].split(",")
        elif word[1] == "pool":
            pools.append((int(word[3]), int(word[4])))
    asked = now()
    device = {}
    for line in lines("wg", "show", "wg0", "allowed-ips"):
        key, _, ips = line.partition("\t")
        link = link_local(int.from_bytes(base64.b64decode(key)[-4:], "big"))
        ips = ips.split()
        if not any(ip.startswith("fe80:") for ip in ips) or len(ips) > 2:
            sys.exit("%s has %s, and its link-local is %s" % (key, ips, link))
        ips = [ip for ip in ips if not ip.startswith("fe80:")]
        if ips:
            device[key] = ips
    given = sum(server.values(), [])
    if len(set(given)) != len(given):
        sys.exit("doubled: %s" % sorted(given))
    if pools != [(len(given), 254 - len(given))]:
        sys.exit("%d are leased, pool: %s" % (len(given), pools))
    for name, other in ("device", device), ("journal", journal()):
        if other != server:
            sys.exit("server and %s differ: %s" % (name, sorted(
                set(map(str, server.items())) ^ set(map(str, other.items())))))
    with open(file) as held:
        for line in held:
            number, ip, end = line.split()
            key = base64.b64encode(int(number).to_bytes(32, "big")).decode()
            if float(end) > asked and server.get(key) != [ip]:
                sys.exit("client %s has %s, says the server: %s" % (number, ip,
                                                                     server.get(key)))


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "clients":
        Clients(int(sys.argv[2]), int(sys.argv[3])).run()
    elif len(sys.argv) == 3 and sys.argv[1] == "burst":
        Burst(int(sys.argv[2]), 0).run()
    elif len(sys.argv) == 3 and sys.argv[1] == "audit":
        audit(sys.argv[2])
    else:
        sys.exit(__doc__)
