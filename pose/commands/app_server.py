"""Serves a page of gradio on the loopback address, to this machine and to nobody else."""

import logging
import os
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.interrupts import interrupt_flag
from pose.telemetry import forbid_telemetry

if TYPE_CHECKING:
    import gradio

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
PORT = 7860
GRACE_SECONDS = 2
"""How long open requests may go on once the program is told to end."""

POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
"""The browser loads nothing from elsewhere, whatever gradio's scripts ask for."""

STORED_POLICY = "default-src 'none'; sandbox"
"""For uploads and what becomes of them: parts of the page, no pages of their own."""

CLOSED = re.compile(
    r"/((proxy|file)=/*https?:|(process_recording|component_server|custom_component|monitoring"
    r"|profiling|run-history|dev)\b|vibe-)",
    re.IGNORECASE,
)
"""Paths of gradio's that this page has no use for: by them it fetches something from another
machine, gives an upload to other programs, or tells of itself."""
STORED = re.compile(r"/(file[=/]|stream/)")
"""Paths of files that came or were made here."""

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def keep_private(folder: Path) -> None:
    """gradio's settings, which it reads from the environment; before it is imported.

    No statistics, no question for a newer version, uploads in `folder`.
    """
    forbid_telemetry()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


def listen(port: int | None) -> socket.socket:
    """A socket on the loopback address: at `port`, else at PORT or any other that is free.

    ValueError of one line where `port` cannot be had.
    """
    for number in (PORT, 0) if port is None else (port,):
        try:
            return socket.create_server((HOST, number))
        except (OSError, OverflowError) as error:
            taken = getattr(error, "strerror", None) or str(error)
    raise ValueError(
        f"--port {port}: cannot be listened on ({taken}); leave it out or name another"
    )


def application(page: "gradio.Blocks", css: str, max_bytes: int) -> Asgi:
    """The page as an application that any server of this kind can run."""
    import gradio as gr
    from fastapi import FastAPI

    theme = gr.themes.Default(
        primary_hue="blue",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(block_info_text_color="*neutral_600")
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        app_kwargs={"openapi_url": None},
        show_error=False,
        max_file_size=max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=css,
    )
    # Without this mark gradio takes any file of this machine that a request names for an upload.
    page.has_launched = True
    return guarded(app)


def guarded(app: Asgi) -> Asgi:
    """`app`, for requests of this page that are meant for this machine.

    Others are refused: a site elsewhere could have a browser here send a form, or give its own name
    this machine's address (DNS rebinding). Every answer carries POLICY; files that came from
    somebody are for saving, or for showing as a part of the page, and never taken for a page.
    """
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.responses import PlainTextResponse

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await app(scope, receive, send)
        if CLOSED.search(scope.get("path", "")) or not from_here(Headers(scope=scope)):
            refusal = PlainTextResponse("only for pages of this machine", status_code=403)
            return await refusal(scope, receive, send)

        is_stored = STORED.search(scope.get("path", "")) is not None

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = STORED_POLICY if is_stored else POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
                if is_stored:
                    _, semicolon, name = headers.get("content-disposition", "").partition(";")
                    headers["Content-Disposition"] = f"attachment{semicolon}{name}"
            await send(message)

        return await app(scope, receive, send_with_policy)

    return answer


def from_here(headers: Any) -> bool:
    """Whether a request names this machine, and comes from no page or one of the same address."""
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in NAMES and host not in NAMES:
        return False
    origin = headers.get("origin")
    return origin is None or origin == f"http://{host}"


@contextmanager
def serving(app: Asgi, listening: socket.socket) -> Iterator[threading.Thread]:
    """Meanwhile a thread answers; it ends with the block, or earlier where it cannot begin."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        # The streams that open pages listen to are cut, each of which uvicorn calls an error.
        log = logging.getLogger("uvicorn.error")
        log.setLevel(logging.CRITICAL)
        server.should_exit = True
        thread.join()
        log.setLevel(logging.WARNING)


def wait(thread: threading.Thread) -> None:
    """Until Ctrl-C or SIGTERM, or until the thread ends by itself."""
    with interrupt_flag() as asked:
        while thread.is_alive() and not asked.wait(0.2):
            pass
