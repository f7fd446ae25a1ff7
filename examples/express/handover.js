// An Express handler that opens Troth's privacy centre for whoever is signed in here: no mail, one button there.
//   app.get("/my-privacy", requireLogin, require("./handover").myPrivacy);
"use strict";
const { createPrivateKey, randomBytes, sign } = require("node:crypto");
const { readFileSync } = require("node:fs");

const audience = process.env.TROTH_URL; // exactly as people reach Troth, without a slash at the end
const product = process.env.TROTH_PRODUCT; // the id that `troth handover` told
const key = createPrivateKey(readFileSync(process.env.TROTH_HANDOVER_KEY)); // a file that only this process reads

function handoverToken(reference) {
  const expires = Math.floor(Date.now() / 1000) + 50;
  const nonce = randomBytes(24).toString("base64url");
  const body = Buffer.from(JSON.stringify({ audience, expires, nonce, product, reference })).toString("base64url");
  return `${body}.${sign(null, Buffer.from(`troth-handover-1.${body}`), key).toString("base64url")}`;
}

function myPrivacy(request, response) {
  const token = handoverToken(String(request.user.id)); // the reference that the account was registered with
  response.set("Cache-Control", "no-store").redirect(303, `${audience}/privacy/handover/${token}`);
}

module.exports = { handoverToken, myPrivacy };
