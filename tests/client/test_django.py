"""A stock Django site with its admin, put behind the front: observed, declared, enforced; no page broken."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.policies import FRONT, compiled
from troth.policy.site import site_of, to_json

#: All that is configured, on both sides.
POLICY = """
Needed are a session and a token against forged forms, for 14 days, and your answer, for 6 months.

```yaml clause
id: cookies.table
permits:
  cookie:
    sessionid: {purpose: account, essential: true, lasts: 14 days, value: {random: {at_least: 128 bits}}}
    csrftoken: {purpose: security, essential: true, lasts: 14 days, value: {random: {at_least: 128 bits}}}
    troth_choice: {purpose: choices, essential: true, lasts: 6 months, value: {flag: consents}}
```

It has one host.

```yaml clause
id: scope.services
define:
  surfaces:
    site:www: {hosts: [www.example.com], mode: MODE}
```
"""

SITE = """
import sys, django, httpx
from django.conf import settings
from django.urls import path
settings.configure(
    DEBUG=False, SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, STATIC_URL="/static/",
    INSTALLED_APPS=["django.contrib." + a for a in
                    ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware", "django.middleware.gzip.GZipMiddleware"],
    MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
        "context_processors": ["django.template.context_processors.request",
                               "django.contrib.auth.context_processors.auth",
                               "django.contrib.messages.context_processors.messages"]}}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1] + "/db.sqlite3"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from troth.client.website import WSGI
urlpatterns = [path("admin/", admin.site.urls)]
call_command("migrate", verbosity=0)
User.objects.filter(username="ada").exists() or User.objects.create_superuser("ada", password="three herons")
application = WSGI(get_wsgi_application(), sys.argv[1] + "/site.json")
client = httpx.Client(transport=httpx.WSGITransport(application), base_url="http://www.example.com",
                      follow_redirects=True, headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin"})
page = client.get("/admin/login/?next=/admin/")
print("LOGIN", page.status_code, dict(client.cookies).keys())
token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
answer = client.post("/admin/login/?next=/admin/", data={
    "username": "ada", "password": "three herons", "csrfmiddlewaretoken": token, "next": "/admin/"})
print("ADMIN", answer.status_code, "Site administration" in answer.text, sorted(client.cookies))
page = client.get("/admin/auth/group/add/")
token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
answer = client.post("/admin/auth/group/add/", data={"name": "g" + sys.argv[2], "csrfmiddlewaretoken": token})
print("ADDED", answer.status_code, "was added successfully" in answer.text)
print("HEADER", "content-security-policy" in answer.headers, "content-security-policy-report-only" in answer.headers)
print("LINK", "troth-link" in answer.text, "CACHE", answer.headers["cache-control"])
print("STRIPPED", dict(application.front.stripped))
"""


def run(folder: Path, mode: str) -> str:
    (folder / "site.json").write_bytes(to_json(site_of(compiled(FRONT + POLICY.replace("MODE", mode)))))
    (folder / "shop.py").write_text(SITE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(folder / "shop.py"), str(folder), mode],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_admin_works_watched_and_enforced(tmp_path: Path) -> None:
    watched, kept = run(tmp_path, "observe"), run(tmp_path, "enforce")
    for said in (watched, kept):
        assert re.search(r"LOGIN 200", said)
        assert "ADMIN 200 True ['csrftoken', 'sessionid']" in said
        assert "ADDED 200 True" in said
        assert "STRIPPED {}" in said
    assert "HEADER False True" in watched
    assert "HEADER True False" in kept
    assert "LINK True CACHE private, no-cache" in kept


def test_what_is_configured_is_short() -> None:
    declared = [line for line in POLICY.splitlines() if line.strip() and not line.startswith("```")]
    assert len(declared) + len(["from troth.client.website import WSGI", "application = WSGI(…)"]) < 30
