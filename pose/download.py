"""One file over https: resumed where it was cut, checked before it stands under its name.

What has come so far lies beside the target as `<name>.part`. Only a file whose hash is known is
resumed, for nothing else tells whether the rest belongs to the beginning.
"""

import http.client
import logging
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

from tqdm import tqdm

from pose import __version__
from pose.files import sha256_of

logger = logging.getLogger(__name__)

OFFLINE = "POSE_OFFLINE"
LOOPBACK = ("127.0.0.1", "localhost")
TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20
MAX_BYTES = 10**10
"""More than any weights file has: a server that does not end is not listened to for ever."""
AGAIN = "run it again to go on"


def download(
    address: str, path: Path, sha256: str, *, title: str, remedy: str, loopback: bool = False
) -> None:
    """Brings the file at `address`, of which `sha256` are the first digits ('': unknown).

    The log says `title`, size and address before the first byte. `remedy` is what to do where
    POSE_OFFLINE is set. `loopback` also lets plain http to this machine through. ValueError for a
    refused address or a wrong hash, OSError for what went wrong on the way; one line each.
    """
    _check_address(address, loopback)
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise ValueError(f"{title}: not here, and {OFFLINE} forbids fetching it; {remedy}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        _fill(address, part, title, resume=bool(sha256), loopback=loopback)
    except urllib.error.HTTPError as error:
        raise OSError(f"{address}: the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise OSError(f"{address}: cannot be reached ({error.reason})") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise OSError(f"{address}: cut off ({error or type(error).__name__}); {AGAIN}") from None
    came = sha256_of(part)
    if not came.startswith(sha256.lower()):
        part.unlink()
        raise ValueError(f"{address}: expected a SHA-256 of {sha256}..., got {came}; not kept")
    os.replace(part, path)


def _fill(address: str, part: Path, title: str, *, resume: bool, loopback: bool) -> None:
    """Brings `part` to its full, announced length."""
    start = part.stat().st_size if resume and part.is_file() else 0
    with _open(address, start, loopback) as response:
        start, total = _extent(response, start, address)
        size = "of unknown size" if total is None else f"{total / 1e6:.1f} MB"
        logger.info("fetching %s, %s, from %s", title, size, address)
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, disable=None)
        with bar, part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            length = start + _copy(response, file, bar)
    if length > MAX_BYTES:
        part.unlink()
        raise OSError(f"{address}: more than {MAX_BYTES} bytes come; not kept")
    if total is not None and length != total:
        raise OSError(f"{address}: {length} of {total} bytes came; {AGAIN}")


def _open(address: str, start: int, loopback: bool) -> http.client.HTTPResponse:
    """The server's answer, from byte `start` on if it can; whole where it has no such byte."""
    opener = urllib.request.build_opener(_Redirects(loopback))
    headers = {"User-Agent": f"pose/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 (checked: https)
    try:
        return opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
    return _open(address, 0, loopback)


def _extent(response: http.client.HTTPResponse, start: int, address: str) -> tuple[int, int | None]:
    """Where the answer's bytes begin and where they end, None where the server does not say."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length and length.isdecimal() else None
    given = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", given)
    if not found or int(found[1]) != start or int(found[2]) + 1 != int(found[3]):
        raise OSError(f"{address}: asked for the bytes from {start} on, the server sends '{given}'")
    return start, int(found[3])


def _copy(response: http.client.HTTPResponse, file: IO[bytes], bar: tqdm) -> int:
    """The number of bytes that came."""
    length = 0
    while length <= MAX_BYTES and (chunk := response.read(CHUNK_BYTES)):
        file.write(chunk)
        length += len(chunk)
        bar.update(len(chunk))
    return length


def _check_address(address: str, loopback: bool) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if not (loopback and parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError(f"{address}: only https addresses are fetched")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows where the rule for addresses allows it."""

    def __init__(self, loopback: bool) -> None:
        self.loopback = loopback

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_address(urljoin(req.full_url, newurl), self.loopback)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
