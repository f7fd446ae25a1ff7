"""Setting up a data folder: the policy, the configuration, the root key; and the demonstration's own set-up."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from troth.cli.postbox import Postbox
from troth.config import Config, Mail, Party, Tenant
from troth.vault.provider import FileProvider
from troth.web.running import Running, start
from troth.world import SystemRandomness

TENANTS: Mapping[str, Tenant] = {
    "harbour": Tenant(
        hosts=("harbour.managed.localhost",),
        controller=Party(
            "Harbour Dental Practice", "privacy@harbour.example.org", "IE", "3 Quay Street, Galway, Ireland"
        ),
    ),
    "mill": Tenant(
        hosts=("mill.managed.localhost",),
        controller=Party("Mill Lane School", "office@mill.example.org", "IE", "1 Mill Lane, Cork"),
    ),
}
"""Two businesses that use the example vendor's managed service: each answers for its own people's data."""

SITES = Path(__file__).resolve().parents[3] / "examples" / "vendor"  # not part of an installed package


@contextlib.contextmanager
def postbox(box: Postbox | None = None) -> Iterator[Postbox]:
    """An SMTP server on loopback (this one, where one is given), in a thread of its own."""
    box = box or Postbox()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(box.start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(box.stop())
        loop.close()

    thread = threading.Thread(target=run, name="postbox", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def demonstration_config(
    folder: Path,
    port: int,
    mail_port: int,
    data_url: str = "",
    keys_url: str = "",
    tenants: Mapping[str, Tenant] | None = None,
) -> Config:
    """The configuration of a demonstration in ``folder``: loopback only, mail to ``mail_port`` only."""
    return Config(
        data_folder=str(folder),
        data_url=data_url,
        keys_url=keys_url,
        bindings="bindings.yaml" if (folder / "bindings.yaml").exists() else "",
        port=port,
        base_url="" if port else "http://127.0.0.1",
        demonstration=True,
        sites={f"{name}.localhost": str(SITES / name) for name in ("www", "central") if (SITES / name).is_dir()},
        mail=Mail(port=mail_port, sender="privacy@example.com"),
        tenants=dict(tenants or {}),
    )


@contextlib.contextmanager
def demonstration(
    folder: Path,
    port: int,
    policy: Path,
    bindings: Path | None,
    urls: tuple[str, str] = ("", ""),
    tenants: Mapping[str, Tenant] | None = None,
) -> Iterator[tuple[Running, Postbox]]:
    """A running system that can send mail to its own postbox only, and says on every page what it is."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(policy, folder / "policy.md")
    if bindings:
        shutil.copyfile(bindings, folder / "bindings.yaml")
    root = folder / "keys" / "root.key"
    if not root.exists():
        FileProvider.create(root, SystemRandomness())
    with postbox() as box:
        system = start(demonstration_config(folder, port, box.port, *urls, tenants=tenants))
        try:
            yield system, box
        finally:
            system.close()
