"""A server that answers as InfluxDB 2's HTTP API does where no query has anything to find: buckets, writes, errors.

`answers` are given to the next writes, each a status and headers; then writes are taken. A point is named by its
measurement, tags and time, so one that comes again replaces itself.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POINT = re.compile(r'((?:[^\s\\]|\\.)+) ((?:"(?:[^"\\]|\\.)*"|[^\s"])+) (\d+)')


class FakeInflux:
    """The server; `points` is what was written, by measurement, tags and time."""

    def __init__(self, port: int, *, answers: list[tuple[int, dict[str, str]]] | None = None) -> None:
        self.points: dict[tuple[str, str], str] = {}
        self.answers, self.buckets = deque(answers or ()), ["b", "b_hourly"]
        self.token = "t"
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.stranger():
                    return
                if self.path.startswith("/api/v2/orgs"):
                    self.answer(200, json.dumps({"orgs": [{"id": "0" * 16, "name": "o"}]}).encode())
                    return
                named = [name for name in fake.buckets if self.path.endswith(f"name={name}")]
                self.answer(200, json.dumps({"buckets": [_bucket(name) for name in named]}).encode())

            def do_PATCH(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(200, json.dumps(_bucket(self.path.rpartition("/")[2])).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.stranger():
                    return
                if self.path.startswith("/api/v2/buckets"):
                    self.answer(201, json.dumps(_bucket(json.loads(body)["name"])).encode())
                elif self.path.startswith("/api/v2/query"):
                    self.answer(200, b"\r\n")
                else:
                    self.answer(*fake.write(body.decode()))

            def stranger(self) -> bool:
                if self.headers["Authorization"] == f"Token {fake.token}":
                    return False
                self.answer(401, b'{"code":"unauthorized","message":"unauthorized access"}')
                return True

            def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def write(self, text: str) -> tuple[int, bytes, dict[str, str]]:
        if self.answers:
            status, headers = self.answers.popleft()
            if status != 422:
                return status, b'{"message":"not now"}', headers
        else:
            status, headers = 204, {}
        for line in text.split("\n"):
            point = POINT.fullmatch(line)
            assert point, line
            self.points[point[1], point[3]] = point[2]
        return status, b'{"message":"partial write: dropped=1"}' if status == 422 else b"", headers

    def of(self, measurement: str) -> list[str]:
        """The fields of a measurement's points."""
        return [fields for (head, _), fields in self.points.items() if re.split(r"[, ]", head)[0] == measurement]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _bucket(name: str) -> dict[str, object]:
    return {"id": name, "name": name, "retentionRules": []}
