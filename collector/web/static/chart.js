// Charts of throughput, one for each interface: what came in, what went out, and a line at the target.
// Time without data is a gap: two points further apart than their window allows are not joined.

import { each } from "./page.js";

const PERIOD_MS = 5000;
const GAP_WINDOWS = 2.5;

const box = document.getElementById("charts");
const { language, zone, target: schoolTarget, words } = JSON.parse(box.dataset.chart);
const darkness = matchMedia("(prefers-color-scheme: dark)");
const panels = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function formatRate(bitsPerSecond) {
  if (bitsPerSecond === null || bitsPerSecond === undefined) return words.no_data;
  for (const [unit, factor] of [["Gbit/s", 1e9], ["Mbit/s", 1e6], ["kbit/s", 1e3]]) {
    if (Math.abs(bitsPerSecond) >= factor) return `${Number((bitsPerSecond / factor).toPrecision(4))} ${unit}`;
  }
  return `${Number(bitsPerSecond.toPrecision(4))} bit/s`;
}

/** Columns for uPlot with a null wherever nothing was measured for longer than GAP_WINDOWS windows. */
export function columns(series, target) {
  const [times, down, up] = [[], [], []];
  series.times.forEach((time, place) => {
    const gap = place > 0 && time - series.times[place - 1] > GAP_WINDOWS * series.window_seconds;
    if (gap) {
      times.push(series.times[place - 1] + series.window_seconds);
      down.push(null);
      up.push(null);
    }
    times.push(time);
    down.push(series.rx_bits_per_second[place]);
    up.push(series.tx_bits_per_second[place]);
  });
  return target ? [times, down, up, times.map(() => target)] : [times, down, up];
}

function axis() {
  const line = { stroke: colour("grid"), width: 1 };
  return { stroke: colour("muted"), grid: line, ticks: line };
}

function lineOf(label, name, extra) {
  return { label, stroke: colour(name), width: 2, value: (_, value) => formatRate(value), ...extra };
}

function optionsOf(width, target) {
  const series = [
    { label: words.time, value: (_, value) => (value === null ? words.no_data : clock(value)) },
    lineOf(words.down, "down", { fill: `${colour("down")}22` }),
    lineOf(words.up, "up"),
  ];
  if (target) series.push(lineOf(words.target, "target", { dash: [8, 5], points: { show: false } }));
  return {
    width,
    height: 260,
    series,
    axes: [
      { ...axis(), values: (_, splits) => splits.map(clock), space: 90 },
      { ...axis(), values: (_, splits) => splits.map((value) => (value === 0 ? "0" : formatRate(value))), size: 84 },
    ],
    scales: { y: { range: (_, low, high) => [0, Math.max(1000, (high || 0) * 1.1)] } },
  };
}

const clockFormat = new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZone: zone,
});

function clock(seconds) {
  return clockFormat.format(new Date(seconds * 1000));
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

class Panel {
  constructor(series) {
    this.section = element("section", "panel");
    const heading = element("h3", "", series.interface);
    heading.append(element("span", "tag", this.#role(series)));
    this.plot = element("div", "plot");
    this.plot.setAttribute("role", "img");
    this.section.append(heading, this.plot);
    box.append(this.section);
    this.chart = null;
  }

  #role(series) {
    if (series.role === "line") return `${words.line} ${series.line ?? ""}`;
    return series.role === "loopback" ? words.loopback : words.not_a_line;
  }

  show(series) {
    this.series = series;
    const target = series.role === "line" ? schoolTarget : null;
    const data = columns(series, target);
    if (this.chart) this.chart.setData(data);
    else this.chart = new uPlot(optionsOf(this.plot.clientWidth, target), data, this.plot);
    this.plot.setAttribute("aria-label", this.#summary(series, target));
    this.section.dataset.points = String(series.times.length);
  }

  #summary(series, target) {
    const last = series.times.length - 1;
    const parts = [
      `${series.interface}:`,
      `${words.down} ${formatRate(series.rx_bits_per_second[last])},`,
      `${words.up} ${formatRate(series.tx_bits_per_second[last])}`,
    ];
    if (target) parts.push(`· ${words.target} ${formatRate(target)}`);
    return parts.join(" ");
  }

  resize() {
    this.chart?.setSize({ width: this.plot.clientWidth, height: 260 });
  }

  redraw() {
    this.chart?.destroy();
    this.chart = null;
    this.show(this.series);
  }
}

async function update() {
  const answer = await fetch(box.dataset.series, { cache: "no-store" });
  if (!answer.ok) return;
  for (const series of (await answer.json()).interfaces) {
    if (!series.times.length) continue;
    if (!panels.size) box.replaceChildren();
    if (!panels.has(series.interface)) panels.set(series.interface, new Panel(series));
    panels.get(series.interface).show(series);
  }
}

new ResizeObserver(() => panels.forEach((panel) => panel.resize())).observe(box);
darkness.addEventListener("change", () => panels.forEach((panel) => panel.redraw()));
each(PERIOD_MS, () => update().catch(() => undefined));
