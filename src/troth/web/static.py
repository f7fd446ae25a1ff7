"""Our own style, scripts and marks, read once and served under names that hold their hash (so: cached for ever)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import NotFound
from troth.web.routes import Route
from troth.web.system import System

FOLDER = Path(__file__).parent / "static"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file."""

    content: bytes
    media: str
    address: str


class Static:
    """The files of a folder, in memory: a few tens of kilobytes."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.assets: dict[str, Asset] = {}
        self.hashed: dict[str, Asset] = {}
        for file in sorted(folder.iterdir()):
            if file.suffix not in KINDS:
                continue
            content = file.read_bytes()
            name = f"{file.stem}.{hashlib.sha256(content).hexdigest()[:12]}{file.suffix}"
            self.assets[file.name] = self.hashed[name] = Asset(content, KINDS[file.suffix], f"/static/{name}")

    def address(self, name: str) -> str:
        """Where ``name`` is served; KeyError for a file that is not there (a template's mistake)."""
        return self.assets[name].address

    def inline(self, name: str) -> Markup:
        """The text of ``name`` for a page that must stand alone (a copy to keep); ours, and free of markup."""
        words = self.assets[name].content.decode()
        if "<" in words:
            raise ValueError(f"{name} holds markup and cannot stand inside a page")
        return Markup(words)  # noqa: S704  # our own file, checked above

    async def serve(self, request: Request, system: System) -> Response:
        """The file, if the hash in its name is the one we have."""
        asset = self.hashed.get(request.path_params["name"])
        if asset is None:
            raise NotFound("there is no such file")
        return Response(asset.content, 200, {"cache-control": FOREVER}, asset.media)

    async def icon(self, request: Request, system: System) -> Response:
        """The mark, for browsers that ask without being told where it is."""
        asset = self.assets["mark.svg"]
        return Response(asset.content, 200, {"cache-control": "public, max-age=86400"}, asset.media)

    def routes(self) -> list[Route[System]]:
        """One route for all files, and the mark."""
        return [
            Route("GET", "/static/{name}", self.serve, "scope.readable", kind="file"),
            Route("GET", "/favicon.ico", self.icon, "scope.readable", kind="file"),
        ]
