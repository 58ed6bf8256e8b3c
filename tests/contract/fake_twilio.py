"""A local server that answers as Twilio does: it keeps messages, signs its callbacks, and fails on request.

What it is asked and what it answers are both checked against Twilio's own API description, where that is at hand; each
violation is kept in `violations`, which tests expect to be empty.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator
from twilio.request_validator import RequestValidator

ACCOUNT, TOKEN, SERVICE = "AC" + "a" * 32, "secret-of-the-tests", "MG" + "b" * 32
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
TEMPLATE = "/2010-04-01/Accounts/{AccountSid}/Messages.json"

# Error messages as Twilio words them, by code: (HTTP status, message).
ERRORS = {
    20003: (401, "Authenticate"),
    20429: (429, "Too Many Requests"),
    20500: (500, "Internal Server Error"),
    21211: (400, "Invalid 'To' Phone Number"),
    21408: (400, "Permission to send an SMS has not been enabled for the region"),
    21606: (400, "The 'From' phone number provided is not a valid message-capable Twilio phone number"),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (429, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "Message cannot be sent with the current combination of 'To' and 'From' parameters"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21703: (400, "The Messaging Service does not have a phone number available to send a message"),
}


@dataclass
class FakeTwilio:
    """Start with `with`; `fail` says what the next requests meet: an error code, `hang` or `drop`."""

    spec: Path | None = None
    fail: int | str | None = None
    messages: list[dict[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> FakeTwilio:
        self._check = _Description(self.spec) if self.spec else None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def create(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """What Twilio answers to a create; a message that is taken is kept."""
        if self._check:
            self.violations += self._check.request(form)
        code = self.fail
        if isinstance(code, int):
            status, text = ERRORS[code]
            return status, {"code": code, "message": text, "status": status, "more_info": "https://www.twilio.com/docs"}
        if len(form.get("Body", "")) > 1600:
            return self._refused(21617)
        if not re.fullmatch(r"\+[1-9]\d{6,14}", form.get("To", "")):
            return self._refused(21211)
        sid = f"SM{len(self.messages) + 1:032x}"
        self.messages.append(form | {"Sid": sid})
        answer = _message(sid, form)
        if self._check:
            self.violations += self._check.answer(answer)
        return 201, answer

    def _refused(self, code: int) -> tuple[int, dict[str, object]]:
        status, text = ERRORS[code]
        return status, {"code": code, "message": text, "status": status}

    def callback(self, message: dict[str, str], status: str, code: str = "") -> tuple[str, dict[str, str], str]:
        """(url, form, signature) of the status callback that Twilio would make."""
        form = {
            "MessageSid": message["Sid"], "SmsSid": message["Sid"], "MessageStatus": status, "To": message["To"],
            "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01",
        }  # fmt: skip
        return self._signed(message["StatusCallback"], form | ({"ErrorCode": code} if code else {}))

    def inbound(self, url: str, sender: str, body: str, sid: str) -> tuple[str, dict[str, str], str]:
        """(url, form, signature) of an SMS that came in."""
        form = {"MessageSid": sid, "From": sender, "To": "+14155550123", "Body": body, "AccountSid": ACCOUNT}
        return self._signed(url, form)

    def _signed(self, url: str, form: dict[str, str]) -> tuple[str, dict[str, str], str]:
        return url, form, RequestValidator(TOKEN).compute_signature(url, form)


def _message(sid: str, form: dict[str, str]) -> dict[str, object]:
    return {
        "sid": sid, "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": form.get("Body"), "to": form["To"],
        "from": form.get("From"), "messaging_service_sid": form.get("MessagingServiceSid"), "status": "accepted",
        "direction": "outbound-api", "num_segments": "0", "num_media": "0", "price": None, "price_unit": None,
        "error_code": None, "error_message": None, "date_created": "Tue, 10 Mar 2026 11:00:00 +0000",
        "date_updated": "Tue, 10 Mar 2026 11:00:00 +0000", "date_sent": None, "uri": f"{PATH[:-5]}/{sid}.json",
        "subresource_uris": {"media": f"{PATH[:-5]}/{sid}/Media.json"},
    }  # fmt: skip


def _handler(fake: FakeTwilio) -> type[BaseHTTPRequestHandler]:
    wanted = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
            form = {key: values[0] for key, values in parse_qs(body, keep_blank_values=True).items()}
            if self.path != PATH:
                self._answer(404, {"code": 20404, "message": "Not found", "status": 404})
            elif self.headers.get("Authorization") != wanted:
                self._answer(401, {"code": 20003, "message": "Authenticate", "status": 401})
            elif fake.fail == "drop":  # it was taken, and the line went dead before the answer
                fake.create(form)
                self.close_connection = True
            elif fake.fail == "hang":
                fake.create(form)
                fake.released.wait(10)
                self.close_connection = True
            else:
                self._answer(*fake.create(form))

        def _answer(self, status: int, document: dict[str, object]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Description:
    """Twilio's OpenAPI description of creating a message."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text())
        operation = document["paths"][TEMPLATE]["post"]
        self._root = _plain({"components": document["components"]})
        self._form = _plain(operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"])
        self._answer = _plain(operation["responses"]["201"]["content"]["application/json"]["schema"])

    def request(self, form: dict[str, str]) -> list[str]:
        known = self._form["properties"]
        typed = {key: _typed(value, known.get(key, {}).get("type")) for key, value in form.items()}
        return _errors({**self._form, **self._root, "additionalProperties": False}, typed)

    def answer(self, document: dict[str, object]) -> list[str]:
        return _errors({**self._answer, **self._root}, document)


def _errors(schema: dict[str, object], document: object) -> list[str]:
    return [f"{list(e.path)}: {e.message}" for e in Draft202012Validator(schema).iter_errors(document)]


def _typed(value: str, kind: str | None) -> object:
    return int(value) if kind == "integer" and value.lstrip("-").isdigit() else value


def _plain(schema: object) -> object:
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    match schema:
        case dict():
            plain = {key: _plain(value) for key, value in schema.items() if key != "nullable"}
            if schema.get("nullable") and isinstance(plain.get("type"), str):
                plain["type"] = [plain["type"], "null"]
            return plain
        case list():
            return [_plain(item) for item in schema]
        case _:
            return schema
