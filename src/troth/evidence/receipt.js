// Checks the receipt that this page carries, in the reader's own browser: no request, no other code.
// The steps are those of `troth verify --receipt`; a step that fails takes the ground from those after it.
"use strict";
(async () => {
  const ORDER = ["block", "page", "signature", "proof", "subject"];
  const TEXTS = new Set(["actor", "clause", "eid", "kind", "mechanism", "policy", "purpose", "refers", "subject"]);
  const verdict = document.getElementById("verdict");
  const bytes = (text) => new TextEncoder().encode(text);
  const hex = (data) => Array.from(data, (one) => one.toString(16).padStart(2, "0")).join("");
  const same = (left, right) => hex(left) === hex(right);
  const fail = () => {
    throw new Error("does not hold");
  };
  const join = (...parts) => Uint8Array.from(parts.flatMap((part) => Array.from(part)));
  const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));

  const unhex = (text) => {
    if (typeof text !== "string" || !/^[0-9a-f]{64}$/.test(text)) fail();
    return Uint8Array.from(text.match(/../g), (two) => parseInt(two, 16));
  };

  // Base64 has several spellings of the same bytes; only one is taken.
  const unbase64 = (text) => {
    const raw = atob(text);
    if (btoa(raw) !== text) fail();
    return Uint8Array.from(raw, (one) => one.charCodeAt(0));
  };

  const set = (step, state) => {
    const line = document.querySelector(`[data-step="${step}"]`);
    line.dataset.state = state;
    line.querySelector(".told").textContent = line.dataset[state];
  };

  // The block in its one spelling: members sorted, indented by one, ASCII, without < > &.
  const readBlock = () => {
    const found = document.querySelectorAll('script[type="application/json"]');
    if (found.length !== 1 || found[0].id !== "evidence") fail();
    const value = JSON.parse(found[0].textContent);
    const sorted = Object.fromEntries(Object.keys(value).sort().map((name) => [name, value[name]]));
    const escape = (one) => "\\u" + one.charCodeAt(0).toString(16).padStart(4, "0");
    const text = JSON.stringify(sorted, null, 1).replace(/[<>&\u007f-\uffff]/g, escape);
    if ("\n" + text + "\n" !== found[0].textContent || value.format !== "troth-receipt-1") fail();
    const names = Object.keys(sorted).filter((name) => name !== "opening").join();
    if (names !== "checkpoint,entry,format,key,proof,seq" || !Array.isArray(value.proof)) fail();
    const texts = [value.checkpoint, value.entry, value.key];
    if (!Number.isSafeInteger(value.seq) || value.seq < 0 || texts.some((one) => typeof one !== "string")) fail();
    return { ...value, proof: value.proof.map(unhex), opening: "opening" in value ? unhex(value.opening) : null };
  };

  // What the page displays, member by member, is exactly the entry.
  const readPage = (block) => {
    const shown = Array.from(document.querySelectorAll("[data-member]"), (one) => [one.dataset.member, one.textContent]);
    const spelt = shown.map(([name, text]) => JSON.stringify(name) + ":" + (TEXTS.has(name) ? JSON.stringify(text) : text));
    if ("{" + spelt.join(",") + "}" !== block.entry) fail();
    if (document.getElementById("key").textContent !== block.key) fail();
    const time = document.querySelector("time");
    if (Date.parse(time.dateTime) !== JSON.parse(block.entry).at) fail();
  };

  // c2sp.org/signed-note and c2sp.org/tlog-checkpoint
  const readKey = async (text) => {
    const parts = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(text) ?? fail();
    const raw = unbase64(parts[3]);
    if (raw.length !== 33 || raw[0] !== 1) fail();
    const id = (await sha256(join(bytes(parts[1] + "\n"), raw))).slice(0, 4);
    if (hex(id) !== parts[2]) fail();
    return { name: parts[1], id, raw: raw.slice(1) };
  };

  const readCheckpoint = async (note, key) => {
    const end = note.lastIndexOf("\n\n");
    if (end < 0 || !note.endsWith("\n")) fail();
    const text = note.slice(0, end + 1);
    const signatures = note.slice(end + 2, -1).split("\n").map((line) => /^\u2014 (\S+) (\S+)$/.exec(line) ?? fail());
    const ours = signatures.filter(([, name, blob]) => name === key.name && same(unbase64(blob).slice(0, 4), key.id));
    if (ours.length !== 1) fail();
    const usable = await crypto.subtle.importKey("raw", key.raw, { name: "Ed25519" }, false, ["verify"]);
    if (!(await crypto.subtle.verify({ name: "Ed25519" }, usable, unbase64(ours[0][2]).slice(4), bytes(text)))) fail();
    return readHead(text);
  };

  const readHead = (text) => {
    const lines = text.slice(0, -1).split("\n");
    if (lines.length < 3 || !lines.every(Boolean) || !/^(0|[1-9][0-9]{0,14})$/.test(lines[1])) fail();
    return { size: Number(lines[1]), root: unbase64(lines[2]) };
  };

  // RFC 9162, section 2.1.3.2; sizes may exceed 32 bits, so no bit operations.
  const prove = async (block, head) => {
    if (block.seq >= head.size) fail();
    let node = block.seq;
    let last = head.size - 1;
    let found = await sha256(join([0], bytes(block.entry)));
    for (const sibling of block.proof) {
      if (last === 0) fail();
      if (node % 2 === 1 || node === last) {
        found = await sha256(join([1], sibling, found));
        while (node % 2 === 0 && node !== 0) {
          node = Math.floor(node / 2);
          last = Math.floor(last / 2);
        }
      } else {
        found = await sha256(join([1], found, sibling));
      }
      node = Math.floor(node / 2);
      last = Math.floor(last / 2);
    }
    if (last !== 0 || !same(found, head.root)) fail();
  };

  // subject = HMAC(opening, SHA-256(body without its member "subject")); members are sorted, so it stands before "v".
  const open = async (block) => {
    const parts = /^(.*),"subject":"([0-9a-f]{64})","v":1\}$/s.exec(block.entry);
    if (!block.opening) return parts ? "undisclosed" : "nobody";
    if (!parts) fail();
    const key = await crypto.subtle.importKey("raw", block.opening, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const made = await crypto.subtle.sign("HMAC", key, await sha256(bytes(parts[1] + ',"v":1}')));
    return hex(new Uint8Array(made)) === parts[2] ? "holds" : fail();
  };

  const conclude = (state) => {
    verdict.dataset.state = state;
    verdict.textContent = verdict.dataset[state];
  };

  let step = "block";
  try {
    if (!globalThis.crypto?.subtle) {
      ORDER.forEach((one) => set(one, "cannot"));
      return conclude("cannot");
    }
    const block = readBlock();
    set(step, "holds");
    step = "page";
    readPage(block);
    set(step, "holds");
    step = "signature";
    const key = await readKey(block.key);
    document.getElementById("fingerprint").textContent = hex(await sha256(key.raw)).match(/.{8}/g).join(" ");
    let head;
    let able = true;
    try {
      head = await readCheckpoint(block.checkpoint, key);
      set(step, "holds");
    } catch (fault) {
      // An old browser does not know Ed25519: say so, and do not call that either good or bad.
      if (fault.name !== "NotSupportedError") throw fault;
      able = false;
      head = readHead(block.checkpoint.slice(0, block.checkpoint.lastIndexOf("\n\n") + 1));
      set(step, "cannot");
    }
    step = "proof";
    await prove(block, head);
    set(step, "holds");
    step = "subject";
    set(step, await open(block));
    conclude(able ? "holds" : "cannot");
  } catch {
    set(step, "fails");
    conclude("fails");
  }
})();
