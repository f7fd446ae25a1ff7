// Passkeys: asks the browser, puts its answer into the form and sends it. Nothing else, nothing stored.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const opened = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

function question(options, verb) {
  const asked = { ...options, challenge: bytes(options.challenge) };
  if (verb === "create") {
    asked.user = { ...options.user, id: bytes(options.user.id) };
    asked.excludeCredentials = opened(options.excludeCredentials);
  } else {
    asked.allowCredentials = opened(options.allowCredentials);
  }
  return { publicKey: asked };
}

function answer(found) {
  const response = { clientDataJSON: text(found.response.clientDataJSON) };
  for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (found.response[part]) response[part] = text(found.response[part]);
  }
  return JSON.stringify({ id: found.id, rawId: text(found.rawId), type: found.type, response });
}

for (const form of document.querySelectorAll("form[data-ceremony]")) {
  if (!window.PublicKeyCredential) break;
  form.hidden = false;
  form.parentElement.querySelector(".without-script").hidden = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = form.querySelector("[role=alert]");
    fault.hidden = true;
    try {
      const verb = form.dataset.ceremony;
      const asked = question(JSON.parse(form.dataset.options), verb);
      form.elements.answer.value = answer(await navigator.credentials[verb](asked));
      form.submit();
    } catch {
      fault.hidden = false;
    }
  });
}
