"""Says how the NAT in front of this host maps and filters, by the tests of RFC 5780 §4.3 and §4.4. Argument: the server."""

import os
import socket
import struct
import sys

COOKIE = 0x2112A442
CHANGE_IP, CHANGE_PORT = 4, 2
XOR_MAPPED, MAPPED, ORIGIN, OTHER = 0x0020, 0x0001, 0x802B, 0x802C


def attributes(message):
    found, at = {}, 20
    while at < len(message):
        kind, length = struct.unpack_from("!HH", message, at)
        found[kind] = message[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return found


def address(value, mask=b"\0" * 6):
    plain = bytes(a ^ b for a, b in zip(value[2:8], mask))
    return socket.inet_ntoa(plain[2:]), int.from_bytes(plain[:2], "big")


def ask(client, to, flags=0):
    """The mapped address and the server's other address, or None if no answer gets through."""
    transaction = os.urandom(12)
    request = struct.pack("!HHI12sHHI", 1, 8, COOKIE, transaction, 3, 4, flags)
    for _ in range(4):
        client.sendto(request, to)
        try:
            answer, source = client.recvfrom(2048)
            while answer[8:20] != transaction:
                answer, source = client.recvfrom(2048)
        except TimeoutError:
            continue
        found = attributes(answer)
        mapped = address(found[XOR_MAPPED], struct.pack("!HI", COOKIE >> 16, COOKIE))
        assert mapped == address(found[MAPPED]), "somebody rewrites addresses"
        assert source == address(found[ORIGIN]), "the answer is not from where it says"
        return mapped, address(found[OTHER])
    return None


def socket_of_its_own():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(0.5)
    return client


def mapping(server):
    client = socket_of_its_own()
    first, other = ask(client, server)
    second, _ = ask(client, (other[0], server[1]))
    if second == first:
        return "Endpoint Independent"
    third, _ = ask(client, other)
    return "Address Dependent" if third == second else "Address and Port Dependent"


def filtering(server):
    client = socket_of_its_own()
    ask(client, server)
    if ask(client, server, CHANGE_IP | CHANGE_PORT):
        return "Endpoint Independent"
    return "Address Dependent" if ask(client, server, CHANGE_PORT) else "Address and Port Dependent"


if __name__ == "__main__":
    server = (sys.argv[1], 3478)
    # As stuntman's client says it.
    print("Nat behavior:", mapping(server), "Mapping")
    print("Nat filtering:", filtering(server), "Filtering")
