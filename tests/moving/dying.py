"""A process that moves out or in and ends itself on the way: ``python -m tests.moving.dying out|in FROM TO AT``.

AT counts moments: before and after each COMMIT of either store, and before each file of an export is made. Who comes
to the end says how many there were.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from tests.clauses.vendor import BEGIN
from tests.moving.house import bring, export
from troth.cli.setting import demonstration_config
from troth.store.moving.folder import Outgoing
from troth.vault.moving import arriving
from troth.web.running import start
from troth.world import SetClock


class Moments:
    """Counts down to the last one."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(way: str, source: Path, to: Path, at: int) -> None:
    """Die at the given moment; end as usual if there are fewer."""
    moment = Moments(at)
    commit: Any = DefaultDialect.do_commit
    write: Any = Outgoing.write

    def do_commit(dialect: DefaultDialect, connection: Any) -> None:
        moment()
        commit(dialect, connection)
        moment()

    def do_write(out: Outgoing, *about: Any, **more: Any) -> Any:
        moment()
        return write(out, *about, **more)

    arriving.CHUNK, arriving.COMMIT = 4, 8  # several transactions in a small table
    if way == "in":
        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]  # the moments are counted here
        bring(source, demonstration_config(to, 0, 9))
        print(at - moment.left)
        return
    system = start(demonstration_config(source, 0, 9), clock=SetClock(BEGIN))
    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]  # as above
    Outgoing.write = do_write  # type: ignore[method-assign, assignment]  # as above
    export(system, to)
    DefaultDialect.do_commit = commit  # type: ignore[method-assign]  # as it was
    print(at - moment.left)
    system.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
