// Charts of throughput, one for each interface: what came in and went out, as means and as the greatest
// second, and a line at the target. Time without data is a gap: two points further apart than their window
// allows are not joined. Dragging over a chart asks for that time anew, so that it is drawn finer.

import { each } from "./page.js";

const PERIOD_MS = 5000;
const GAP_WINDOWS = 2.5;
const LIVE_SECONDS = 6 * 3600;
const DAY_SECONDS = 86400;
const MINUTE_SECONDS = 60;

const box = document.getElementById("charts");
const { language, zone, target: schoolTarget, words } = JSON.parse(box.dataset.chart);
const darkness = matchMedia("(prefers-color-scheme: dark)");
const buttons = [...document.querySelectorAll("[data-span]")];
const panels = new Map();
let span = Number(buttons[0].dataset.span);
let zoomed = null;

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

const NAMES = ["rx_bits_per_second", "tx_bits_per_second", "rx_max_bits_per_second", "tx_max_bits_per_second"];

/** Columns for uPlot with a null wherever nothing was measured for longer than GAP_WINDOWS windows. */
export function columns(series, target) {
  const times = [];
  const values = NAMES.map(() => []);
  series.times.forEach((time, place) => {
    if (place > 0 && time - series.times[place - 1] > GAP_WINDOWS * series.window_seconds) {
      times.push(series.times[place - 1] + series.window_seconds);
      values.forEach((column) => column.push(null));
    }
    times.push(time);
    values.forEach((column, number) => column.push(series[NAMES[number]][place]));
  });
  return target ? [times, ...values, times.map(() => target)] : [times, ...values];
}

function axis() {
  const line = { stroke: colour("grid"), width: 1 };
  return { stroke: colour("muted"), grid: line, ticks: line };
}

/** What stands in the legend: nothing where nobody points, which is not the same as no data. */
function shownAt(format) {
  return (chart, value, _, place) => {
    if (place === null || place === undefined) return "–";
    return value === null ? words.no_data : format(value);
  };
}

function lineOf(label, name, extra) {
  return { label, stroke: colour(name), width: 2, value: shownAt(formatRate), ...extra };
}

function optionsOf(width, target) {
  const thin = { width: 1, dash: [2, 3], points: { show: false } };
  const series = [
    { label: words.time, value: shownAt(moment) },
    lineOf(words.down, "down", { fill: `${colour("down")}22` }),
    lineOf(words.up, "up"),
    lineOf(words.down_max, "down", thin),
    lineOf(words.up_max, "up", thin),
  ];
  if (target) series.push(lineOf(words.target, "target", { dash: [8, 5], points: { show: false } }));
  return {
    width,
    height: 260,
    series,
    cursor: { drag: { setScale: false } },
    hooks: { setSelect: [zoom] },
    axes: [
      { ...axis(), values: (chart, splits) => splits.map((value) => tick(chart, value)), space: 90 },
      { ...axis(), values: (_, splits) => splits.map((value) => (value === 0 ? "0" : formatRate(value))), size: 84 },
    ],
    scales: { x: { range: (_, low, high) => shown(low, high) },
      y: { range: (_, low, high) => [0, Math.max(1000, (high || 0) * 1.1)] } },
  };
}

function shown(low, high) {
  return zoomed ?? [Math.min(low, high - 1), high];
}

function formatter(fields) {
  return new Intl.DateTimeFormat(language, { ...fields, hour12: false, timeZone: zone });
}

const [hour, minute, second, day, month] = ["2-digit", "2-digit", "2-digit", "2-digit", "2-digit"];
const formats = {
  clock: formatter({ hour, minute, second }),
  dayAndClock: formatter({ month, day, hour, minute }),
  day: formatter({ year: "numeric", month, day }),
  moment: formatter({ year: "numeric", month, day, hour, minute, second }),
};

function tick(chart, seconds) {
  const width = chart.scales.x.max - chart.scales.x.min;
  const format = width <= DAY_SECONDS ? formats.clock : width <= 14 * DAY_SECONDS ? formats.dayAndClock : formats.day;
  return format.format(new Date(seconds * 1000));
}

function moment(seconds) {
  return formats.moment.format(new Date(seconds * 1000));
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
    this.plot.addEventListener("dblclick", () => { zoomed = null; show(); });
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
    this.section.dataset.window = String(series.window_seconds);
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

function zoom(chart) {
  const { left, width } = chart.select;
  if (width < 5) return;
  const [from, to] = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (to - from < MINUTE_SECONDS) return;
  zoomed = [from, to];
  show();
}

function wanted() {
  return zoomed ? `from=${zoomed[0].toFixed(3)}&to=${zoomed[1].toFixed(3)}` : `span=${span}`;
}

async function update() {
  const asked = wanted();
  const answer = await fetch(`${box.dataset.series}?${asked}`, { cache: "no-store" });
  if (!answer.ok || answer.redirected || asked !== wanted()) return;
  for (const series of (await answer.json()).interfaces) {
    if (!series.times.length) continue;
    if (!panels.size) box.replaceChildren();
    if (!panels.has(series.interface)) panels.set(series.interface, new Panel(series));
    panels.get(series.interface).show(series);
  }
}

function show() {
  return update().catch(() => undefined);
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    span = Number(button.dataset.span);
    zoomed = null;
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    show();
  });
}

new ResizeObserver(() => panels.forEach((panel) => panel.resize())).observe(box);
darkness.addEventListener("change", () => panels.forEach((panel) => panel.redraw()));
let turns = 0;
each(PERIOD_MS, () => {
  turns += 1;
  const still = zoomed !== null || (span > LIVE_SECONDS && turns % 12 !== 1);
  return still ? undefined : show();
});
