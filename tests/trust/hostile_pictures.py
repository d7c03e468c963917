"""Names that lead out of their folder, zips that do, pictures and videos that are none."""

import json
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from pose.images import MAX_BYTES
from tests.trust.hostile import Case, Place
from tests.trust.hostile_texts import coco


def names(place: Place) -> dict[str, str]:
    """File names of an annotation that lead elsewhere, on one system or another."""
    out = place.outside
    up = os.path.relpath(out, place.root / "names" / "x" / "images").replace(os.sep, "/")
    return {
        "absolute": str(out / "secret.jpg"),
        "up": f"{up}/secret.jpg",
        "up from below": f"a/../{up}/secret.jpg",
        "up in the middle": "a/b/../../c.jpg",
        "up of Windows": up.replace("/", "\\") + "\\secret.jpg",
        "drive": "C:\\Windows\\win.ini",
        "drive without a root": "C:win.jpg",
        "root of Windows": "\\Windows\\a.jpg",
        "share": "\\\\127.0.0.1\\share\\a.jpg",
        "share with slashes": "//127.0.0.1/share/a.jpg",
        "device of Windows": "\\\\.\\PhysicalDrive0",
        "long path of Windows": "\\\\?\\C:\\a.jpg",
        "endless device": "/dev/zero",
        "terminal": "/dev/stdin",
        "process": "/proc/self/environ",
        "console": "CON",
        "printer": "LPT1.jpg",
        "stream of a file": "a.jpg:secret",
        "nul": "a.jpg\0.png",
        "empty": "",
        "itself": ".",
        "address": f"http://127.0.0.1:{place.port}/a.jpg",
        "file address": f"file://{out}/secret.jpg",
        "protocol": f"concat:{out}/secret.jpg|{out}/secret.jpg",
        "home": "~/a.jpg",
        "variable": "$HOME/a.jpg",
        "encoded": "%2e%2e/%2e%2e/secret.jpg",
        "pattern": "*.jpg",
        "long": "a" * 5000 + ".jpg",
        "half a character": "\udcff.jpg",
        "escapes": "\x1b]0;owned\x07\x1b[2Ja.jpg",
        "lines": "a.jpg\npose: error: all is well",
        "pipe": "| touch canary |.jpg",
        "list": "a.jpg,b.jpg;c.jpg",
    }


def links(place: Place, images: Path) -> dict[str, str]:
    """Things in the folder itself that lead out of it or never end; name of each -> file name."""
    if sys.platform == "win32":
        return {}
    (images / "link.jpg").symlink_to(place.outside / "secret.jpg")
    (images / "folder").symlink_to(place.outside)
    (images / "loop.jpg").symlink_to("loop.jpg")
    (images / "zero.jpg").symlink_to("/dev/zero")
    (images / "again").symlink_to(images)
    os.mkfifo(images / "pipe.jpg")
    return {
        "link to a file": "link.jpg",
        "link to a folder": "folder/secret.jpg",
        "link to itself": "loop.jpg",
        "link to a device": "zero.jpg",
        "link to the folder": "again/again/folder/secret.jpg",
        "pipe without end": "pipe.jpg",
    }


def named_images(place: Place) -> Iterator[Case]:
    folder = place.folder("names/x")
    images = folder / "images"
    images.mkdir()
    (images / "a").mkdir()
    evil = {**names(place), **links(place, images)}
    for number, (name, text) in enumerate(evil.items()):
        path = folder / f"{number}.json"
        if number % 3 or not text:
            path.write_text(json.dumps(coco(text)), encoding="utf-8")
            yield Case(f"name: {name}", "pictures of coco", str(path))
        else:
            entry = {"image": text, "center": [9.0, 9.0], "scale": 1.0}
            path.write_text(json.dumps([entry]), encoding="utf-8")
            yield Case(f"name: {name}", "pictures of mpii", str(path))


def zips(place: Place) -> Iterator[Case]:
    folder = place.folder("zips")
    up = os.path.relpath(place.outside, folder).replace(os.sep, "/")
    members = {
        "up": f"{up}/secret.jpg",
        "absolute": str(place.outside / "secret.jpg"),
        "Windows": "..\\..\\secret.jpg",
        "drive": "C:\\a.jpg",
        "nul": "a\0b.jpg",
        "lines": "a\nb.jpg",
    }
    for name, member in members.items():
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, b"\xff\xd8\xff")
        yield Case(f"zip: {name}", "zip", str(path))
    link = zipfile.ZipInfo("link.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(folder / "link.zip", "w") as archive:
        archive.writestr(link, str(place.outside / "secret.jpg"))
    yield Case("zip: link", "zip", str(folder / "link.zip"))
    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(64)) + zeros.flush()
    sizes = {"bomb": 64 << 20, "bomb that lies": 100, "bomb of gigabytes": MAX_BYTES + 1}
    for name, size in sizes.items():
        path = folder / f"{name}.zip".replace(" ", "-")
        path.write_bytes(_zip_of(b"a.jpg", data, size))
        yield Case(f"zip: {name}", "zip", str(path))


