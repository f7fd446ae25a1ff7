// /t.js: says to our own host which page was visited. It asks nothing, stores nothing and reads no cookie: whether and
// how a visit is counted is decided where it arrives, by the policy and by what this browser chose.

import { campaign, path } from "./cut";

declare global {
  interface Window {
    troth?: (event: string) => void;
  }
}

const FILE = /\.(zip|gz|xz|7z|exe|msi|dmg|pkg|deb|rpm|apk|iso|pdf|docx?|xlsx?|pptx?|csv|mp3|mp4|epub)$/i;

let page = "";

/** Says something of the page. What is empty is left out. */
function say(more: Record<string, string>): void {
  const body = JSON.stringify({ page, ...more }, (_, value) => value || undefined);
  if (!navigator.sendBeacon?.("/c", body)) {
    void fetch("/c", { method: "POST", body, keepalive: true }).catch(() => undefined);
  }
}

/** The page is being looked at; `first`: it was come to from elsewhere. */
function view(first: boolean): void {
  const now = path(location.pathname);
  if (first || now !== page) {
    page = now;
    let referrer = "";
    try {
      referrer = first && document.referrer ? new URL(document.referrer).hostname : "";
    } catch {
      // no address: none is said
    }
    say({
      referrer: referrer === location.hostname ? "" : referrer,
      campaign: first ? campaign(new URLSearchParams(location.search)) : "",
    });
  }
}

/** A link that leads away, or to a file. */
function click(event: Event): void {
  const link = (event.target as Element | null)?.closest?.("a[href]") as HTMLAnchorElement | null | undefined;
  if (!link || !/^https?:$/.test(link.protocol)) {
    return;
  }
  if (link.host !== location.host) {
    say({ event: "outbound:" + link.hostname });
  } else if (link.hasAttribute("download") || FILE.test(link.pathname)) {
    say({ event: "download:" + path(link.pathname) });
  }
}

function begin(): void {
  view(true);
  const push = history.pushState;
  history.pushState = function (...given) {
    push.apply(this, given);
    view(false);
  };
  addEventListener("popstate", () => view(false));
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      page = "";
      view(false); // brought back as it was: it is looked at again
    }
  });
  document.addEventListener("click", click, true);
  document.addEventListener("auxclick", click, true);
  window.troth = (event) => say({ event });
}

// a page that is drawn in advance is not visited before it is shown
if ((document as { prerendering?: boolean }).prerendering) {
  document.addEventListener("prerenderingchange", begin, { once: true });
} else {
  begin();
}
