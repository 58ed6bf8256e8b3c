"""A help desk behind an address, as `gateway.desks.webhook` describes it: it takes repeats and knows its tickets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeDesk:
    """Serves on a free port until it is closed; `status` other than 200 is what it answers to everything."""

    def __init__(self) -> None:
        self.tickets: dict[str, dict[str, Any]] = {}
        self.seen: set[str] = set()
        self.authorized: list[str] = []
        self.status, self.location = 200, ""
        desk = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                desk.authorized.append(self.headers.get("Authorization", ""))
                self.send_response(200)
                self.end_headers()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                desk.authorized.append(self.headers.get("Authorization", ""))
                status, answer = desk.take(body) if desk.status == 200 else (desk.status, {})
                self.send_response(status)
                if desk.location:
                    self.send_header("Location", desk.location)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def take(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        ref = f"HD-{body['ticket_id']}"
        if body["deed"] == "open":
            self.tickets.setdefault(ref, body | {"comments": [], "closed": 0})
            return 201, {"id": ref}
        held = self.tickets.get(body["ticket_id"])
        if held is None:
            return 404, {}
        if body["key"] not in self.seen:
            self.seen.add(body["key"])
            if body["deed"] == "comment":
                held["comments"].append(body["text"])
            else:
                held["closed"] += 1
        return 200, {}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
