#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""btrelay.py PORT_A PORT_B INFO_HASH [CUT_BYTES]

Introduces two BitTorrent clients on 127.0.0.1 to each other. A client never connects to a loopback
address that it was told of, but it accepts connections from there; so this connects to both, shows
to each a handshake of the other, and from then on hands the bytes of either to the other. A gets an
invented peer id, because its own handshake comes only in answer to one.

Ends when one of them closes, or, when CUT_BYTES have passed, with a reset of both connections.
Prints "relayed A_TO_B B_TO_A". Exit status 1: no answer to a handshake.
"""
import selectors
import socket
import struct
import sys

PROTOCOL = b"\x13BitTorrent protocol"
HANDSHAKE_BYTES = len(PROTOCOL) + 8 + 20 + 20
PEER_ID = b"-XX0000-abcdefghijkl"
RESERVED_FAST_AND_EXTENDED = bytes([0, 0, 0, 0, 0, 0x10, 0, 0x04])


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def shake(sock, hello):
    """Send a handshake; the other's own, and what came behind it."""
    sock.sendall(hello)
    answer = b""
    while len(answer) < HANDSHAKE_BYTES:
        some = sock.recv(65536)
        if not some:
            sys.exit("btrelay: closed instead of a handshake")
        answer += some
    if not answer.startswith(PROTOCOL):
        sys.exit("btrelay: this is no handshake")
    return answer[:HANDSHAKE_BYTES], answer[HANDSHAKE_BYTES:]


def relay(a, b, counts, cut_bytes):
    """Blocking sends: a slow reader makes the other side wait, as a slow network would."""
    other = {a: b, b: a}
    selector = selectors.DefaultSelector()
    for sock in other:
        sock.settimeout(120)
        selector.register(sock, selectors.EVENT_READ)
    while cut_bytes is None or sum(counts.values()) < cut_bytes:
        ready = selector.select(120)
        if not ready:
            return
        for key, _ in ready:
            data = key.fileobj.recv(262144)
            if not data:
                return
            other[key.fileobj].sendall(data)
            counts[key.fileobj] += len(data)
    for sock in other:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def main():
    a, b = connect(int(sys.argv[1])), connect(int(sys.argv[2]))
    info_hash = bytes.fromhex(sys.argv[3])
    cut_bytes = int(sys.argv[4]) if len(sys.argv) > 4 else None
    hello = PROTOCOL + RESERVED_FAST_AND_EXTENDED + info_hash + PEER_ID
    of_a, a_went_on = shake(a, hello)
    _, b_went_on = shake(b, of_a)
    a.sendall(b_went_on)
    b.sendall(a_went_on)
    counts = {a: len(a_went_on), b: len(b_went_on)}
    try:
        relay(a, b, counts, cut_bytes)
    except ConnectionError:
        pass
    print("relayed", counts[a], counts[b])
    a.close()
    b.close()


main()
