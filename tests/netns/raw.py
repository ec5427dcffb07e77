#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
raw.py - speaks to a wg-dynamic server or client by hand, byte for byte.

  raw.py client [options] [STEP...]    connects from [LINKLOCAL%wg0]:970 to [fe80::%wg0]:970,
                                       does the steps, then prints what comes until the close
  raw.py server [options] STEP...      listens on [fe80::%wg0]:970 and does the steps; prints each
                                       request that it takes: [ADDRESS]:PORT and the bytes escaped

A step is text to send, with the escapes of Python's bytes (\\n, \\0, \\xff) and %now% for the
seconds since 1970, or one of
  -         send what is on standard input, as it is
  @sleep=S  wait S seconds
  @read     take one whole message (up to its empty line); the server accepts a connection first if
            it has none, and takes the next one if this one ends before a message did
  @fin      half-close: send nothing more
  @rst      end with a reset
  @close    end with a close
  @repeat   (server, last) begin again with the first step, until the time limit
A server without @repeat closes and exits 0 after its last step.

Exit status: 0 the other side closed, or all steps done; 3 refused; 4 no connection in time;
5 reset by the other side; 6 time over, still open; 1 and 2 wrong use or an error here.
"""

import argparse
import codecs
import errno
import select
import socket
import struct
import sys
import time

CLOSED, REFUSED, NO_CONNECTION, RESET, STILL_OPEN = 0, 3, 4, 5, 6


class TimeOver(Exception):
    pass


class Connection:
    """A socket with what was received but not used yet, and the deadline of the whole run."""

    def __init__(self, sock, options, deadline):
        self.sock, self.options, self.deadline = sock, options, deadline
        self.pending = b""

    def send(self, data):
        size = 1 if self.options.bytewise else self.options.pieces or max(len(data), 1)
        for at in range(0, len(data), size):
            if at:
                time.sleep(self.options.pause)
            self.sock.sendall(data[at:at + size])

    def receive(self):
        """Some bytes; none at all at the end."""
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            raise TimeOver
        return self.sock.recv(65536)

    def message(self):
        """Everything up to the next empty line; what there was, if the end comes first."""
        while b"\n\n" not in self.pending:
            data = self.receive()
            if not data:
                rest, self.pending = self.pending, b""
                return rest, False
            self.pending += data
        whole, _, self.pending = self.pending.partition(b"\n\n")
        return whole + b"\n\n", True

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def decode(text):
    text = text.replace("%now%", str(int(time.time())))
    return codecs.escape_decode(text.encode(errors="surrogateescape"))[0]


def escape(data):
    return repr(data)[2:-1].replace("\\'", "'")


def pause_until(seconds, deadline):
    time.sleep(max(0, min(seconds, deadline - time.monotonic())))


def link_local(interface):
    """The interface's own link-local /128, which is not one that the kernel made up."""
    with open("/proc/net/if_inet6", encoding="ascii") as table:
        for line in table:
            address, _, plen, _, _, name = line.split()
            if name == interface and plen == "80" and address.startswith("fe8"):
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
    return sys.exit(f"raw.py: no link-local /128 on {interface}: say --from ADDRESS")


def connect(options, port, deadline):
    scope = socket.if_nametoindex(options.interface)
    source = options.source or link_local(options.interface)
    while True:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.bind((source, port, 0, scope))
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            sock.connect((options.to, options.to_port, 0, scope))
            sock.settimeout(None)
            return sock
        except OSError as error:
            # The last connection between these two ports may not be gone entirely.
            sock.close()
            busy = error.errno in (errno.EADDRNOTAVAIL, errno.EADDRINUSE)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def play_client(connection):
    for step in connection.options.steps:
        if step == "-":
            connection.send(sys.stdin.buffer.read())
        elif step.startswith("@sleep="):
            pause_until(float(step[7:]), connection.deadline)
        elif step == "@read":
            show(connection, connection.message()[0])
        elif step == "@fin":
            connection.sock.shutdown(socket.SHUT_WR)
        elif step == "@rst":
            connection.reset()
            return False
        elif step == "@close":
            connection.sock.close()
            return False
        elif step.startswith("@"):
            sys.exit(f"raw.py: unknown step {step}")
        else:
            connection.send(decode(step))
    return True


def show(connection, data):
    if connection.options.escape:
        sys.stdout.write(escape(data))
    else:
        sys.stdout.buffer.write(data)
    sys.stdout.flush()


def client_once(options, port, deadline):
    """One connection from beginning to end; returns the exit status."""
    try:
        sock = connect(options, port, deadline)
    except ConnectionRefusedError:
        return REFUSED
    except TimeoutError:
        return NO_CONNECTION
    connection = Connection(sock, options, deadline)
    status = CLOSED
    try:
        if not play_client(connection):
            return CLOSED
    except (ConnectionResetError, BrokenPipeError):
        # An answer that came before the reset is still to be read.
        status = RESET
    except TimeOver:
        status = STILL_OPEN
    show(connection, connection.pending)
    try:
        while status != STILL_OPEN and (data := connection.receive()):
            show(connection, data)
    except ConnectionResetError:
        status = RESET
    except TimeOver:
        status = STILL_OPEN
    return status


