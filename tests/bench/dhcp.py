# SPDX-License-Identifier: MIT
"""
DHCP servers of Debian, and what they take from perfdhcp.

perfdhcp can't keep a number of exchanges open, only begin so many in a second. So it is told to
begin more and more, against a server that has no lease yet each time, until fewer are completed
than before; what counts is the most that were completed (four packets, up to the ACK) in a second
at any of these. Later rounds begin near where the first one ended.
"""

import re
import subprocess

from world import STATE, Failure, World, bound, die_with_us, wait_for

SECONDS = 2  # of each run
STEP = 1.3
FIRST, LAST = "10.1.0.0", "10.1.255.255"  # more than any of them leases in a run

KEA = """{"Dhcp4": {
"interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "udp"},
"lease-database": {"type": "memfile", "persist": true, "name": "%(state)s/kea.csv"},
"valid-lifetime": 3600,
"subnet4": [{"subnet": "10.0.0.0/8", "pools": [{"pool": "%(first)s - %(last)s"}]}],
"loggers": [{"name": "kea-dhcp4", "severity": "%(severity)s",
             "output_options": [{"output": "%(state)s/kea.log"}]}]}}
"""
DHCPD = """
authoritative;
ping-check false;
default-lease-time 3600;
max-lease-time 3600;
subnet 10.0.0.0 netmask 255.0.0.0 { range %(first)s %(last)s; }
"""


def kea(world, severity):
    with open(world.state + "/kea.conf", "w", encoding="ascii") as out:
        out.write(KEA % {"state": STATE, "first": FIRST, "last": LAST, "severity": severity})
    world.run("srv", "mkdir", "-p", "/run/kea")
    return world.start("srv", "env", "KEA_PIDFILE_DIR=/run/kea", "KEA_LOCKFILE_DIR=/run/kea",
                       "kea-dhcp4", "-c", STATE + "/kea.conf")


def kea_as_it_comes(world):
    return kea(world, "INFO")


def kea_quiet(world):
    return kea(world, "ERROR")


def dhcpd(world):
    with open(world.state + "/dhcpd.conf", "w", encoding="ascii") as out:
        out.write(DHCPD % {"first": FIRST, "last": LAST})
    with open(world.state + "/dhcpd.leases", "w", encoding="ascii"):
        pass
    return world.start("srv", "dhcpd", "-4", "-f", "-q", "-cf", STATE + "/dhcpd.conf", "-lf",
                       STATE + "/dhcpd.leases", "--no-pid", "eth0")


def dnsmasq(world):
    return world.start("srv", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
                       "--port=0", "--interface=eth0", "--user=root", "--no-ping",
                       "--dhcp-authoritative", "--dhcp-lease-max=65536", "--pid-file",
                       "--dhcp-range=%s,%s,255.0.0.0,1h" % (FIRST, LAST),
                       "--dhcp-leasefile=%s/dnsmasq.leases" % STATE,
                       "--log-facility=%s/dnsmasq.log" % STATE)


# What to call it, how to start it, and where to begin, exchanges a second.
SERVERS = {
    "kea": ("Kea", kea_as_it_comes, 2000),
    "kea-quiet": ("Kea, logging errors only", kea_quiet, 3000),
    "dhcpd": ("ISC dhcpd", dhcpd, 400),
    "dnsmasq": ("dnsmasq", dnsmasq, 100),
}


def offer(start, rate, on):
    """Completed exchanges a second, of so many begun, by a perfdhcp on this processor."""
    with World() as world:
        world.ethernet()
        server = start(world)

        def listens():
            if server.poll() is not None:
                raise Failure("%s does not start" % server.args[-1])
            return ":0043 " in world.run("srv", "cat", "/proc/net/udp")

        wait_for(listens, 20)
        done = subprocess.run(
            world.command("cli", [*bound(on), "perfdhcp", "-4", "-l", "eth0", "-r", round(rate),
                                  "-p", SECONDS, "-W", 300000, "-R", 1000000, "10.0.0.1"]),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            preexec_fn=die_with_us)
        acks = re.search(r"REQUEST-ACK\*\*\*.*?received packets: (\d+)", done.stdout, re.S)
        if not acks:
            raise Failure("perfdhcp: %s" % done.stdout.strip())
        return int(acks.group(1)) / SECONDS


class Dhcp:
    def __init__(self, name):
        self.title, self.start, rate = SERVERS[name]
        self.rates = {}  # where to begin, by the processor that perfdhcp is bound to, or None
        self.first = rate

    def search(self, on):
        """The most in a second, and what came of each rate that was offered."""
        tried = []
        rate = self.rates[on] / STEP if on in self.rates else self.first
        best = 0
        worse = 0
        while worse < 3:
            done = offer(self.start, rate, on)
            tried.append((round(rate), done))
            if done > best:
                best, self.rates[on] = done, rate
            worse = worse + 1 if done < 0.95 * best or done < 0.6 * rate else 0
            rate *= STEP
        return best, tried

    def measure(self, on):
        """
        Likewise, with perfdhcp on this processor or wherever the kernel sees fit, whichever has
        brought more in the first round: it receives in a thread of its own.
        """
        found = {way: self.search(way) for way in list(self.rates) or (on, None)}
        better = max(found, key=lambda way: found[way][0])
        if not found[better][0]:
            raise Failure("%s completed no exchange, whatever it was offered" % self.title)
        self.rates = {better: self.rates[better]}
        return found[better]
