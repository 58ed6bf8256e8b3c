"""What Twilio calls: incoming SMS and delivery status. Signatures are checked over the public address.

Open pages hear of both, so that who reads a ticket sees the answer to it.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from gateway.web.deps import Deps, WebDeps

router = APIRouter(prefix="/webhooks/twilio", tags=["webhooks"])


@router.post("/inbound", summary="An SMS came in")
async def inbound(request: Request, deps: Deps) -> Response:
    """Thread it to its ticket; answers with TwiML. Refused with `bad_signature` unless Twilio signed it."""
    url, params, signature = await _signed(request, deps)
    twiml = await run_in_threadpool(deps.replies.twilio_inbound, url, params, signature)
    deps.hub.publish("message")
    return Response(twiml, media_type="application/xml")


@router.post("/status", summary="A message changed its state", status_code=204)
async def status(request: Request, deps: Deps) -> Response:
    """Settle the message. Refused with `bad_signature` unless Twilio signed it."""
    url, params, signature = await _signed(request, deps)
    await run_in_threadpool(deps.replies.twilio_status, url, params, signature)
    deps.hub.publish("message")
    return Response(status_code=204)


async def _signed(request: Request, deps: WebDeps) -> tuple[str, dict[str, str], str]:
    base = deps.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    query = f"?{request.url.query}" if request.url.query else ""
    form = await request.form()
    params = {key: value for key, value in form.items() if isinstance(value, str)}
    return base + request.url.path + query, params, request.headers.get("x-twilio-signature", "")
