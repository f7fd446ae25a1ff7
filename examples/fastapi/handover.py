"""A FastAPI route that opens Troth's privacy centre for whoever is signed in here: no mail, one button there."""

import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse

from troth.client import handover_token

URL = os.environ["TROTH_URL"]  # exactly as people reach Troth
PRODUCT = os.environ["TROTH_PRODUCT"]  # the id that `troth handover` told
KEY = Path(os.environ["TROTH_HANDOVER_KEY"]).read_text()  # a file that only this process reads
router = APIRouter()


def signed_in(request: Request) -> str:
    """Your own sign-in goes here; this one uses Starlette's ``SessionMiddleware``."""
    if "account" not in request.session:
        raise HTTPException(401)
    return str(request.session["account"])


@router.get("/my-privacy")
def my_privacy(account: Annotated[str, Depends(signed_in)]) -> RedirectResponse:
    """Under the reference that the account was registered with (``Troth.register``)."""
    token = handover_token(URL, KEY, PRODUCT, account)
    return RedirectResponse(f"{URL}/privacy/handover/{token}", 303, {"Cache-Control": "no-store"})
