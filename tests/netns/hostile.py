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
  hostile.py flood N           peer N asks as fast as it can by two connections, until SIGTERM
  hostile.py latency N COUNT   peer N asks COUNT times; prints the 99th percentile, in microseconds
  hostile.py ask N             peer N asks once; prints the answer
"""

import select
import socket
import struct
import sys
import threading
import time

PORT = 970
REQUEST = b"request_ip=1\nip=0.0.0.0/32\n\n"
RELEASE = b"release_ip=1\n\n"
SCOPE = socket.if_nametoindex("wg0")
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


def flood(number):
    def forever():
        while True:
            try:
                sock = connect(number)
                threading.Thread(target=rest, args=(sock,), daemon=True).start()
                while True:
                    sock.sendall(REQUEST * 50)
            except OSError:
                pass
    threads = [threading.Thread(target=forever, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    print("begun", flush=True)
    threads[0].join()


def latency(number, count):
    times = []
    for _ in range(count):
        start = time.monotonic()
        if not granted(answer := ask(number)):
            sys.exit("answered %r" % answer)
        times.append(time.monotonic() - start)
    times.sort()
    print("%d" % (times[len(times) * 99 // 100] * 1e6))


def main():
    arguments = [int(word) for word in sys.argv[2:]]
    modes = {f.__name__: f for f in (cut, endless, connects, slots, flood, latency)}
    if sys.argv[1] == "ask":
        sys.stdout.write(ask(arguments[0]).decode())
    elif sys.argv[1] in modes:
        modes[sys.argv[1]](*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
