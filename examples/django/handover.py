"""A Django view that opens Troth's privacy centre for whoever is signed in here: no mail, one button there."""

import os
from pathlib import Path

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseRedirect
from django.views.decorators.cache import never_cache

from troth.client import handover_token

URL = os.environ["TROTH_URL"]  # exactly as people reach Troth
PRODUCT = os.environ["TROTH_PRODUCT"]  # the id that `troth handover` told
KEY = Path(os.environ["TROTH_HANDOVER_KEY"]).read_text()  # a file that only this process reads


@never_cache
@login_required
def my_privacy(request: HttpRequest) -> HttpResponseRedirect:
    """``path("my-privacy", my_privacy)``; the account was registered under the same reference (``views.py``)."""
    token = handover_token(URL, KEY, PRODUCT, str(request.user.pk))
    return HttpResponseRedirect(f"{URL}/privacy/handover/{token}")