def _zip_of(name: bytes, data: bytes, size: int) -> bytes:
    """A zip of one deflated member whose header states `size` bytes."""
    both = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(data), size, len(name), 0)
    entry = b"PK\x03\x04" + both + name + data
    listing = b"PK\x01\x02" + struct.pack("<H", 20) + both + bytes(10) + bytes(4) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(listing), len(entry), 0)
    return entry + listing + end


def photos(place: Place) -> Iterator[Case]:
    """Files that are called pictures and would have a reader fetch or run something."""
    folder, out = place.folder("photos"), place.outside
    address = f"http://127.0.0.1:{place.port}"
    texts = {
        "mvg.jpg": f"push graphic-context\nfill 'url({address}/a.jpg\"|touch \"{place.canary})'",
        "svg.png": f'<svg xmlns:x="http://www.w3.org/1999/xlink"><image x:href="{out}/secret.jpg"/>'
        f'<image x:href="{address}/a"/></svg>',
        "entity.png": f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file://{out}/'
        'secret.txt">]><svg>&a;</svg>',
        "eps.png": f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({place.canary}) (w) file\n",
        "list.jpg": f"#EXTM3U\n#EXTINF:1,\n{out}/secret.mp4\n",
        "page.jpg": f"<!doctype html><img src={address}/a.jpg>",
        "xpm.bmp": f"/* XPM */ static char *a[] = {{system('touch {place.canary}')}};",
        "script.tiff": f"#!/bin/sh\ntouch {place.canary}\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield Case(f"photo: {name}", "photo", str(folder / name))
    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    (folder / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + bytes(100))
    yield Case("photo: huge.png", "photo", str(folder / "huge.png"))
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe.jpg")
        yield Case("photo: pipe", "photo", str(folder / "pipe.jpg"))
        yield Case("photo: device", "photo", "/dev/zero")


def videos(place: Place) -> Iterator[Case]:
    """Playlists, lists of pieces and other files that have FFmpeg open further ones."""
    folder, out, port = place.folder("videos"), place.outside, place.port
    address, clip = f"http://127.0.0.1:{port}", out / "secret.mp4"
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n"
    texts = {
        "file.m3u8": f"{playlist}{clip}\n#EXT-X-ENDLIST\n",
        "file.mp4": f"{playlist}{clip}\n#EXT-X-ENDLIST\n",
        "address.m3u8": f"{playlist}{address}/a.ts\n#EXT-X-ENDLIST\n",
        "address.mkv": f"{playlist}{address}/a.ts\n#EXT-X-ENDLIST\n",
        "joined.ts": f"{playlist}concat:{address}/a?|subfile,,start,0,end,9,,:{clip}\n",
        "key.m3u8": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{address}/k"\n#EXTINF:9,\n{clip}\n',
        "map.m3u8": f'#EXTM3U\n#EXT-X-MAP:URI="{clip}"\n#EXTINF:9,\n{clip}\n',
        "variants.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{address}/b.m3u8\n",
        "pieces.ffconcat": f"ffconcat version 1.0\nfile '{clip}'\n",
        "pieces.mov": f"ffconcat version 1.0\nfile '{clip}'\n",
        "pieces.txt.avi": f"file '{clip}'\nfile '{address}/a.mp4'\n",
        "session.sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "session.mp4": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>'
        f"{address}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "entity.mpd": f'<?xml version="1.0"?><!DOCTYPE MPD [<!ENTITY a SYSTEM "file://{clip}">]>'
        "<MPD><Period><BaseURL>&a;</BaseURL></Period></MPD>",
        "asx.wmv": f'<ASX version="3.0"><Entry><Ref href="{address}/a.wmv"/></Entry></ASX>',
        "pls.mkv": f"[playlist]\nFile1={address}/a.mp4\nNumberOfEntries=1\n",
        "reference.mov": f"[Reference]\nRef1={address}/a.mp4\n",
        "filter.mp4": f"movie={clip}[out0];amovie={clip}[out1]",
        "pattern.mkv": f"{out}/%03d.jpg\n",
        "metadata.mp4": f";FFMETADATA1\ntitle=`touch {place.canary}`\n",
        "subtitles.mkv": f"[Script Info]\nPlayResX: 1\n[Fonts]\nfontname: {out}/secret.bin\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield Case(f"video: {name}", "video", str(folder / name))
    linked = _movie_elsewhere(clip)
    (folder / "elsewhere.mov").write_bytes(linked)
    yield Case("video: data in another file", "video", str(folder / "elsewhere.mov"))


def _movie_elsewhere(clip: Path) -> bytes:
    """A QuickTime movie whose one track has its data in another file (`dref` of kind `alis`)."""

    def atom(kind: bytes, *parts: bytes) -> bytes:
        data = b"".join(parts)
        return struct.pack(">I", 8 + len(data)) + kind + data

    def full(kind: bytes, *parts: bytes) -> bytes:
        return atom(kind, bytes(4), *parts)

    def number(*values: int) -> bytes:
        return struct.pack(f">{len(values)}I", *values)

    name = str(clip).encode()
    volume, short = b"\x04disk".ljust(28, b"\0"), bytes([len(clip.name)]) + clip.name.encode()
    alias = (
        bytes(6) + b"\0\x02\0\0" + volume + bytes(12) + short.ljust(64, b"\0") + bytes(16)
        + b"\0\x05\0\x05" + bytes(16) + struct.pack(">HH", 18, len(name)) + name
        + (b"\0" if len(name) % 2 else b"") + b"\xff\xff\0\0"
    )  # fmt: skip
    picture = atom(
        b"mp4v", bytes(6), b"\0\x01", bytes(16), struct.pack(">HH", 64, 48),
        number(72 << 16, 72 << 16, 0), b"\0\x01", bytes(32), b"\0\x18\xff\xff",
    )  # fmt: skip
    table = atom(
        b"stbl",
        full(b"stsd", number(1), picture),
        full(b"stts", number(1, 1, 100)),
        full(b"stsc", number(1, 1, 1, 1)),
        full(b"stsz", number(100, 1)),
        full(b"stco", number(1, 0)),
    )
    references = full(b"dref", number(1), atom(b"alis", bytes(4), alias))
    media = atom(
        b"mdia",
        full(b"mdhd", number(0, 0, 100, 100, 0)),
        full(b"hdlr", b"mhlrvide", bytes(13)),
        atom(b"minf", full(b"vmhd", bytes(8)), atom(b"dinf", references), table),
    )
    track = atom(b"trak", full(b"tkhd", number(0, 0, 1, 0, 100), bytes(60)), media)
    movie = atom(b"moov", full(b"mvhd", number(0, 0, 100, 100), bytes(80)), track)
    return atom(b"ftyp", b"qt  ", bytes(4), b"qt  ") + movie


def addresses(place: Place) -> Iterator[Case]:
    """What somebody may have a program called with: names that FFmpeg takes for more than files."""
    folder, clip = place.folder("addresses"), place.outside / "secret.mp4"
    here = f"127.0.0.1:{place.port}"
    texts = [
        f"concat:{clip}|{clip}",
        f"subfile,,start,0,end,0,,:{clip}",
        f"file:{clip}",
        f"file://{clip}",
        f"crypto:{clip}",
        f"cache:http://{here}/a.mp4",
        f"async:{clip}",
        f"tee:{clip}",
        f"data:video/mp4;base64,{here}",
        f"ftp://{here}/a.mp4",
        f"gopher://{here}/a",
        f"hls+http://{here}/a.m3u8",
        f"unix://{clip}",
        f"lavfi:movie={clip}",
        "pipe:0",
        "-",
    ]
    for number, text in enumerate(texts):
        path = folder / f"{number}.txt"
        path.write_text(text, encoding="utf-8")
        yield Case(f"address {number}: {text.partition(':')[0]}", "name", str(path))


def manifests(place: Place) -> Iterator[Case]:
    folder = place.folder("manifests")
    texts = {
        "nul.txt": "a\0b.jpg\n",
        "number.jsonl": "5\n",
        "objects.jsonl": '{"__instance_type__": ["os", "system"], "attributes": {}}\n',
        "deep.jsonl": "[" * 100_000,
        "huge.jsonl": "9" * 5000,
        "half.jsonl": '{"path": "\\udcff.jpg"}\n',
        "pickle.txt": "\x80\x02cposix\nsystem\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield Case(f"manifest: {name}", "manifest", str(folder / name), harmless=True)
