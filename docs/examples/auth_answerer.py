"""Answers Turnbridge's questions about users. Needs nothing but Python.

    WEBHOOK_SECRET=... python3 auth_answerer.py PORT

Put a web server with TLS in front of it, or run it on the same host: http:// is accepted for 127.0.0.1 only.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

# A database would have these. Instead of a password it may have the key: MD5 of "user:realm:password".
USERS = {
    "dave": {"password": "bowman", "limits": {"allocations": 10, "bandwidth": "5 Mbit/s"}},
    "hal": None,
}


def decide(question):
    if question["user"] not in USERS:
        # Nothing is known here: the secrets and users in Turnbridge's own configuration judge the password.
        return {"allow": True}
    user = USERS[question["user"]]
    if user is None:
        return {"allow": False, "reason": "this account is closed"}
    return {"allow": True, "ttl": 60, **user}


def key_of(secret):
    """A secret of Standard Webhooks stands for bytes, any other one is taken as it is."""
    prefix = "whsec_"
    return base64.b64decode(secret[len(prefix):]) if secret.startswith(prefix) else secret.encode()


def is_genuine(key, headers, body):
    name, moment = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(moment)) > 300:
        return False
    signed = f"{name}.{moment}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split())


class Answerer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key = b""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        # Whoever is no server of ours is told nothing: the answer may have a password in it.
        genuine = is_genuine(self.key, self.headers, body)
        answer = json.dumps(decide(json.loads(body))).encode() if genuine else b""
        self.send_response(200 if genuine else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Answerer.key = key_of(os.environ["WEBHOOK_SECRET"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answerer)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
