"""Reading what a request carries, strictly: JSON into a Struct or against a declared schema, and plain forms.

Every fault is an ``Invalid`` whose gaps are ``pointer: message``; no message repeats a value. Forms come as
``application/x-www-form-urlencoded``; ``multipart/form-data`` is read too, without files, because mail providers send
one-click unsubscriptions so (RFC 8058 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from troth.collect.json_once import READ_ONCE
from troth.errors import Invalid, Unsupported
from troth.web.routes import Schema

T = TypeVar("T")
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MOST_FIELDS = 200


class Form(dict[str, list[str]]):
    """A submitted form: every name with its values in order."""

    def one(self, name: str) -> str:
        """The only value of ``name``, stripped, or "" where it was not sent; ``Invalid`` where it came twice."""
        values = self.get(name, [])
        if len(values) > 1:
            raise Invalid("a field came more than once", gaps=(f"/{name}: was sent more than once",))
        return values[0].strip() if values else ""

    def ticked(self, name: str) -> bool:
        """True where a checkbox was sent."""
        return bool(self.get(name))

    def single(self) -> dict[str, str]:
        """All fields as name -> value, for schemas that know single values; ``Invalid`` for a repeated one."""
        return {name: self.one(name) for name in self}


def media_type(request: Request) -> str:
    """The body's media type, lower-case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_form(request: Request) -> Form:
    """The submitted form; ``Unsupported`` for another kind of body, ``Invalid`` for what is not UTF-8."""
    known = request.scope.setdefault("state", {}).get("form")
    if isinstance(known, Form):
        return known
    if media_type(request) == MULTIPART:
        form = await read_multipart(request)
    else:
        form = read_pairs(await request.body(), media_type(request))
    request.scope["state"]["form"] = form
    return form


async def read_multipart(request: Request) -> Form:
    """The fields of a multipart form; files and malformed parts are ``Invalid``."""
    from starlette.exceptions import HTTPException
    from starlette.formparsers import MultiPartException

    form = Form()
    try:
        async with request.form(max_files=0, max_fields=MOST_FIELDS) as parts:
            for name, value in parts.multi_items():
                if not isinstance(value, str):
                    raise Invalid("files are not taken here", gaps=("/: holds a file",))
                add(form, name, value)
    except (MultiPartException, HTTPException, UnicodeDecodeError):
        raise Invalid("the form cannot be read", gaps=("/: is not a valid multipart form",)) from None
    return form


def read_pairs(body: bytes, kind: str) -> Form:
    """The fields of a URL-encoded form."""
    if body and kind != FORM:
        raise Unsupported(f"send the form as {FORM}")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MOST_FIELDS
        )
    except UnicodeDecodeError:
        raise Invalid("the form is not valid UTF-8", gaps=("/: is not valid UTF-8",)) from None
    except ValueError:
        raise Invalid("the form has too many fields", gaps=("/: has too many fields",)) from None
    form = Form()
    for name, value in pairs:
        add(form, name, value)
    return form


def add(form: Form, name: str, value: str) -> None:
    """Add one field."""
    if "\0" in name or "\0" in value:
        raise Invalid("the form holds a null character", gaps=("/: holds a null character",))
    form.setdefault(name, []).append(value)


async def read_raw_json(request: Request) -> Any:
    """The JSON body as plain values; ``Unsupported`` for another kind of body, ``Invalid`` where it does not parse."""
    if media_type(request) != JSON:
        raise Unsupported(f"send the body as {JSON}")
    body = await request.body()
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("the body is not valid JSON", gaps=("/: is not valid JSON",)) from None
    check_once(body)
    return value


async def read_json(request: Request, shape: type[T]) -> T:
    """The JSON body as a Struct; ``Invalid`` names the first place that does not fit (msgspec stops there)."""
    if media_type(request) != JSON:
        raise Unsupported(f"send the body as {JSON}")
    body = await request.body()
    try:
        value = msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as fault:
        message, _, place = str(fault).partition(" - at `")
        pointer = place.rstrip("`").replace("$", "").replace(".", "/").replace("[", "/").replace("]", "") or "/"
        raise Invalid("the body does not have the declared shape", gaps=(f"{pointer}: {message}",)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("the body is not valid JSON", gaps=("/: is not valid JSON",)) from None
    check_once(body)
    return value


def check_once(body: bytes) -> None:
    """``Invalid`` where an object has a member twice: readers differ on which of them counts (RFC 8259, 4)."""
    try:
        READ_ONCE.decode(body.decode())
    except ValueError:  # a repeated member; or a number of thousands of digits
        raise Invalid("a member came more than once", gaps=("/: holds a member more than once",)) from None
    except RecursionError:
        raise Invalid("the body is not valid JSON", gaps=("/: is nested too deeply",)) from None


async def read_declared(request: Request, schema: Schema) -> dict[str, Any]:
    """The JSON body checked against a schema that the policy declares; ``Invalid`` lists *all* faults at once."""
    value = await read_raw_json(request)
    faults = faults_of(value, schema)
    if faults:
        raise Invalid("the body does not have the declared shape", gaps=faults)
    if not isinstance(value, dict):
        raise Invalid("the body does not have the declared shape", gaps=("/: must be an object",))
    return value


def faults_of(value: object, schema: Schema) -> tuple[str, ...]:
    """Every place where ``value`` does not fit ``schema``, as ``pointer: keyword``; values are never repeated."""
    import jsonschema_rs  # 20 ms, and only where a declared schema is in play

    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    found = []
    for fault in validator.iter_errors(value):
        at = [str(part) for part in fault.instance_path]
        about = fault.kind.as_dict()
        if fault.kind.name == "required":
            at.append(str(about["property"]))
        if fault.kind.name == "additionalProperties":
            found += [f"/{'/'.join([*at, name[:64]])}: undeclared" for name in about["unexpected"][:20]]
        else:
            found.append(f"/{'/'.join(at)}: {fault.kind.name}")
    return tuple(sorted(set(found)))


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` (Structs, dicts, lists, scalars) as a JSON answer."""
    return Response(msgspec.json.encode(value), status, dict(headers) if headers else None, JSON)
