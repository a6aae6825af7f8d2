"""What one socket is seen as by several STUN servers: ADDRESS:PORT..., printed as a JSON list."""

import json
import socket
import sys

from aioice import stun

socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket.settimeout(0.5)


def mapped(server):
    host, port = server.rsplit(":", 1)
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    for _ in range(20):
        socket.sendto(bytes(request), (host, int(port)))
        try:
            answer, source = socket.recvfrom(2048)
        except TimeoutError:
            continue
        answer = stun.parse_message(answer)
        if answer.transaction_id == request.transaction_id:
            assert source == (host, int(port)), source
            return "%s:%d" % answer.attributes["XOR-MAPPED-ADDRESS"]
    raise SystemExit(f"{server} does not answer")


print(json.dumps([mapped(server) for server in sys.argv[1:]]))
