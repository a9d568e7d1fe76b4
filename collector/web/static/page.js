// Keeps the parts marked data-live fresh: when the collector tells of a change, and from time to time, it
// fetches the page again and changes only what differs, so that nothing flickers and neither focus, selection
// nor an opened detail is lost. Without this script every page works by its links and forms.

const LEAST_MS = 5000;
const LISTENING_MS = 30000;
const ALONE_MS = 5000;
const TRY_AGAIN_MS = 60000;

/** Make `old` read like `fresh`, touching only the nodes that differ. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.hasAttribute("data-kept")) return;
  morphAttributes(old, fresh);
  morphChildren(old, fresh);
}

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh) {
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((child, place) => {
    if (place < before.length) morph(before[place], child);
    else old.append(document.importNode(child, true));
  });
  before.slice(after.length).forEach((child) => child.remove());
}

async function freshPage() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function refresh() {
  const stale = document.getElementById("stale");
  try {
    const page = await freshPage();
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) morph(part, fresh);
    }
    stale.hidden = true;
    document.dispatchEvent(new Event("refreshed"));
  } catch {
    stale.hidden = false;
  }
}

/** Call `task` now and then each `periodMs`, never twice at once, and not while nobody looks. */
export function each(periodMs, task) {
  let running = false;
  const turn = async () => {
    if (running || document.hidden) return;
    running = true;
    try { await task(); } finally { running = false; }
  };
  setInterval(turn, periodMs);
  document.addEventListener("visibilitychange", turn);
  return turn();
}

let listening = false;
let wanted = false;
let asked = performance.now();

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("open", () => { listening = true; });
  events.addEventListener("county", () => { wanted = true; });
  events.addEventListener("error", () => {
    listening = false;
    if (events.readyState !== EventSource.CLOSED) return;
    setTimeout(listen, TRY_AGAIN_MS);
  });
  addEventListener("pagehide", () => events.close());
}

function isDue() {
  const waited = performance.now() - asked;
  return waited >= (listening ? LISTENING_MS : ALONE_MS) || (wanted && waited >= LEAST_MS);
}

if (document.querySelector("[data-live]")) {
  listen();
  each(1000, async () => {
    if (!isDue()) return;
    wanted = false;
    await refresh();
    asked = performance.now();
  });
}

for (const choice of document.querySelectorAll("[data-submits]")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}
