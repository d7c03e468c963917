"""A web server on the loopback address whose answers a test decides."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves `files` by path. What it was asked for stands in `ranges`, one entry a request.

    cut: bytes after which each answer breaks off; resumes: whether it knows the Range header;
    moved: path -> the address it redirects to; shift: a lie about where a range begins; sized:
    whether it announces the length.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.cut: int | None = None
        self.resumes = True
        self.moved: dict[str, str] = {}
        self.shift = 0
        self.sized = True

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.lstrip("/")
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if path in self.moved:
            request.send_response(302)
            request.send_header("Location", self.moved[path])
            request.end_headers()
            return
        if path not in self.files:
            request.send_error(404)
            return
        content = self.files[path]
        start = int(asked[len("bytes=") : -1]) if asked and self.resumes else 0
        if start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            begin, end = start + self.shift, len(content) - 1
            request.send_header("Content-Range", f"bytes {begin}-{end}/{len(content)}")
        if self.sized:
            request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:][: self.cut])


@contextmanager
def serving() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, format: str, *args) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
