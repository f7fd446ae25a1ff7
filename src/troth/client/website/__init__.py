"""What stands in front of a vendor's website: the header, the cookie filter and the question, as middleware.

    from troth.client.website import ASGI   # Starlette, FastAPI, Django
    app = ASGI(app, "site.json")

    from troth.client.website import WSGI   # Django, Flask
    application = WSGI(application, "site.json")

``site.json`` is written by ``troth render POLICY --site site.json`` and read again when it changes. No server of
Troth's need be at hand. Where the file cannot be read, pages are served and nothing of others is loaded.
"""

from __future__ import annotations

from troth.client.website.asgi import ASGI
from troth.client.website.front import Front
from troth.client.website.wsgi import WSGI

__all__ = ["ASGI", "WSGI", "Front"]
