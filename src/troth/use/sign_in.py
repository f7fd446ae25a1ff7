"""Signing in: by a passkey, or by a password with a one-time code; and what belongs to one's own account.

Answers to a wrong name, password or code are the same and take the same time; each refusal is counted in the
ledger without a name. Clause ``protect.password``. Mechanism: ``operator.sign-in``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from troth.errors import Invalid, Unproven
from troth.store import links
from troth.store.ledger import EntryDraft
from troth.store.tables import operators, passkeys
from troth.store.transaction import DataTx, Lane, Write
from troth.use import sessions, totp
from troth.use.operators import INVITATION, PASSWORD, SIGN_IN, Operator, Operators, by_id, entry, shown
from troth.use.passkeys import NewPasskey, Passkeys, SecretBox, refused
from troth.use.passwords import Passwords
from troth.use.roles import may

MANAGE = "operators.manage"
BY_NAME = select(operators).where(
    operators.c.tenant == bindparam("of_tenant"),
    operators.c.name == bindparam("of_name"),
    operators.c.state == "active",
)
JOIN_BY_PASSWORD = (
    update(operators)
    .where(operators.c.id == bindparam("of_id"), operators.c.state == "invited")
    .values(state="active", password=bindparam("hashed"), totp=bindparam("sealed"), totp_step=bindparam("step"))
)
JOIN_BY_PASSKEY = (
    update(operators).where(operators.c.id == bindparam("of_id"), operators.c.state == "invited").values(state="active")
)
USE_STEP = (
    update(operators)
    .where(
        operators.c.id == bindparam("of_id"),
        operators.c.state == "active",
        (operators.c.totp_step.is_(None)) | (operators.c.totp_step < bindparam("step")),
    )
    .values(totp_step=bindparam("step"))
)
SET_PASSWORD = update(operators).where(operators.c.id == bindparam("of_id")).values(password=bindparam("hashed"))
ADD_PASSKEY = insert(passkeys)
PASSKEY = (
    select(passkeys)
    .join(operators, operators.c.id == passkeys.c.operator)
    .where(passkeys.c.credential == bindparam("of_credential"), operators.c.tenant == bindparam("of_tenant"))
)
COUNTED = update(passkeys).where(passkeys.c.credential == bindparam("of_credential")).values(sign_count=bindparam("n"))
HOW_MANY_PASSKEYS = select(func.count()).select_from(passkeys).where(passkeys.c.operator == bindparam("of_operator"))


class SignIn:
    """Joining, coming in and going out, and one's own means of doing so. Methods block: call them from a thread."""

    def __init__(self, staff: Operators, box: SecretBox, keys: Passkeys, passwords: Passwords | None = None) -> None:
        self.staff = staff
        self.store = staff.store
        self.box = box
        self.passkeys = keys
        self.passwords = passwords or Passwords()

    def new_secret(self, operator: Operator) -> tuple[bytes, str]:
        """A secret for codes: as it is shown, and as it travels in this operator's form."""
        return totp.new_secret(self.box, self.store.randomness, b"totp" + operator.id)

    def secret_of(self, operator: Operator, sealed: str) -> bytes:
        """The secret that travelled in the form; ``Invalid`` where it is not what we sent."""
        return totp.secret_of(self.box, sealed, b"totp" + operator.id)

    def join_by_password(self, token: str, password: str, sealed: str, code: str, cookie: str) -> Operator:
        """Accept an invitation with a password and an authenticator app; signs in. ``Invalid`` names the field."""
        operator = self.staff.invited(token)
        secret = self.secret_of(operator, sealed)
        hashed = self.passwords.hash(password, operator.name)
        step = totp.matching_step(secret, code, self.store.clock.now(), None)
        if step is None:
            raise Invalid("the code does not fit the secret", clause=PASSWORD, gaps=("code: code",))
        kept = self.box.seal(secret, b"totp" + operator.id)

        def body(tx: DataTx) -> None:
            self._take(tx, token)
            values = {"of_id": operator.id, "hashed": hashed, "sealed": kept, "step": step}
            if not tx.execute(JOIN_BY_PASSWORD, values).rowcount:
                raise Unproven("this invitation was used before", clause=PASSWORD)
            entry(tx, "operator.joined", operator, {"method": "password+totp"}, PASSWORD)
            self._let_in(tx, operator, cookie, "password+totp")

        self.store.write(Write(body, lane=Lane.RIGHTS))
        return operator

    def join_by_passkey(self, token: str, sealed: str, answer: str, cookie: str) -> Operator:
        """Accept an invitation with a passkey; signs in."""
        operator = self.staff.invited(token)
        ceremony, made = self.passkeys.registered(sealed, answer, operator.id)

        def body(tx: DataTx) -> None:
            self._take(tx, token)
            self.passkeys.use_up(tx, ceremony, self.staff.tenant)
            if not tx.execute(JOIN_BY_PASSKEY, {"of_id": operator.id}).rowcount:
                raise Unproven("this invitation was used before", clause=PASSWORD)
            self._add(tx, operator.id, made)
            entry(tx, "operator.joined", operator, {"method": "passkey"}, PASSWORD)
            self._let_in(tx, operator, cookie, "passkey")

        self._once(body)
        return operator

    # --- signing in and out ---

    def sign_in_by_password(self, name: str, password: str, code: str, cookie: str) -> Operator:
        """Sign in; ``Unproven`` in the same words and time for a wrong name, password or code. A code works once."""
        of = {"of_tenant": self.staff.tenant, "of_name": name}
        row = self.store.read(lambda connection: connection.execute(BY_NAME, of).one_or_none())
        fits = self.passwords.fits(row.password if row is not None else None, password)
        secret = bytes(totp.SECRET_BYTES)
        last: int | None = None
        if row is not None and row.totp is not None:
            secret, last = self.box.open(row.totp, b"totp" + row.id), row.totp_step
        step = totp.matching_step(secret, code, self.store.clock.now(), last)
        if row is None or row.totp is None or not fits or step is None:
            self._refuse("password+totp")
        operator = shown(row)

        def body(tx: DataTx) -> None:
            if not tx.execute(USE_STEP, {"of_id": operator.id, "step": step}).rowcount:
                raise wrong()
            self._let_in(tx, operator, cookie, "password+totp")

        self.store.write(Write(body, lane=Lane.RIGHTS))
        return operator

    def sign_in_by_passkey(self, sealed: str, answer: str, cookie: str) -> Operator:
        """Sign in with a passkey; ``Unproven`` where anything does not fit."""
        credential = self.passkeys.credential_of(answer)

        def find(connection: Connection) -> tuple[Row[Any], Operator] | None:
            of = {"of_credential": credential, "of_tenant": self.staff.tenant}
            stored = connection.execute(PASSKEY, of).one_or_none()
            if stored is None:
                return None
            return stored, shown(by_id(connection, stored.operator, self.staff.tenant))

        found = self.store.read(find)
        if found is None or found[1].state != "active":
            self._refuse("passkey")
        stored, operator = found
        try:
            ceremony, count = self.passkeys.signed_in(sealed, answer, stored)
        except Unproven:
            self._refuse("passkey")

        def body(tx: DataTx) -> None:
            self.passkeys.use_up(tx, ceremony, self.staff.tenant)
            tx.execute(COUNTED, {"of_credential": credential, "n": count})
            self._let_in(tx, operator, cookie, "passkey")

        self._once(body)
        return operator

    def session(self, cookie: str) -> sessions.Session | None:
        """The session behind a cookie, or None; notes once a minute that it is in use."""
        now = self.store.clock.now()
        found = self.store.read(lambda connection: sessions.find(connection, cookie, now, self.staff.tenant))
        if found is not None and now - found.seen_ms >= sessions.SEEN_EVERY_MS:
            digest = found.hash
            self.store.write(Write(lambda tx: sessions.seen(tx, digest)))
        return found

    def sign_out(self, operator: Operator, digest: bytes) -> None:
        """End this session."""

        def body(tx: DataTx) -> None:
            sessions.end(tx, digest)
            entry(tx, "operator.signed-out", operator)

        self.store.write(Write(body))

    # --- one's own account ---

    def passkey_count(self, operator: bytes) -> int:
        """How many passkeys an operator has."""
        return self.store.read(lambda c: int(c.execute(HOW_MANY_PASSKEYS, {"of_operator": operator}).scalar_one()))

    def has_password(self, operator: bytes) -> bool:
        """True where an operator signs in by password as well."""
        return self.store.read(lambda connection: by_id(connection, operator, self.staff.tenant).password is not None)

    def session_count(self, operator: bytes) -> int:
        """How many sessions an operator has open."""
        return sum(each.operator == operator for each in self._open())

    def change_password(self, operator: Operator, old: str, new: str, digest: bytes) -> None:
        """Change one's own password, knowing the old one; every other session of theirs ends."""
        row = self.store.read(lambda connection: by_id(connection, operator.id, self.staff.tenant))
        if not self.passwords.fits(row.password, old):
            raise Invalid("the password is not right", clause=PASSWORD, gaps=("old: wrong-password",))
        hashed = self.passwords.hash(new, operator.name)

        def body(tx: DataTx) -> None:
            tx.execute(SET_PASSWORD, {"of_id": operator.id, "hashed": hashed})
            ended = sessions.end_all(tx, operator.id, but=digest)
            entry(tx, "operator.password-changed", operator, {"sessions_ended": ended}, PASSWORD)

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def add_passkey(self, operator: Operator, sealed: str, answer: str) -> None:
        """Add a passkey to one's own account."""
        ceremony, made = self.passkeys.registered(sealed, answer, operator.id)

        def body(tx: DataTx) -> None:
            self.passkeys.use_up(tx, ceremony, self.staff.tenant)
            self._add(tx, operator.id, made)
            entry(tx, "operator.passkey-added", operator, None, PASSWORD)

        self._once(body)

    def end_other_sessions(self, operator: Operator, digest: bytes) -> int:
        """Sign out everywhere else; how many sessions ended."""

        def body(tx: DataTx) -> int:
            ended = sessions.end_all(tx, operator.id, but=digest)
            entry(tx, "operator.signed-out", operator, {"sessions_ended": ended})
            return ended

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def open_sessions(self, operator: Operator) -> list[sessions.OpenSession]:
        """Where staff are signed in: one's own sessions, and everybody's for whoever manages staff."""
        return [each for each in self._open() if may(operator.role, MANAGE) or each.operator == operator.id]

    def _open(self) -> list[sessions.OpenSession]:
        now = self.store.clock.now()
        return self.store.read(lambda connection: sessions.open_ones(connection, self.staff.tenant, now))

    def end_session(self, operator: Operator, place: str) -> bytes | None:
        """End one of the sessions that this operator sees: its hash, None where there is none of this name."""

        def body(tx: DataTx) -> bytes | None:
            for each in sessions.open_ones(tx.connection, self.staff.tenant, tx.now):
                if each.place == place and (each.operator == operator.id or may(operator.role, MANAGE)):
                    sessions.end(tx, each.hash)
                    facts = {"operator": each.operator.hex(), "sessions_ended": 1}
                    entry(tx, "operator.signed-out", operator, facts)
                    return each.hash
            return None

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    # --- steps that several acts share ---

    def _take(self, tx: DataTx, token: str) -> None:
        link = links.find(tx.connection, token, INVITATION, tx.now, self.staff.tenant)
        if not links.use(tx, link):
            raise Unproven("this invitation was used before: an administrator can send another", clause=PASSWORD)

    def _let_in(self, tx: DataTx, operator: Operator, cookie: str, method: str) -> None:
        sessions.start(tx, cookie, operator.id, self.staff.tenant, self.store.randomness)
        entry(tx, "operator.signed-in", operator, {"method": method}, PASSWORD)

    def _add(self, tx: DataTx, operator: bytes, made: NewPasskey) -> None:
        row = {"credential": made.credential, "operator": operator, "public_key": made.public_key}
        tx.execute(ADD_PASSKEY, {**row, "sign_count": made.sign_count, "created_ms": tx.now})

    def _once(self, body: Callable[[DataTx], None]) -> None:
        """Write; a credential that is there already means that this answer was used before."""
        try:
            self.store.write(Write(body, lane=Lane.RIGHTS))
        except IntegrityError as fault:
            raise refused() from fault

    def _refuse(self, method: str) -> NoReturn:
        """Note a refused sign-in, without any name, and refuse it."""

        def body(tx: DataTx) -> None:
            tx.append(EntryDraft("operator.refused", PASSWORD, SIGN_IN, "visitor", facts={"method": method}))

        self.store.write(Write(body))
        raise wrong() if method != "passkey" else refused()


def wrong() -> Unproven:
    """The one answer to a wrong name, a wrong password and a wrong code."""
    return Unproven("the name, the password or the code is not right", clause=PASSWORD)
