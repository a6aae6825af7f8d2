"""Takes records and spans, and judges them by other people's libraries: the one of Standard Webhooks, and the protocol of
OpenTelemetry. Each request gives one line of JSON."""

import base64
import http.server
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from standardwebhooks import Webhook


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return getattr(value, kind)


def attributes(of):
    return {one.key: plain(one.value) for one in of.attributes}


def name(identifier):
    """OTLP writes these in hexadecimal, where the JSON of protobuf has base64; the library has read it as such."""
    return bytes.fromhex(base64.b64encode(identifier).decode()).hex()


def spans(body):
    # Fields that the protocol does not know are an error here.
    request = json_format.Parse(body, ExportTraceServiceRequest())
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "resource": attributes(resource.resource),
                    "scope": scope.scope.name,
                    "trace": name(span.trace_id),
                    "span": name(span.span_id),
                    "name": span.name,
                    "kind": span.kind,
                    "begin": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span),
                    "events": [[event.name, event.time_unix_nano, attributes(event)] for event in span.events],
                }


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            said = {"spans": list(spans(body))}
        else:
            said = {"verified": Webhook(sys.argv[1]).verify(body, dict(self.headers))}
        print(json.dumps(said), flush=True)
        answer = b"{}"
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
