#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""httpclient.py MODE PORT DIRECTORY [CA_FILE [keep]]

Clients for tests/real/httpd.c at 127.0.0.1:PORT, over TLS when there is a CA_FILE. DIRECTORY is the
one that the server serves; every byte that comes is compared with what is there. With "keep" no
client asks the server to close: on a filter, evhttp closes when it has handed the answer down, not
when it is sent, with stock libevent as well.

    load       64 connections that stay, with 100 requests each
    pipeline   many requests sent at once; the answers come in their order
    pieces     requests that arrive a few bytes at a time
    slow       reads a large file slowly, beside a client that is not kept waiting by that
    vanish     leaves by reset or close: in its request, in its body, in the answer; 200 times
    chunks     answers in chunks, compared with their rule

Prints one line about what was done; exit status 1 and a traceback when something is wrong.
"""
import hashlib
import http.client
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time

TIMEOUT_SECONDS = 60
mode, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=sys.argv[4]) if len(sys.argv) > 4 else None
keep = "keep" in sys.argv[5:]
names = sorted(os.listdir(directory), key=lambda n: os.path.getsize(os.path.join(directory, n)))
content = {}
for each in names:
    with open(os.path.join(directory, each), "rb") as file:
        content[each] = file.read()
small = [n for n in names if len(content[n]) <= 70000]
largest = names[-1]


def connect():
    sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    return context.wrap_socket(sock, server_hostname="127.0.0.1") if context else sock


def request_for(path, close=False):
    close = "Connection: close\r\n" if close and not keep else ""
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n{close}\r\n".encode()


class Answers:
    """The answers that come on one connection, each with a length or in chunks."""

    def __init__(self, sock):
        self.file = sock.makefile("rb")

    def next(self):
        status = self.file.readline()
        assert status.startswith(b"HTTP/1.1 200 "), status
        headers = http.client.parse_headers(self.file)
        if headers.get("Transfer-Encoding") == "chunked":
            return b"".join(self.chunks())
        length = int(headers["Content-Length"])
        body = self.file.read(length)
        assert len(body) == length, f"{len(body)} bytes of {length}"
        return body

    def chunks(self):
        while True:
            size = int(self.file.readline(), 16)
            yield self.file.read(size)
            assert self.file.readline() == b"\r\n"
            if size == 0:
                return

    def end(self):
        assert keep or self.file.read(1) == b"", "something came behind the last answer"


def in_threads(count, work):
    """work(i) for each i, all at once; the first exception is raised here."""
    problems = []

    def guarded(i):
        try:
            work(i)
        except BaseException as problem:  # pylint: disable=broad-except
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def load():
    clients, requests = 64, 100

    def one(i):
        order = random.Random(i)
        sock = connect()
        answers = Answers(sock)
        for _ in range(requests):
            if order.random() < 0.2:
                body = order.randbytes(order.choice((0, 1, 1000, 30000)))
                sock.sendall(b"POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"
                             % len(body) + body)
                want = f"{hashlib.sha256(body).hexdigest()} {len(body)}\n".encode()
            else:
                name = order.choice(small)
                sock.sendall(request_for("/file/" + name))
                want = content[name]
            assert answers.next() == want
        sock.close()

    in_threads(clients, one)
    print(clients * requests, "answers as they should be")


def pipeline():
    order = random.Random(1)
    wanted = [order.choice(small) for _ in range(300)] + [largest, small[0], small[-1]]
    sock = connect()
    data = b"".join(request_for("/file/" + name) for name in wanted[:-1])
    data += request_for("/file/" + wanted[-1], close=True)
    # Not by this thread: the server stops reading while it waits for the answers to be read.
    sender = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
    sender.start()
    answers = Answers(sock)
    for i, name in enumerate(wanted):
        assert answers.next() == content[name], f"answer {i}"
    answers.end()
    sender.join()
    print(len(wanted), "answers in their order")


def pieces():
    body = random.Random(2).randbytes(500)
    data = b"POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    data += request_for("/file/" + small[-1])
    sock = connect()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(0, len(data), 3):
        sock.sendall(data[i:i + 3])
        time.sleep(0.0005)
    answers = Answers(sock)
    assert answers.next() == f"{hashlib.sha256(body).hexdigest()} {len(body)}\n".encode()
    assert answers.next() == content[small[-1]]
    print("a request in", len(data) // 3, "pieces")


def slow():
    """The slow one sleeps before each read until 2 seconds are over, then takes the rest."""
    sock = connect()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.sendall(request_for("/file/" + largest, close=True))
    end = time.monotonic() + 2
    got = bytearray()
    quick = 0
    while len(got) < len(content[largest]) or not got.endswith(content[largest]):
        some = sock.recv(65536)
        assert some, f"closed after {len(got)} bytes"
        got += some
        if time.monotonic() < end:
            other = connect()
            other.sendall(request_for("/file/" + small[-1], close=True))
            assert Answers(other).next() == content[small[-1]]
            other.close()
            quick += 1
            time.sleep(0.05)
    assert len(got) < len(content[largest]) + 1000
    print("a slow client got", len(got), "bytes, others", quick, "answers meanwhile")


def vanish():
    order = random.Random(3)
    for i in range(200):
        sock = connect()
        kind = i % 5
        if kind == 0:
            sock.sendall(request_for("/file/" + largest)[:order.randrange(1, 30)])
        elif kind == 1:
            sock.sendall(b"POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n"
                         + bytes(order.randrange(200000)))
        elif kind == 2:
            sock.sendall(request_for("/file/" + largest))
            sock.recv(order.randrange(1, 100000))
        elif kind == 3:
            sock.sendall(request_for("/chunks/50000000"))
            sock.recv(order.randrange(1, 100000))
        else:
            sock.sendall(request_for("/file/" + small[-1]) * 50)
        if order.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    print("200 clients vanished")


def chunks():
    for total in (0, 1, 1000, 100000, 5000000):
        sock = connect()
        sock.sendall(request_for(f"/chunks/{total}", close=True))
        answers = Answers(sock)
        want = bytes((i * 7 + i // 1000) & 255 for i in range(total))
        assert answers.next() == want, total
        answers.end()
    print("answers in chunks of up to 5000000 bytes in all")


{"load": load, "pipeline": pipeline, "pieces": pieces, "slow": slow, "vanish": vanish,
 "chunks": chunks}[mode]()
