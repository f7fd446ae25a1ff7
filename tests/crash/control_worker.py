"""A process that lets a person change what is theirs, and kills itself on the way.

It reads jobs as lines of JSON and forks a child for each: ``{folder, do, at, told}``. The child sends itself SIGKILL at
the ``at``-th event (see ``vault_worker.Death``); what was acknowledged stands in the file ``acknowledged``. The parent
answers with the child's end: ``killed`` or ``survived``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.clauses.vendor import BEGIN, TENANT
from tests.crash.vault_worker import Acknowledged, Death
from troth.cli.setting import demonstration_config
from troth.web.running import start
from troth.world import SetClock

NOWHERE = 9  # the port of a mail server that is not there


def run(job: dict[str, Any]) -> None:
    """One child: never returns to the loop."""
    folder = Path(job["folder"])
    death, told = Death(job["at"]), job["told"]
    system = start(demonstration_config(folder, 0, NOWHERE), clock=SetClock(BEGIN))
    system.store.publisher.publish()
    death.watch()
    death.armed = True
    if job["do"] == "prove":
        system.addresses.prove(told["token"])
    elif job["do"] == "ask":
        system.addresses.ask(TENANT, bytes.fromhex(told["sid"]), told["new"])
    else:
        system.rectification.correct(TENANT, bytes.fromhex(told["sid"]), "registration", {"phone": told["phone"]})
    Acknowledged(folder).say("done")
    death.armed = False
    system.close()


def main() -> None:
    """Serve jobs until the input ends."""
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
        print("killed" if killed else "survived" if status == 0 else "failed", flush=True)


if __name__ == "__main__":
    main()
