"""Receives Turnbridge's accounting records and says who used how much. Needs nothing but Python.

    WEBHOOK_SECRET=... python3 accounting_receiver.py PORT

Put a web server with TLS in front of it, or run it on the same host: http:// is accepted for 127.0.0.1 only.
"""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import sys
import time


def key_of(secret):
    """A secret of Standard Webhooks stands for bytes, any other one is taken as it is."""
    prefix = "whsec_"
    return base64.b64decode(secret[len(prefix):]) if secret.startswith(prefix) else secret.encode()


def is_genuine(key, headers, body):
    name, moment = headers["webhook-id"], headers["webhook-timestamp"]
    # What was recorded by somebody and is sent again gets too old in five minutes.
    if abs(time.time() - int(moment)) > 300:
        return False
    signed = f"{name}.{moment}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split())


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key = b""
    # A database would keep both: the batches that were seen, and the usage, changed in one transaction.
    seen = set()
    usage = collections.Counter()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not is_genuine(self.key, self.headers, body):
            return self.answer(401)
        batch = json.loads(body)
        # A batch whose answer was lost comes again under its name.
        if batch["batch"] not in self.seen:
            self.seen.add(batch["batch"])
            for record in batch["records"]:
                self.count(record)
        self.answer(204)

    def count(self, record):
        # Records of later versions may be of more kinds.
        if record["record"] == "stop":
            self.usage[record["user_id"]] += record["up"]["bytes"] + record["down"]["bytes"]
            print(f"{record['user_id']} has used {self.usage[record['user_id']]} bytes", flush=True)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Receiver.key = key_of(os.environ["WEBHOOK_SECRET"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
