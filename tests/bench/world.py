# SPDX-License-Identifier: MIT
"""
Two hosts, in network and mount namespaces of their own, and the programs that run there. Whatever
ends the benchmark ends them: a host is a process that waits for the end of its input, which is ours
to close, and each program is killed by the kernel when we are gone.

On the server's host /var/lib/wg-dynamic is a folder of build/bench, which has to be on a real disk:
on tmpfs fdatasync() costs nothing. All servers that are compared keep their leases there.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(os.path.dirname(TESTS), "build")
TOOLS = os.path.join(BUILD, "bench")
PROGRAM = os.path.join(BUILD, "wg-dynamic")
STATE = "/var/lib/wg-dynamic"
POOLS = "10.0.0.0/12,2001:db8::/64"
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """Something does not work, so that there is nothing to measure."""


def die_with_us():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# ---- hosts

HOST = """
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -m 700 /run/wireguard %(state)s
mount --bind "$1" %(state)s
mkdir /run/empty
cat /etc/passwd - >/run/passwd <<END
_wg-dynamic:x:990:990::/nonexistent:/usr/sbin/nologin
END
mount --bind /run/passwd /etc/passwd
ip link set lo up
echo ready
exec cat
""" % {"state": STATE}


class World:
    """
    A client's and a server's host, `cli' and `srv', with a link between them, and the user that
    packages make.
    """

    def __init__(self):
        os.makedirs(TOOLS, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="world-", dir=TOOLS)
        self.state = os.path.join(self.folder, "state")
        self.hosts, self.programs = {}, []
        os.mkdir(self.state, 0o700)
        os.sync()  # nobody's disk has to write what another has left

    def __enter__(self):
        try:
            for name in ("srv", "cli"):
                host = subprocess.Popen(
                    ["unshare", "--net", "--mount", "--", "sh", "-e", "-c", HOST, "sh", self.state],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                    start_new_session=True)
                self.hosts[name] = host
                if host.stdout.readline() != "ready\n":
                    raise Failure("cannot make a host in namespaces (are you root?)")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            self.stop(program, signal.SIGKILL)
        for host in self.hosts.values():
            host.stdin.close()
            host.wait()
            host.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, host, args):
        return ["nsenter", "--target", str(self.hosts[host].pid), "--net", "--mount", "--",
                *(str(a) for a in args)]

    def run(self, host, *args, **more):
        """What it prints; it has to succeed."""
        result = subprocess.run(self.command(host, args), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, check=False,
                                preexec_fn=die_with_us, **more)
        if result.returncode:
            raise Failure("%s: %s" % (" ".join(str(a) for a in args),
                                      result.stderr.strip() or result.returncode))
        return result.stdout

    def start(self, host, *args, **more):
        """A program that goes on; its pid is that of the program itself."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                   "stderr": subprocess.DEVNULL, "text": True, **more}
        program = subprocess.Popen(self.command(host, args), preexec_fn=die_with_us,
                                   start_new_session=True, **options)
        self.programs.append(program)
        return program

    def start_ready(self, host, *args, **more):
        """Likewise, one that prints `ready' when it is."""
        program = self.start(host, *args, stdout=subprocess.PIPE, **more)
        if program.stdout.readline() != "ready\n":
            raise Failure("%s does not start" % args[0])
        return program

    def stop(self, program, how=signal.SIGTERM):
        if program not in self.programs:
            return
        self.programs.remove(program)
        program.send_signal(how)
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
        for pipe in (program.stdin, program.stdout, program.stderr):
            if pipe:
                pipe.close()

    def empty_state(self):
        for entry in os.scandir(self.state):
            os.unlink(entry.path)

    # ---- links

    def link(self, srv, cli):
        """A cable between the hosts; srv and cli: what `ip link' is to know of its ends."""
        subprocess.run(["nsenter", "--target", str(self.hosts["srv"].pid), "--net", "--",
                        "ip", "link", "add", *srv, "type", "veth", "peer", *cli,
                        "netns", str(self.hosts["cli"].pid)], check=True)

    def tunnel(self):
        """
        The cable as a tunnel of WireGuard would be: no neighbours are looked for. Clients of any
        number are on its one end, without an address for each, and there is one neighbour, so
        that none of the kernel's tables grows with them.
        """
        end = ["name", "wg0", "address", "02:00:00:00:00:01"]
        self.link(end[1:], end)
        for host in ("srv", "cli"):
            self.run(host, "ip", "link", "set", "wg0", "addrgenmode", "none")
            self.run(host, "ip", "link", "set", "wg0", "arp", "off", "mtu", "1420", "up")
        self.run("srv", "ip", "address", "add", "fe80::/64", "dev", "wg0", "nodad")
        self.run("srv", "ip", "route", "add", "fe80::1:0:0/96", "via", "fe80::ffff", "dev", "wg0")
        self.run("cli", "ip", "route", "add", "local", "fe80::1:0:0/96", "dev", "wg0",
                 "table", "local")
        self.run("cli", "ip", "route", "add", "fe80::/128", "dev", "wg0")

    def ethernet(self):
        """The cable as it comes, for DHCP."""
        self.link(["eth0"], ["name", "eth0"])
        for host, address in (("srv", "10.0.0.1/8"), ("cli", "10.0.0.2/8")):
            self.run(host, "ip", "address", "add", address, "dev", "eth0")
            self.run(host, "ip", "link", "set", "eth0", "up")

    # ---- programs

    def load_command(self, on=None, **options):
        """
        Of load.c: c (at once), n (requests), f (first peer), p (peers), r (a second), ...; on: the
        processor for it, or wherever the kernel sees fit.
        """
        args = [word for key, value in options.items() for word in ("-" + key, value)]
        return self.command("cli", [*bound(on), os.path.join(TOOLS, "load"), *args])

    def load(self, refused=False, **options):
        """What it prints. A request that fails is a failure, but where they may be refused."""
        done = subprocess.run(self.load_command(**options), text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=die_with_us)
        if done.returncode:
            raise Failure("load: %s" % done.stderr.strip())
        result = json.loads(done.stdout)
        if result["failed"] and not refused:
            raise Failure("%d requests failed: %s" % (result["failed"], result["failures"]))
        return result

    def device(self, peers):
        return self.start_ready("srv", os.path.join(TOOLS, "device"), peers)

    def device_counts(self, device):
        device.send_signal(signal.SIGUSR1)
        return {key: int(value) for key, value in
                (word.split("=") for word in device.stdout.readline().split())}

    @staticmethod
    def server_words(*words, pools=POOLS):
        return [PROGRAM, "server", "wg0", "foreground", "pool", pools, *words]

    def server(self, *words, pools=POOLS):
        """Ours, once it listens."""
        with open(os.path.join(self.folder, "log"), "w", encoding="utf-8") as out:
            server = self.start("srv", *self.server_words(*words, pools=pools), stderr=out)
        wait_for(lambda: listens(self, server), 120)
        return server

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
            return log.read()


def bound(processor):
    """What a command begins with, to run on this processor alone; nothing for None."""
    return [] if processor is None else ["taskset", "--cpu-list", processor]


def listens(world, server):
    if server.poll() is not None:
        raise Failure("the server ended: %s" % world.log())
    return len(processes(server.pid)) == 3 and ":03CA " in world.run("srv", "cat",
                                                                     "/proc/net/tcp6")


def wait_for(what, seconds, pause=0.01):
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise Failure("nothing came of it in %d s" % seconds)
        time.sleep(pause)


# ---- processes

def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as line:
            return [int(child) for child in line.read().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return []


def processes(monitor):
    """Of ours: monitor, spawner and engine. (What reads the device is the monitor's child, too.)"""
    for spawner in children(monitor):
        for engine in children(spawner):
            return [monitor, spawner, engine]
    return [monitor]
