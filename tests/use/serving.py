"""A real server in a process of its own, for tests of the client: ``python -m tests.use.serving FOLDER``.

It serves the example policy on a free port, and prints its address and a product's key as one line of JSON.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

from troth.config import Config
from troth.vault.provider import FileProvider
from troth.web.running import start
from troth.web.serve import server
from troth.world import SystemRandomness

POLICY = Path(__file__).parents[2] / "policies" / "example" / "policy.md"


def main(folder: Path) -> None:
    """Set up in ``folder``, tell, serve."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(POLICY, folder / "policy.md")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = Config(data_folder=str(folder), port=port)
    FileProvider.create(config.path(config.root_key), SystemRandomness())
    system = start(config)
    _, key = system.products.create("main", "a product of the tests")
    print(json.dumps({"url": config.url, "key": key}), flush=True)
    try:
        server(system.app, config).run()
    finally:
        system.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
