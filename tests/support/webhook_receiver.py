"""Takes webhooks, checks their signatures, and writes each accepted body as a line: PORT SECRET OUT REFUSE_FIRST."""

import hashlib
import hmac
import http.server
import sys

port, secret, out, refuse = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3], int(sys.argv[4])


class Receiver(http.server.BaseHTTPRequestHandler):
    refused = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = self.headers["X-Pgrekey-Timestamp"].encode() + b"." + body
        expected = "sha256=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
        code = 200
        if Receiver.refused < refuse:
            Receiver.refused += 1
            code = 503
        elif not hmac.compare_digest(expected, self.headers.get("X-Pgrekey-Signature", "")):
            code = 401
        else:
            with open(out, "ab") as file:
                file.write(body + b"\n")
        self.send_response(code)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", port), Receiver).serve_forever()
