"""Takes webhooks, and says of each whether it is from the scheduler that has the secret: python receiver.py PORT."""

import base64
import hashlib
import hmac
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = os.environ["RETRAIN_SECRET_DEPLOY"].encode()
SECONDS = 300  # what was signed earlier may be a copy


class Receiver(BaseHTTPRequestHandler):
    """Checks what https://www.standardwebhooks.com describes; there are libraries that do."""

    def do_POST(self) -> None:
        """Take one."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        number, at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        signed = hmac.digest(KEY, f"{number}.{at}.".encode() + body, hashlib.sha256)
        expected = f"v1,{base64.b64encode(signed).decode()}"
        genuine = (
            hmac.compare_digest(expected, self.headers["webhook-signature"]) and abs(time.time() - int(at)) < SECONDS
        )
        print("genuine" if genuine else "forged", number, body.decode(), flush=True)
        self.send_response(204 if genuine else 401)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
