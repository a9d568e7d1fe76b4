// The terminal's speed test. What is shown while it runs is this browser's count; the figures at the end are the
// collector's own, which counts the bytes of every connection itself.

const IDLE_PINGS = 12;
const IDLE_MS = 3000;
const LOADED_PING_EVERY_MS = 200;
const SHOW_EVERY_MS = 200;
const RANDOM_BYTES = 4 * 1024 * 1024;
const RANDOM_AT_ONCE = 65536; // more crypto.getRandomValues refuses
const UPLOAD_PARTS = 4;

const form = document.getElementById("speed");
const facts = form ? JSON.parse(form.dataset.facts) : null;
const part = (name) => document.getElementById(`speed-${name}`);
const words = facts?.words;

class Refusal extends Error {}

/** A rate for people, as the rest of the pages write it. */
function rate(bitsPerSecond) {
  if (bitsPerSecond === null || bitsPerSecond === undefined) return "–";
  const [unit, factor] = bitsPerSecond >= 1e9 ? ["Gbit/s", 1e9] : ["Mbit/s", 1e6];
  return `${(bitsPerSecond / factor).toPrecision(3).replace(/\.?0+$/, (zeros) => zeros.includes(".") ? "" : zeros)} ${unit}`;
}

function milliseconds(seconds) {
  return seconds === null || seconds === undefined ? "–" : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}

function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

const wait = (ms) => new Promise((done) => { setTimeout(done, ms); });

async function post(url, content) {
  const answer = await fetch(url, {
    method: "POST", cache: "no-store", body: JSON.stringify(content), headers: { "Content-Type": "application/json" },
  });
  const told = await answer.json();
  if (!answer.ok) throw new Refusal(told.why);
  return told;
}

/** One round trip in seconds: by the browser's own timing of the request where it gives it. */
async function ping(base, number) {
  const url = new URL(`${base}/ping?n=${number}`, location.href).href;
  const began = performance.now();
  const answer = await fetch(url, { cache: "no-store" });
  const ended = performance.now();
  if (!answer.ok) throw new Error("ping refused");
  const [timing] = performance.getEntriesByName(url, "resource");
  const exact = timing && timing.requestStart > 0 ? timing.responseStart - timing.requestStart : 0;
  return (exact > 0 ? exact : ended - began) / 1000;
}

async function idleRoundTrips(base) {
  const found = [];
  const until = performance.now() + IDLE_MS;
  for (let number = 0; number < IDLE_PINGS && performance.now() < until; number += 1) {
    found.push(await ping(base, `idle${number}`));
  }
  performance.clearResourceTimings();
  return median(found.slice(2)); // the first ones open the connection and warm the browser up
}

async function roundTripsWhile(base, name, load) {
  const found = [];
  for (let number = 0; !load.signal.aborted; number += 1) {
    try { found.push(await ping(base, `${name}${number}`)); } catch { /* the load broke off: the other side says so */ }
    await wait(LOADED_PING_EVERY_MS);
  }
  performance.clearResourceTimings();
  return median(found.slice(Math.floor(found.length / 4)));
}

async function pull(url, count, signal) {
  const answer = await fetch(url, { cache: "no-store", signal });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    count.bytes += value.byteLength;
  }
}

/** Bytes that nothing on the way can compress. */
function randomBlob() {
  const bytes = new Uint8Array(RANDOM_BYTES);
  for (let at = 0; at < bytes.length; at += RANDOM_AT_ONCE) crypto.getRandomValues(bytes.subarray(at, at + RANDOM_AT_ONCE));
  return new Blob(Array(UPLOAD_PARTS).fill(bytes));
}

function push(url, blob, count, signal) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    let seen = 0;
    request.open("POST", url);
    request.upload.onprogress = (event) => { count.bytes += event.loaded - seen; seen = event.loaded; };
    request.onload = () => (request.status === 204 ? done() : failed(new Error(`status ${request.status}`)));
    request.onerror = () => failed(new Error("lost"));
    request.onabort = () => done();
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(blob);
  });
}

async function pushOn(url, blob, count, signal) {
  while (!signal.aborted && count.bytes < count.most) await push(url, blob, count, signal);
}

