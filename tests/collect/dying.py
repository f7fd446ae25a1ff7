"""A process that brings a file in and ends itself on the way: ``python -m tests.collect.dying FOLDER FILE AT``.

AT counts the moments before and after each COMMIT of either store, once the file is being brought in.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from tests.clauses.moving import SOURCE
from tests.clauses.vendor import BEGIN, TENANT
from troth.cli.setting import demonstration_config
from troth.collect.importing.carrying import scan
from troth.collect.importing.runs import Order
from troth.web.running import start
from troth.world import SetClock

CHUNK = 60  # rows a write: several of them in a small file
ORDER = Order(TENANT, "people", "newsletter", source=SOURCE)


def main(folder: Path, file: Path, at: int) -> None:
    """Die at the given moment; end as usual if there are fewer."""
    system = start(demonstration_config(folder, 0, 9), clock=SetClock(BEGIN))
    left = at
    commit: Any = DefaultDialect.do_commit

    def moment() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def do_commit(dialect: DefaultDialect, connection: Any) -> None:
        moment()
        commit(dialect, connection)
        moment()

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]  # the moments are counted here
    system.importing.bring(ORDER, scan(file), chunk=CHUNK)
    DefaultDialect.do_commit = commit  # type: ignore[method-assign]  # as it was
    system.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
