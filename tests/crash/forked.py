"""One process that has imported everything, and a fork of it for each life: the loop that workers share."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def serve(run: Callable[[dict[str, Any]], None]) -> None:
    """Run each job that comes as a line, in a child; say ``killed``, ``survived`` or ``failed <code>``."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(json.loads(line))
            except BaseException as problem:
                sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        ended = "survived" if status == 0 else f"failed {os.waitstatus_to_exitcode(status)}"
        print("killed" if killed else ended, flush=True)
