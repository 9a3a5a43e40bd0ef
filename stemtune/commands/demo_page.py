"""The page of `stemtune demo` as a web application that only this machine can use."""

import base64
import hashlib
from pathlib import Path
from typing import cast

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from stemtune.commands.side_by_side import Seen, SideBySide
from stemtune.core import content_policy
from stemtune.media.sampling import DecodeError
from stemtune.media.sandbox import BusyError
from stemtune.report import templates

TEMPLATE = Path(__file__).with_name("demo.html.j2")
# What a form adds to the clip that it sends, bytes.
FORM = 4096
# Without it the page has a button.
SCRIPT = Markup(
    "const form = document.forms[0];"
    "form.clip.onchange = () => { form.className = 'busy'; form.submit(); };"
)
HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
# The browser loads nothing from anywhere, and sends nothing elsewhere.
HEADERS = {
    "Content-Security-Policy": f"{content_policy.SHARED}; script-src 'sha256-{HASH}'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def application(models: SideBySide, most: int) -> Starlette:
    """Returns the page.

    Args:
        models: Which see the clips that are sent.
        most: Size of a clip, MiB.
    """
    template = templates.load(TEMPLATE)

    def page(
        status: int = 200, clip: str = "", seen: Seen | None = None, problem: str = ""
    ) -> HTMLResponse:
        html = template.render(script=SCRIPT, most=most, clip=clip, seen=seen, problem=problem)
        return HTMLResponse(html, status, HEADERS)

    async def show(request: Request) -> HTMLResponse:
        return page()

    async def classify(request: Request) -> HTMLResponse:
        _require_own_page(request)
        await _require_small(request, most)
        async with request.form(max_files=1, max_fields=0) as form:
            clip = form.get("clip")
            if not isinstance(clip, UploadFile) or not clip.filename:
                return page(400, problem="No clip was sent: drop one, or choose one.")
            try:
                seen = await run_in_threadpool(models.see, clip.file)
            except DecodeError as error:
                return page(400, clip.filename, problem=f"This clip {error}.")
            except BusyError as error:
                return page(503, clip.filename, problem=f"{error}.".capitalize())
        return page(200, clip.filename, seen)

    async def refuse(request: Request, error: Exception) -> HTMLResponse:
        refusal = cast(HTTPException, error)
        return page(refusal.status_code, problem=refusal.detail)

    return Starlette(
        routes=[Route("/", show), Route("/", classify, methods=["POST"])],
        exception_handlers={HTTPException: refuse},
        # Another name that leads here is a page elsewhere that wants to look in.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


def _require_own_page(request: Request) -> None:
    """Raises HTTPException if a page of another address sent the form."""
    if request.headers.get("origin") not in (None, f"http://{request.headers['host']}"):
        raise HTTPException(403, "Only this page may send clips.")


async def _require_small(request: Request, most: int) -> None:
    """Raises HTTPException if more than a clip of `most` MiB is sent, or one does not say."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(411, "A clip has to be sent with its length.")
    if int(length) > most * 2**20 + FORM:
        # A browser reads no answer before all is sent.
        async for _ in request.stream():
            pass
        raise HTTPException(
            413,
            f"This clip has {int(length) / 2**20:.0f} MiB; STEMTUNE_CLIP_MIB allows {most} MiB.",
        )
