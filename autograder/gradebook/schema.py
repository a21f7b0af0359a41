"""Opening nbgrader's database: tables made by its own models, and the version its migrations look for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from autograder.gradebook.errors import GradebookError
from autograder.gradebook.nbgrader_api import api, dbutil

# Another grader may be writing the same class; a transaction takes well under a second.
_LOCK_SECONDS = 30
_ADVISORY_LOCK = 0x6772616465  # "grade": any number does, as long as every grader takes the same


def open_engine(url: str) -> Engine:
    """An engine for SQLite or PostgreSQL, in which one grader at a time has a transaction.

    What is not there is inserted, and two graders that looked at the same moment would both insert it.
    """
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        return _sqlite_engine(url)
    if backend == "postgresql":
        return _postgresql_engine(url)
    raise GradebookError(f"A gradebook in {backend} is not supported. Use SQLite or PostgreSQL.")


def _postgresql_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"connect_timeout": _LOCK_SECONDS})

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")

    return engine


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _LOCK_SECONDS})

    # Python's sqlite3 begins a transaction at the first write only. Two graders could read the same state and
    # then fail each other, and a schema could be left half made. So it begins none, and SQLAlchemy does.
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def shown_url(url: str) -> str:
    """A URL for messages: the path of a SQLite file, and no password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return repr(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        return parsed.database
    return parsed.render_as_string(hide_password=True)


def prepare_schema(connection: Connection, where: str) -> None:
    """Make nbgrader's tables where there are none, and check that they are of this nbgrader's version.

    Raises
    ------
    GradebookError
        When the tables are an older nbgrader's, or somebody else's.
    """
    tables = set(inspect(connection).get_table_names())
    head = alembic_head()
    if not tables:
        api.Base.metadata.create_all(connection)
        _stamp(connection, head)
        return
    if not {"assignment", "submitted_assignment", "grade"} <= tables:
        raise GradebookError(f"{where} is a database of something else than nbgrader. Give another URL.")
    version = None
    if "alembic_version" in tables:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version == head:
        return
    if version is None and not _missing_columns(connection):
        # Made by nbgrader's models but not by its Gradebook: right, only not stamped.
        _stamp(connection, head, table="alembic_version" not in tables)
        return
    raise GradebookError(
        f"The gradebook {where} is of another version of nbgrader. Make a copy of it, then run "
        "`nbgrader db upgrade`."
    )


def alembic_head() -> str:
    """The newest version of nbgrader's schema, as `alembic heads` tells it.

    nbgrader runs the program `alembic` for that, which fails where a virtual environment is not on PATH.
    """
    from alembic.script import ScriptDirectory

    head = ScriptDirectory(dbutil.ALEMBIC_DIR).get_current_head()
    if head is None:
        raise GradebookError("This nbgrader says no version of its database. Install nbgrader 0.9 again.")
    return head


def _stamp(connection: Connection, version: str, *, table: bool = True) -> None:
    if table:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
    connection.execute(
        text("INSERT INTO alembic_version (version_num) VALUES (:version)"), {"version": version}
    )


def _missing_columns(connection: Connection) -> bool:
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for name, table in api.Base.metadata.tables.items():
        if name not in there:
            return True
        if not {column.name for column in table.columns} <= {
            column["name"] for column in inspector.get_columns(name)
        }:
            return True
    return False
