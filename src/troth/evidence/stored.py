"""Opening both databases of an installation for reading alone, also beside a running server.

A verifier must not change what it looks at: SQLite files are opened read-only (such a connection never
checkpoints), PostgreSQL transactions are declared read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url

from troth.config import Config
from troth.evidence.compare import Databases, Read

T = TypeVar("T")


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        file = quote(str(parsed.database))
        return create_engine(f"sqlite:///file:{file}?mode=ro&uri=true", poolclass=NullPool, hide_parameters=True)
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        hide_parameters=True,
        execution_options={"postgresql_readonly": True},
    )


def _reader(engine: Engine) -> Read:
    def read(fn: Callable[[Connection], T]) -> T:
        with engine.connect() as connection:
            return fn(connection)

    return read


@contextmanager
def stored(config: Config) -> Iterator[Databases]:
    """D and K of this configuration, to be compared with what is published.

    Nothing is opened before the first read; a database that is not there is a finding of the comparison.
    """
    engines = [_engine(url) for url in (config.data_database, config.keys_database)]
    try:
        yield Databases(*map(_reader, engines))
    finally:
        for engine in engines:
            engine.dispose()