function show(count, name, seconds) {
  const began = performance.now();
  const past = [[began, 0]];
  return setInterval(() => {
    const now = performance.now();
    past.push([now, count.bytes]);
    while (past.length > 6) past.shift();
    part(name).textContent = rate(((count.bytes - past[0][1]) * 8000) / Math.max(1, now - past[0][0]));
    part("progress").value = count.done + Math.min(1, (now - began) / (seconds * 1000)) * 0.45;
  }, SHOW_EVERY_MS);
}

/** Load one direction for its time with several streams; gives the round trip meanwhile, in seconds. */
async function load(test, base, name, done, stream) {
  part("state").textContent = words[name];
  const stop = new AbortController();
  const count = { bytes: 0, done, most: test.bytes };
  const shown = show(count, name, test.load_seconds);
  const streams = Array.from({ length: test.streams }, () => stream(count, stop.signal));
  const roundTrip = roundTripsWhile(base, name, stop);
  let broke = false;
  const all = Promise.all(streams).catch((error) => { if (!stop.signal.aborted) { broke = true; throw error; } });
  try {
    await Promise.race([wait(test.load_seconds * 1000), all]);
  } finally {
    stop.abort();
    clearInterval(shown);
  }
  if (broke) throw new Error("load broke off");
  await Promise.allSettled(streams);
  return roundTrip;
}

async function measure() {
  const test = await post("/speed/tests", { code: part("code").value, place: part("place").value });
  const base = `/speed/tests/${test.test}`;
  part("progress").hidden = false;
  part("state").textContent = words.idle;
  const idle = await idleRoundTrips(base);
  part("idle").textContent = milliseconds(idle);
  const down = await load(test, base, "down", 0.05, (count, signal) => pull(`${base}/down`, count, signal));
  const blob = randomBlob();
  const up = await load(test, base, "up", 0.5, (count, signal) => pushOn(`${base}/up`, blob, count, signal));
  const result = await post(`${base}/result`, { idle, down, up });
  tell(test, result);
}

function tell(test, result) {
  part("down").textContent = rate(result.down_bits_per_second);
  part("up").textContent = rate(result.up_bits_per_second);
  part("idle").textContent = milliseconds(result.idle_rtt_seconds);
  part("down-rtt").textContent = milliseconds(result.down_rtt_seconds);
  part("up-rtt").textContent = milliseconds(result.up_rtt_seconds);
  part("progress").value = 1;
  part("state").textContent = words.done;
  const family = test.family === "ipv6" ? "IPv6" : "IPv4";
  const notes = [words.recorded.replace("{school}", test.school).replace("{family}", family)];
  if (result.latency_grade) notes.push(words.grade.replace("{grade}", result.latency_grade));
  part("note").textContent = notes.join(" · ");
  form.dataset.result = JSON.stringify(result);
  judge(result.down_ip_bits_per_second);
}

/** Met is shown; anything else is no proof of a slow line and says so. */
function judge(bitsPerSecond) {
  if (!facts.target_bits_per_second) return;
  const known = bitsPerSecond !== null && bitsPerSecond !== undefined;
  const reached = known && bitsPerSecond >= facts.target_bits_per_second;
  const verdict = part("verdict");
  verdict.className = `speed-verdict ${reached ? "met" : "unknown"}`;
  verdict.textContent = `${reached ? "✓" : "?"} ${known ? words[reached ? "reached" : "not_reached"] : words.unknown}`;
  verdict.hidden = false;
}

async function start(event) {
  event.preventDefault();
  const button = part("start");
  button.disabled = true;
  for (const name of ["down", "up", "idle", "down-rtt", "up-rtt"]) part(name).textContent = "–";
  part("verdict").hidden = true;
  part("note").textContent = "";
  part("state").textContent = "";
  delete form.dataset.error;
  try {
    await measure();
  } catch (error) {
    const why = error instanceof Refusal && words[error.message] ? error.message : "failed";
    part("state").textContent = words[why];
    part("progress").hidden = true;
    form.dataset.error = why;
    if (why === "no_school" || why === "wrong_code") { part("code-label").hidden = false; part("code").focus(); }
  } finally {
    button.disabled = false;
    button.textContent = words.again;
  }
}

if (form) {
  if (typeof ReadableStream === "undefined" || !crypto?.getRandomValues) {
    part("state").textContent = words.no_streams;
    part("start").disabled = true;
  } else {
    form.addEventListener("submit", start);
  }
}
