"""One side behind HTTP, in a process of its own: ``python -m bench.served SIDE FOLDER [URL [KEYS_URL]]``.

The same server settings as Troth's own (``troth.web.serve``) and the barest ASGI application on every side, so that
what is compared is the reading. Prints its port as one line when it is ready.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.sides import PERSONS, SIDES, Side
from troth.config import Config
from troth.web.serve import listen, server

Message = dict[str, Any]


def application(side: Side) -> Callable[..., Awaitable[None]]:
    """``GET /<number>`` answers with that person's fields."""

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = await side.aread(int(scope["path"][1:]) % PERSONS)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def main(name: str, folder: Path, *urls: str) -> None:
    """Fill, listen, tell the port, serve until told to stop."""
    side = SIDES[name](folder, *urls)
    config = Config(data_folder=str(folder), port=0)
    listening = server(application(side), config)
    socket = listen(config)
    socket.listen()
    print(socket.getsockname()[1], flush=True)
    try:
        listening.run(sockets=[socket])
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    finally:
        side.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