def client_many(options, deadline):
    """Many connections at once, which say nothing; prints how and when each ended."""
    words = {b"": "closed", None: "reset"}
    start, waiting = time.monotonic(), {}
    for port in range(options.port, options.port - options.connections, -1):
        try:
            waiting[connect(options, port, start + 1)] = port
        except ConnectionRefusedError:
            print(f"{port} refused")
        except TimeoutError:
            print(f"{port} timeout")
    for sock in waiting:
        for step in options.steps:
            sock.sendall(decode(step))
    while waiting and (left := deadline - time.monotonic()) > 0:
        for sock in select.select(list(waiting), [], [], left)[0]:
            try:
                data = sock.recv(65536)
            except ConnectionResetError:
                data = None
            if not data:
                print(f"{waiting.pop(sock)} {words[data]} {time.monotonic() - start:.1f}",
                      flush=True)
    for port in waiting.values():
        print(f"{port} open")
    return STILL_OPEN if waiting else CLOSED


def client(options):
    start = time.monotonic()
    deadline = start + options.limit
    if options.connections > 1:
        return client_many(options, deadline)
    status = client_once(options, options.port, deadline)
    if options.time:
        print(f"{time.monotonic() - start:.2f} s", file=sys.stderr)
    return status


class Server:
    """Does its steps on one connection after the other."""

    def __init__(self, options):
        self.options = options
        self.deadline = time.monotonic() + options.limit
        self.listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        scope = socket.if_nametoindex(options.interface)
        self.listener.bind((options.to, options.to_port, 0, scope))
        self.listener.listen(16)
        self.connection, self.peer = None, None

    def accept(self):
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.listener], [], [], left)[0]:
            raise TimeOver
        sock, self.peer = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = Connection(sock, self.options, self.deadline)

    def close(self):
        if self.connection:
            self.connection.sock.close()
        self.connection = None

    def read(self):
        whole = False
        while not whole:
            if not self.connection:
                self.accept()
            try:
                request, whole = self.connection.message()
            except ConnectionResetError:
                request, whole = b"", False
            if request:
                print(f"[{self.peer[0].partition('%')[0]}]:{self.peer[1]} {escape(request)}",
                      flush=True)
            if not whole:
                self.close()

    def step(self, step):
        if step == "@read":
            self.read()
        elif step.startswith("@sleep="):
            pause_until(float(step[7:]), self.deadline)
        elif step == "@close":
            self.close()
        elif step.startswith("@") and step not in ("@fin", "@rst"):
            sys.exit(f"raw.py: unknown step {step}")
        elif not self.connection:
            sys.exit(f"raw.py: no connection for {step}: there must be a @read before")
        elif step == "@fin":
            self.connection.sock.shutdown(socket.SHUT_WR)
        elif step == "@rst":
            self.connection.reset()
            self.connection = None
        else:
            data = sys.stdin.buffer.read() if step == "-" else decode(step)
            try:
                self.connection.send(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close()

    def run(self):
        steps = self.options.steps
        forever = steps[-1:] == ["@repeat"]
        try:
            while True:
                for step in steps[:-1] if forever else steps:
                    self.step(step)
                if not forever:
                    return CLOSED
        except TimeOver:
            return STILL_OPEN
        finally:
            self.close()


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["client", "server"])
    parser.add_argument("-i", "--interface", default="wg0")
    parser.add_argument("--from", dest="source", metavar="ADDRESS",
                        help="the client's own address (the interface's link-local /128)")
    parser.add_argument("--port", type=int, default=970, help="the client's own port (970)")
    parser.add_argument("--to", metavar="ADDRESS", default="fe80::",
                        help="the server's address (fe80::), to connect to or to listen on")
    parser.add_argument("--to-port", type=int, default=970, help="its port (970)")
    parser.add_argument("--bytewise", action="store_true", help="send each byte by itself")
    parser.add_argument("--pieces", type=int, metavar="N", help="send N bytes at a time")
    parser.add_argument("--pause", type=float, default=0.002, metavar="S",
                        help="between such pieces (0.002)")
    parser.add_argument("--limit", type=float, default=15, metavar="S",
                        help="seconds for everything (15)")
    parser.add_argument("--connections", type=int, default=1, metavar="N",
                        help="client: open N, from this port downwards, send the steps (text alone) "
                        "on each, and print how each ended, after how many seconds")
    parser.add_argument("-e", "--escape", action="store_true",
                        help="client: print what comes on one line, escaped")
    parser.add_argument("-t", "--time", action="store_true",
                        help="client: say on standard error how long it took")
    parser.add_argument("steps", nargs="*", metavar="STEP")
    return parser.parse_intermixed_args()


def main():
    options = arguments()
    try:
        return client(options) if options.mode == "client" else Server(options).run()
    except OSError as error:
        sys.exit(f"raw.py: {error}")


if __name__ == "__main__":
    sys.exit(main())
