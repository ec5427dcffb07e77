# SPDX-License-Identifier: MIT
"""Hosts of tests/netns/lib.bash: a client's and a server's, joined by WireGuard or by a tunnel."""

import os
import re
import subprocess
import tempfile

from world import TESTS, TOOLS, Failure, die_with_us

NETNS = os.path.join(TESTS, "netns")
BARE = os.path.join(TOOLS, "bare")
DEVICE = os.path.join(TOOLS, "device")
POOLS = "192.0.2.0/24,2001:db8::/64"
ROUTES = "fe80::/128, 192.0.2.0/24, 2001:db8::/64"
ROLES = ("monitor", "spawner", "engine")
USER = "_wg-dynamic:x:999:999::/nonexistent:/usr/sbin/nologin"


def real_time():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:  # as in many containers
        pass


class Hosts:
    """
    A bash that has read leases.bash, and holds the hosts that it makes until its input ends;
    in_time: all of it with real-time priority.
    """

    BASH = r"""
        NETNS=$1
        load() { . "$NETNS/$1.bash"; }
        load leases
        trap hosts_del EXIT
        while IFS= read -r -d "" script; do
            eval "$script" </dev/null
            printf '\0%d\0' $?
        done
    """

    def __init__(self, in_time=False):
        self.in_time = in_time
        self.said = tempfile.TemporaryFile()
        self.bash = subprocess.Popen(["bash", "-c", self.BASH, "-", NETNS], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=self.said,
                                     start_new_session=True,
                                     preexec_fn=real_time if in_time else None)
        self.others = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.others:
            process.kill()
            process.wait()
        self.bash.stdin.close()
        self.bash.wait()

    def field(self):
        field = bytearray()
        while (byte := self.bash.stdout.read(1)) != b"\0":
            if not byte:
                self.fail("the shell of the hosts has gone")
            field += byte
        return field.decode()

    def run(self, script):
        """What it prints; a script that fails ends all."""
        self.bash.stdin.write(script.encode() + b"\0")
        self.bash.stdin.flush()
        output, status = self.field(), self.field()
        if status != "0":
            self.fail("this failed: %s\n%s" % (script, output))
        return output

    def fail(self, why):
        self.said.seek(0)
        raise Failure("%s\n%s" % (why, self.said.read().decode(errors="replace")))

    def start(self, command):
        """Out here, until the end."""
        def before():
            die_with_us()
            if self.in_time:
                real_time()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=before)
        self.others.append(process)
        return process

    def time(self, host, command):
        """Milliseconds until it has ended."""
        return float(self.run("on %s %s time %s" % (host, BARE, command))) / 1000

    def pids(self, host, daemon):
        """Of its three processes, by role, as they are known out here."""
        inner = dict(zip(self.run("three %s %s" % (host, daemon)).split(), ROLES))
        space = os.readlink("/proc/%s/ns/pid_for_children" %
                            self.run('cat "$NS/%s/pid"' % host).strip())
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/status" % pid) as status:
                    number = re.search(r"^NSpid:.*\t(\d+)$", status.read(), re.M).group(1)
                if number in inner and os.readlink("/proc/%s/ns/pid" % pid) == space:
                    found[inner[number]] = int(pid)
            except OSError:  # it has ended
                pass
        return found

    def user(self):
        """
        As packages make it: else glibc asks all that may know of users, with libraries that an
        installed client never loads. Only where /etc is the host's own.
        """
        self.run("""
            for host in srv c1; do
                [[ $(on $host stat -f -c %%T /etc) != overlayfs ]] ||
                    on $host sh -c 'echo "$1" >>/etc/passwd' - '%s'
            done
        """ % USER)

    def star(self):
        """srv and c1, which WireGuard will join."""
        self.run('star "%s" c1' % ROUTES)
        self.user()

    def tunnel(self):
        """They are joined. The client is not started."""
        self.star()
        self.run("up_server pool %s lease-time 3600 && only_tunnel c1" % POOLS)

    def cable(self):
        """
        srv and c1, by a tunnel without encryption. (The ends of a veth pair are no WireGuard
        interface to the client.)
        """
        self.run("host_new srv c1")
        self.user()
        pids = self.run('cat "$NS/srv/pid" "$NS/c1/pid"').split()
        self.start([BARE, "tunnel", *pids]).stdout.readline()
        self.run(r"""
            LL[c1]=fe80::1:0:1
            spawn srv device %s 1
            spawn c1 device %s device %s fe80::/128
            for host in srv c1; do
                wait_for 5 on $host test -S /var/run/wireguard/wg0.sock
                on $host ip link set wg0 addrgenmode none
                on $host ip link set wg0 up mtu 1420
            done
            on srv ip address add fe80::/64 dev wg0 nodad &&
            on srv ip address add 192.0.2.1/24 dev wg0 &&
            on srv ip address add 2001:db8::1/64 dev wg0 nodad &&
            on c1 ip address add ${LL[c1]}/128 dev wg0 nodad &&
            on c1 ip route add fe80::/128 dev wg0 &&
            serve pool %s lease-time 3600
        """ % (DEVICE, BARE, "%064x" % 1, POOLS))
