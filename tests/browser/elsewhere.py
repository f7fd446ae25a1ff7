"""A real site of somebody else's, which writes down what is asked of it; and a page that asks it for everything.

``KINDS`` are all the ways in which a page can load from elsewhere, in its markup and by its scripts. The page marks
none of them for anybody: what a browser does with them is the header's affair alone.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MARKUP = {
    "script": '<script src="{at}/script.js"></script>',
    "image": '<img src="{at}/image.png" alt="">',
    "iframe": '<iframe src="{at}/iframe.html" title="x"></iframe>',
    "stylesheet": '<link rel="stylesheet" href="{at}/stylesheet.css">',
    "preload": '<link rel="preload" as="image" href="{at}/preload.png">',
    "prefetch": '<link rel="prefetch" href="{at}/prefetch.html">',
    "modulepreload": '<link rel="modulepreload" href="{at}/modulepreload.mjs">',
    "background": '<div style="width:9px;height:9px;background:url({at}/background.png)"></div>',
    "video": '<video src="{at}/video.webm" preload="auto" muted></video>',
    "object": '<object data="{at}/object.html" type="text/html"></object>',
    "embed": '<embed src="{at}/embed.html" type="text/html">',
    "font": '<style>@font-face{{font-family:x;src:url({at}/font.woff2)}}</style><p style="font-family:x">text</p>',
    "icon": '<link rel="icon" href="{at}/icon.png">',
    "manifest": '<link rel="manifest" href="{at}/manifest.json">',
    "track": '<video preload="auto" muted><track default src="{at}/track.vtt"></video>',
    "svg-image": '<svg width="9" height="9"><image href="{at}/svg-image.png" width="9" height="9"/></svg>',
}
#: ``icon`` and ``manifest`` are not fetched by a browser without a window; they stand in the page all the same.
UNFETCHED = {"icon", "manifest", "track"}

SCRIPTED = {
    "by-script": "add('script', {src: at + '/by-script.js'})",
    "by-image": "new Image().src = at + '/by-image.png'",
    "by-fetch": "fetch(at + '/by-fetch').catch(() => 0)",
    "by-beacon": "navigator.sendBeacon(at + '/by-beacon', 'x')",
    "by-xhr": "const x = new XMLHttpRequest(); x.open('GET', at + '/by-xhr'); x.send()",
    "by-iframe": "add('iframe', {src: at + '/by-iframe.html'})",
    "by-eventsource": "new EventSource(at + '/by-eventsource')",
    "by-websocket": "new WebSocket(at.replace('http', 'ws') + '/by-websocket')",
    "by-import": "import(at + '/by-import.mjs').catch(() => 0)",
    "by-worker": "new Worker('/worker.js?' + encodeURIComponent(at))",
    "by-blob-worker": ("new Worker(URL.createObjectURL(new Blob([`importScripts('${at}/by-blob-worker.js')`])))"),
    "by-prefetch": "add('link', {rel: 'prefetch', href: at + '/by-prefetch.html'})",
    "by-form": (
        "add('iframe', {name: 'hole'});"
        "const f = add('form', {action: at + '/by-form', method: 'post', target: 'hole'}); f.submit()"
    ),
    "by-srcdoc": "add('iframe', {srcdoc: `<img src='${at}/by-srcdoc.png'>`})",
}
KINDS = frozenset(MARKUP) - UNFETCHED | frozenset(SCRIPTED) | {"worker-fetch"}
WORKER = "const at = decodeURIComponent(location.search.slice(1));\n" + (
    "fetch(at + '/worker-fetch').catch(() => 0);\ntry { importScripts(at + '/by-worker.js'); } catch (e) {}\n"
)


def everything(at: str) -> str:
    """A page that loads everything there is from ``at``; done when ``window.done`` is true."""
    markup = "\n".join(each.format(at=at) for each in MARKUP.values())
    scripted = "\n".join(f"try {{ {each} }} catch (e) {{}}" for each in SCRIPTED.values())
    return (
        "<!doctype html><html lang='en'><head><title>Everything</title></head><body><h1>Everything</h1>"
        f"{markup}<script>const at = '{at}';"
        "const add = (tag, more) => document.body.appendChild(Object.assign(document.createElement(tag), more));\n"
        f"window.addEventListener('load', () => {{ {scripted}\n window.done = true; }});</script></body></html>"
    )


def picture() -> bytes:
    """The smallest PNG."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


class Elsewhere:
    """The other site. ``asked`` are the kinds that were loaded from it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._asked: list[str] = []
        self._changed = threading.Condition()

    def note(self, path: str) -> None:
        """Somebody asked for this path."""
        kind = path.split("?")[0].lstrip("/").rsplit(".", 1)[0]
        with self._changed:
            self._asked.append(kind)
            self._changed.notify_all()

    @property
    def asked(self) -> frozenset[str]:
        """What was asked for so far."""
        with self._changed:
            return frozenset(self._asked) - UNFETCHED - {"favicon"}

    def forget(self) -> None:
        """Begin anew."""
        with self._changed:
            self._asked.clear()

    def wait(self, kinds: frozenset[str], seconds: float = 20) -> frozenset[str]:
        """Wait until all of these were asked for; what was."""
        with self._changed:
            self._changed.wait_for(lambda: kinds <= set(self._asked), seconds)
        return self.asked


TYPES = {"js": "text/javascript", "mjs": "text/javascript", "css": "text/css", "html": "text/html", "png": "image/png"}


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """The other site, on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.note(self.path)
            suffix = self.path.split("?")[0].rpartition(".")[2]
            kind = TYPES.get(suffix, "text/event-stream" if "eventsource" in self.path else "text/plain")
            body = picture() if suffix == "png" else b""
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            for name, value in (
                ("content-type", kind),
                ("content-length", str(len(body))),
                ("access-control-allow-origin", "*"),
                ("set-cookie", "third=1; SameSite=None; Secure"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Elsewhere(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join(10)
