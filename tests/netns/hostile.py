#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
hostile.py - clients of many.py's device that mean harm, from [fe80::1:N%wg0].

  hostile.py cut               a request and a release, cut at each byte: closed, half-closed, reset
  hostile.py endless           a line, a message and a value without end; prints for each how many
                               bytes the server took, if it closed for that
  hostile.py connects NUMBER   as many connects and closes, of several kinds; prints how many a
                               second
  hostile.py slots NUMBER      two connections of each of as many peers, that are silent, send a byte
                               now and then, or ask and read nothing; prints `open' when all are, and
                               goes on until SIGTERM
  hostile.py fair N COUNT SECONDS
                               peer N asks COUNT times alone, and as often while peer 1 floods: asks
                               as fast as it can by all connections that it gets, and opens others
                               again and again; prints the 99th percentiles; for so many seconds, or
                               until the second is not more than twice the first
  hostile.py ask N             peer N asks once; prints the answer
"""

import os
import select
import signal
import socket
import struct
import sys
import time

PORT = 970
REQUEST = b"request_ip=1\nip=0.0.0.0/32\n\n"
RELEASE = b"release_ip=1\n\n"
SCOPE = socket.if_nametoindex("wg0")
FLOOD = 32  # connections, of which a server has to refuse most
ports = {}


def link_local(number):
    return "fe80::1:%x:%x" % (number >> 16, number & 0xffff)


def connect(number, limit=15.0):
    """Each time from another port below 1024: the last connection may not be gone entirely."""
    deadline = time.monotonic() + limit
    while True:
        ports[number] = ports.get(number, 1023) - 1 if ports.get(number, 0) > 512 else 1023
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(limit)
        try:
            sock.bind((link_local(number), ports[number], 0, SCOPE))
            sock.connect(("fe80::", PORT, 0, SCOPE))
            return sock
        except OSError:
            sock.close()
            if time.monotonic() > deadline:
                raise


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def rest(sock):
    """All that comes until the end."""
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    sock.close()
    return data


def ask(number, request=REQUEST):
    sock = connect(number)
    sock.sendall(request)
    return rest(sock)


def granted(answer):
    return answer.startswith(b"ip=") and answer.endswith(b"\nerrno=0\n\n")


def cut():
    for whole in (REQUEST, RELEASE, b"request_ip=1\nip=10.9.0.7/32\nleasetime=60\nwant=route\n\n"):
        for at in range(len(whole)):
            sock = connect(1)
            sock.sendall(whole[:at])
            sock.close()
            sock = connect(1)
            sock.sendall(whole[:at])
            sock.shutdown(socket.SHUT_WR)
            if data := rest(sock):
                sys.exit("%r was answered: %r" % (whole[:at], data))
            sock = connect(1)
            sock.sendall(whole[:at])
            reset(sock)
            # With a NUL where it is cut it is wrong, and nothing else.
            if (data := ask(1, whole[:at] + b"\0")) != b"errno=1\nerrmsg=Invalid request\n\n":
                sys.exit("%r and a NUL: %r" % (whole[:at], data))
        if not ask(1, whole).endswith(b"errno=0\n\n"):
            sys.exit("%r whole failed" % whole)


def endless():
    for begin, more in ((b"", b"x" * 4096), (b"request_ip=1\n", b"x=" + b"y" * 1022 + b"\n"),
                        (b"request_ip=1\nleasetime=", b"1" * 4096)):
        sock = connect(1)
        sent = 0
        try:
            sock.sendall(begin)
            while sent < 64 << 20:
                sock.sendall(more)
                sent += len(more)
        except (ConnectionResetError, BrokenPipeError):
            print(sent, flush=True)
        sock.close()


def connects(count):
    start = time.monotonic()
    for i in range(count):
        sock = connect(1 + i % 50)
        kind = i % 4
        if kind == 1:
            sock.sendall(b"request_ip=1\nip=")
        if kind == 2:
            sock.sendall(b"no message\n\n")
        if kind == 3:
            sock.close()
        else:
            reset(sock)
    print("%d" % (count / (time.monotonic() - start)))


SILENT, SENDS_SLOWLY, READS_NOTHING = range(3)


def slot(number):
    sock = connect(number)
    sock.setblocking(False)
    if number % 3 == READS_NOTHING:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            sock.send(b"request_ip=1\n\n" * 2000)
        except BlockingIOError:
            pass
    return sock


def slots(count):
    poll, held = select.poll(), {}

    def take(number):
        sock = slot(number)
        held[sock.fileno()] = number, sock
        poll.register(sock, select.POLLRDHUP)

    for number in range(1, count + 1):
        take(number)
        take(number)
    print("open", flush=True)
    while True:
        # Who is cut off comes again.
        for descriptor, _ in poll.poll(100):
            poll.unregister(descriptor)
            number, sock = held.pop(descriptor)
            sock.close()
            take(number)
        for number, sock in held.values():
            if number % 3 == SENDS_SLOWLY:
                try:
                    sock.send(b"r")
                except OSError:
                    pass


def flood(number, begun):
    poll, held = select.epoll(), {}

    def take():
        sock = connect(number)
        sock.setblocking(False)
        held[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN | select.EPOLLOUT)

    def busy(sock, events):
        try:
            if events & select.EPOLLIN and not sock.recv(65536):
                return False
            if events & select.EPOLLOUT:
                sock.send(REQUEST * 50)
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    for _ in range(FLOOD):
        take()
    os.write(begun, b"!")
    while True:
        for descriptor, events in poll.poll():
            if not busy(held[descriptor], events):
                held.pop(descriptor).close()
                take()


def latencies(number, count):
    """How long each of so many requests takes, in microseconds, in order of size."""
    times = []
    for _ in range(count):
        start = time.monotonic()
        if not granted(answer := ask(number)):
            sys.exit("answered %r" % answer)
        times.append((time.monotonic() - start) * 1e6)
    return sorted(times)


def beside_flood(number, count):
    """Likewise, while peer 1 floods, in a process that runs whenever no other here has to."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        flood(1, writer)
    os.close(writer)
    try:
        if not os.read(reader, 1):
            sys.exit("no flood")
        return latencies(number, count)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)


def fair(number, count, seconds):
    """What else the machine does must not count: so this and the server come before all else."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    for peer in 1, number:
        ask(peer)  # from now on it renews, which does not have to wait for the device
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        calm = latencies(number, count)
        flooded = beside_flood(number, count)
        (calm50, calm99), (flooded50, flooded99) = (
            (times[count // 2], times[count * 99 // 100]) for times in (calm, flooded))
        print("%d us alone, %d us beside a flood (half of them: %d and %d us)" % (
            calm99, flooded99, calm50, flooded50), flush=True)
        # One that was disturbed is nothing to compare with.
        if calm99 <= 5 * calm50 and flooded99 <= 2 * calm99:
            return
        time.sleep(0.1)
    sys.exit("others wait more than twice as long")


def main():
    arguments = [int(word) for word in sys.argv[2:]]
    modes = {f.__name__: f for f in (cut, endless, connects, slots, fair)}
    if sys.argv[1] == "ask":
        sys.stdout.write(ask(arguments[0]).decode())
    elif sys.argv[1] in modes:
        modes[sys.argv[1]](*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
