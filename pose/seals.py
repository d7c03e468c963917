"""The SHA-256 that a file carries of itself, so that file and hash cannot part.

Readers pass over it: a zip archive, which a torch file is, has it as its comment; a .safetensors
file has it in its metadata, taken over the file with zeros in its place. Either stands there in two
parts, a name and the digits, so that no single flipped bit makes a sealed file look unsealed.
"""

import hashlib
import io
import re
from pathlib import Path

DIGITS = 64
COMMENT = re.compile(rb"sha256:[0-9a-f]{64}")
COMMENT_BYTES = len(b"sha256:") + DIGITS
END_BYTES = 22
"""Of the record that ends a zip archive without a comment; its last two are the comment's length,
its first four `END`."""
END = b"PK\x05\x06"

KEY = "pose_sha256"
BLANK = f"{KEY}:{'0' * DIGITS}"
"""What stands in the metadata under KEY before the digits are known."""
METADATA = re.compile(rf'"{KEY}": "{KEY}:([0-9a-f]{{{DIGITS}}})"'.encode())
MARK = f'"{KEY}'.encode()
MAX_HEADER_BYTES = 100_000_000
"""Of a .safetensors file, by its format."""


def seal_zip(content: io.BytesIO) -> None:
    """Gives a zip archive without a comment the SHA-256 of all that comes before the comment."""
    content.seek(-2, io.SEEK_END)
    content.write(COMMENT_BYTES.to_bytes(2, "little"))
    digits = hashlib.sha256(content.getbuffer()).hexdigest()
    content.write(f"sha256:{digits}".encode())


def check_zip(path: Path) -> bool:
    """Whether a zip archive is sealed; ValueError where it was, or any of it is not what it was."""
    with path.open("rb") as file:
        length = file.seek(0, io.SEEK_END)
        file.seek(max(length - COMMENT_BYTES, 0))
        comment = file.read()
        if not COMMENT.fullmatch(comment):
            if comment[-END_BYTES:].startswith(END) and comment.endswith(b"\0\0"):
                return False
            raise ValueError(f"{path}: damaged: cut off, or its end is not what was written")
        file.seek(0)
        digest, left = hashlib.sha256(), length - COMMENT_BYTES
        while left and (chunk := file.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    _compare(path, comment.removeprefix(b"sha256:"), digest.hexdigest())
    return True


def sealed_safetensors(content: bytes) -> bytes:
    """A .safetensors file whose metadata hold BLANK under KEY, with the digits in its place."""
    found = METADATA.search(content, 8, _header_end(content))
    assert found, "the metadata hold no place for the hash"
    digits = hashlib.sha256(content).hexdigest().encode()
    return content[: found.start(1)] + digits + content[found.end(1) :]


def check_safetensors(path: Path) -> bool:
    """Whether a .safetensors file is sealed; ValueError as of `check_zip`."""
    with path.open("rb") as file:
        size = min(int.from_bytes(file.read(8), "little"), MAX_HEADER_BYTES)
        header = file.read(size)
        found = METADATA.search(header)
        if not found:
            if MARK in header:
                raise ValueError(f"{path}: damaged: its hash is not what was written")
            return False
        digest = hashlib.sha256(size.to_bytes(8, "little"))
        digest.update(header[: found.start(1)] + b"0" * DIGITS + header[found.end(1) :])
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    _compare(path, found[1], digest.hexdigest())
    return True


def _header_end(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def _compare(path: Path, carried: bytes, computed: str) -> None:
    if carried.decode() != computed:
        raise ValueError(f"{path}: damaged: it does not fit the SHA-256 that it carries")
