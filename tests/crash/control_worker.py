"""A process that lets a person change what is theirs, and kills itself on the way.

It reads jobs as lines of JSON and forks a child for each: ``{folder, do, at, told}``. The child sends itself SIGKILL at
the ``at``-th event (see ``vault_worker.Death``); what was acknowledged stands in the file ``acknowledged``. The parent
answers with the child's end: ``killed`` or ``survived``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.clauses.vendor import BEGIN, TENANT
from tests.crash.forked import serve
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


if __name__ == "__main__":
    serve(run)
