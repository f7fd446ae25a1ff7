"""The front for nginx: a file that maps a browser's answer to the header, for the server that stands before a site.

The vendor's own configuration stays as it is, behind it: so a ``return``, an error page or a location with headers of
its own cannot lose ours. With Troth stopped the map goes on working and the question is not shown: closed for others,
open for the page. What nginx cannot do without modules: strip a cookie that is not declared, and watch instead of
enforcing by path (``docs/how-to/put-your-site-behind-it.md``).
"""

from __future__ import annotations

import re
from typing import Final

from troth.policy.site import ENDPOINTS, GPC, PREFIX, REPORT_TO, Site

BANNER: Final = f"{PREFIX}/banner"
PAGE_HEADER: Final = "X-Troth-Page"  # the page that the question stands on

#: Of an application's answer, what a page may not carry: our own values stand in their place.
HIDDEN: Final = (
    "Cache-Control",
    "Expires",
    "Pragma",
    "ETag",
    "Last-Modified",
    "Vary",
    "NEL",
    "Report-To",
    "Reporting-Endpoints",
    "Referrer-Policy",
)


def nginx_conf(site: Site, *, vendor: str, troth: str, listen: str, names: tuple[str, ...]) -> str:
    """The file for nginx's ``http`` context.

    ``vendor`` and ``troth`` are where the site and Troth listen (``127.0.0.1:8000``); ``listen`` is what the server
    listens on, with its ``ssl`` if any; ``names`` are its server names, those of the policy's sites where empty.
    """
    asked = site.choices
    values = [(f"{asked.mark}-{bits}", bits, header) for bits, header in site.headers.items() if bits]
    policies = "\n".join(f'    "1:{value}" "{header}";' for value, bits, header in values if "1" in bits)
    kept = "\n".join(f'    "1:{value}" "no-store";' for value, bits, _ in values if "1" in bits)
    known = "|".join(value for value, _, _ in values) or "-"
    cookie = asked.cookie or "-"
    ours = f"^({PREFIX}/|{re.escape(GPC)}$)" if site.signal else f"^{PREFIX}/"
    hidden = "\n".join(f"        proxy_hide_header {name};" for name in HIDDEN)
    served = " ".join(names or sorted(h for h, s in site.hosts.items() if s.startswith("site:") and ":" not in h))
    return f"""# Written by troth render --nginx from version {site.version} of the policy {site.policy}.
# Belongs into nginx's http context. Write it anew and reload nginx when a version takes effect.

map "$scheme:$http_cookie" $troth_flag {{
    default "";
    "~^https:(?:.*; ?)?__Host-{cookie}=(?<troth_sealed>{known})(?:;|$)" $troth_sealed;
    "~^http:(?:.*; ?)?{cookie}=(?<troth_plain>{known})(?:;|$)" $troth_plain;
}}
map $upstream_http_content_type $troth_page {{
    default 0;
    "~*^(text/html|application/xhtml)" 1;
}}
map "$troth_page:$troth_flag" $troth_policy {{
    default "{site.strictest}";
{policies}
}}
map "$troth_page:$troth_flag" $troth_cache {{
    default "private, no-cache";
    "~^0:" $upstream_http_cache_control;
{kept}
}}
map "$scheme:$troth_page" $troth_report_to {{ default ""; "https:1" "{REPORT_TO}"; }}
map "$scheme:$troth_page" $troth_endpoints {{ default ""; "https:1" '{ENDPOINTS}'; }}
map $troth_page $troth_etag {{ default ""; 0 $upstream_http_etag; }}
map $troth_page $troth_modified {{ default ""; 0 $upstream_http_last_modified; }}
map $troth_page $troth_vary {{ default "Cookie, Sec-GPC"; 0 $upstream_http_vary; }}
map $upstream_http_referrer_policy $troth_referrer {{ default same-origin; no-referrer no-referrer; }}
map $http_accept $troth_none_match {{ default $http_if_none_match; "~*html" ""; }}
map $http_accept $troth_since {{ default $http_if_modified_since; "~*html" ""; }}

server {{
    listen {listen};
    server_name {served};

    location / {{
        proxy_pass http://{vendor};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $troth_connection;
        proxy_set_header Accept-Encoding "";
        proxy_set_header If-None-Match $troth_none_match;
        proxy_set_header If-Modified-Since $troth_since;
{hidden}
        add_header Content-Security-Policy $troth_policy$troth_report_to always;
        add_header Reporting-Endpoints $troth_endpoints always;
        add_header Cache-Control $troth_cache always;
        add_header Vary $troth_vary always;
        add_header ETag $troth_etag always;
        add_header Last-Modified $troth_modified always;
        add_header Referrer-Policy $troth_referrer always;
        add_header X-DNS-Prefetch-Control off always;
        add_after_body {BANNER};
    }}
    location ~ {ours} {{
        proxy_pass http://{troth};
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header {PAGE_HEADER} $request_uri;
        proxy_connect_timeout 1s;
        proxy_read_timeout 5s;
    }}
    location = {BANNER} {{
        internal;
        proxy_pass http://{troth};
        proxy_pass_request_body off;
        proxy_method GET;
        proxy_set_header Content-Length "";
        proxy_set_header Accept-Encoding "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header {PAGE_HEADER} $request_uri;
        proxy_connect_timeout 1s;
        proxy_read_timeout 2s;
        proxy_intercept_errors on;
        error_page 400 403 404 405 429 500 502 503 504 = @troth_silent;
    }}
    location @troth_silent {{ return 204; }}
}}
map $http_upgrade $troth_connection {{ default upgrade; "" ""; }}
"""
