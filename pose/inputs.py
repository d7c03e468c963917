"""The files that a run over many is given: listed, sorted, each once, and none of them opened."""

import glob
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pose.images import IMAGE_SUFFIXES
from pose.video import VIDEO_SUFFIXES

MANIFEST_SUFFIXES = (".txt", ".jsonl")
SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)


def list_inputs(sources: Sequence[str]) -> list[str]:
    """The files that `sources` name, as whole paths.

    A source is a file, a folder (the images and videos right in it), a pattern (of what it matches
    the images, videos and folders), or a manifest: .txt with a path a line, .jsonl with a text or
    an object with `path` a line; relative ones start at the manifest. What a manifest names need
    not be there. FileNotFoundError or ValueError of one line.
    """
    inputs = sorted({os.path.abspath(path) for source in sources for path in _named_by(source)})
    if not inputs:
        raise ValueError(f"{', '.join(sources)}: no image or video there")
    for path in inputs:
        if path.encode(errors="ignore").decode() != path:
            raise ValueError(f"{path!a}: the name is not UTF-8, as results are; rename the file")
    return inputs


def _named_by(source: str) -> Iterator[str]:
    if os.path.isdir(source):
        with os.scandir(source) as entries:
            found = (entry.path for entry in entries if not entry.name.startswith("."))
            yield from (path for path in found if path.lower().endswith(SUFFIXES))
    elif os.path.isfile(source):
        is_manifest = source.lower().endswith(MANIFEST_SUFFIXES)
        yield from _listed_in(Path(source)) if is_manifest else [source]
    elif glob.has_magic(source) and (matches := glob.glob(source, recursive=True)):
        for match in matches:
            if os.path.isdir(match) or match.lower().endswith(SUFFIXES):
                yield from _named_by(match)
    else:
        raise FileNotFoundError(
            f"{source}: no such file; expected images, videos, folders, patterns or manifests "
            f"({', '.join(MANIFEST_SUFFIXES)})"
        )


def _listed_in(manifest: Path) -> Iterator[str]:
    is_json = manifest.suffix.lower() == ".jsonl"
    # Names that are not UTF-8 are refused with those of folders.
    with manifest.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            path = _path_in(line, f"{manifest}: line {number}") if is_json else line.rstrip("\n")
            yield os.path.join(manifest.parent, path)


def _path_in(line: str, where: str) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error})") from None
    path = entry.get("path") if isinstance(entry, dict) else entry
    if not isinstance(path, str) or not path:
        raise ValueError(f"{where}: expected a text, or an object with 'path'; got {entry!r:.60}")
    return path
