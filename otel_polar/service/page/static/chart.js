// Spend over time: stacked bars, the table of names beside them, and the same numbers as a table.

import { byId, dollars, element, number, placesFor, row, rowHead, setText, shape, whole } from "./elements.js";

const HEIGHT = 1000;
const GAP = 3;
const hourFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

const sum = (amounts) => amounts.reduce((total, one) => total + one, 0n);
const most = (amounts) => amounts.reduce((max, one) => (one > max ? one : max), 0n);

export function showSpend(spend, by, scale) {
  const chart = spend.charts[by][scale];
  const starts = spend.starts[scale];
  const series = chart.series.map((one, index) => ({
    label: labelOf(one, chart),
    name: one.name,
    kind: one.kind,
    color: one.name === null ? "others" : `series-${index}`,
    nanos: one.nanos.map(BigInt),
    total: one.total,
  }));
  const buckets = starts.map((_, index) => sum(series.map((one) => one.nanos[index])));
  showNotes(spend, chart, scale, starts.length);
  showBars(series, buckets, starts, scale);
  showSeries(series, chart, by);
  showOverTime(series, buckets, starts, scale);
}

function labelOf(one, chart) {
  if (one.name === null) return chart.others ? `${whole(chart.others)} others` : "others";
  return one.name || "(empty)";
}

function timeLabel(start, scale) {
  return (scale === "hours" ? hourFormat : dayFormat).format(new Date(start * 1000));
}

function showNotes(spend, chart, scale, count) {
  const over = scale === "hours" ? "the last 24 hours, by the hour" : `the last ${count} days, by the day (UTC)`;
  const { nanos, events, unpriced } = chart.total;
  const notes = [`${dollars(BigInt(nanos))} in ${whole(events)} events over ${over}`];
  if (unpriced) notes.push(`${whole(unpriced)} of them without a cost`);
  if (spend.is_partial) notes.push("there are more names or held calls than are told apart");
  if (spend.unreadable) notes.push(`${whole(spend.unreadable)} events on the disk cannot be read`);
  setText("spend-note", notes.join("; "));
  byId("spend-counting").hidden = spend.is_complete;
  setText("spend-counting", `Counting the ledger, the newest first: ${whole(spend.counted)} of ${whole(spend.places)}`);
}

// The next of 1, 2 or 5 times a power of ten.
function roundedUp(nanos) {
  let power = 1n;
  while (power * 10n <= nanos) power *= 10n;
  for (const factor of [1n, 2n, 5n, 10n]) {
    if (power * factor >= nanos) return power * factor;
  }
  return nanos;
}

function showBars(series, buckets, starts, scale) {
  const top = roundedUp(most(buckets));
  const width = starts.length * 10;
  const peak = buckets.indexOf(most(buckets));
  const what = `Spend over time as stacked bars, at most ${dollars(most(buckets))} at ${timeLabel(starts[peak], scale)}.`;
  const chart = shape("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `${what} The numbers are in the tables that follow.`,
  });
  for (const part of [0, 0.5, 1]) {
    const y = part * HEIGHT;
    chart.append(shape("line", { x1: 0, x2: width, y1: y, y2: y, class: "level" }));
  }
  starts.forEach((start, index) => {
    const group = shape("g", {});
    const title = shape("title", {});
    const lines = series.filter((one) => one.nanos[index] !== 0n).map((one) => `${one.label}: ${dollars(one.nanos[index])}`);
    title.textContent = [`${timeLabel(start, scale)}: ${dollars(buckets[index])}`, ...lines].join("\n");
    group.append(title, shape("rect", { x: index * 10, y: 0, width: 10, height: HEIGHT, class: "ground" }));
    let y = HEIGHT;
    for (const one of series) {
      const height = top && one.nanos[index] > 0n ? (HEIGHT * Number(one.nanos[index])) / Number(top) : 0;
      if (!height) continue;
      const drawn = height > 4 * GAP ? height - GAP : height;
      group.append(shape("rect", { x: index * 10 + 1.5, y: y - drawn, width: 7, height: drawn, class: one.color }));
      y -= height;
    }
    chart.append(group);
  });
  byId("bars").replaceChildren(chart);
  const places = placesFor(top / 2n);
  byId("levels").replaceChildren(...[top, top / 2n, 0n].map((level) => element("span", "", levelLabel(level, places))));
  const shown = [0, Math.floor(starts.length / 2), starts.length - 1];
  byId("axis").replaceChildren(...[...new Set(shown)].map((index) => element("span", "", timeLabel(starts[index], scale))));
}

function levelLabel(level, places) {
  return level === 0n ? "$0" : dollars(level, places).replace(/\.00$/, "");
}

function showSeries(series, chart, by) {
  setText("series-title", by === "customers" ? "Customer" : "Model");
  const places = placesOfColumn(series.map((one) => BigInt(one.total.nanos)));
  const cells = (total) => [
    number(costOf(total, places), total.events === total.unpriced ? "none" : ""),
    number(whole(total.events)),
    number(whole(total.unpriced), total.unpriced ? "warned" : "none"),
  ];
  const rows = series.map((one) => {
    const head = rowHead();
    const name = element("span", "name");
    name.append(element("bdi", "", one.label));
    name.title = one.label;
    head.append(element("span", `swatch ${one.color}`), name);
    if (one.kind === "Polar's id" || one.kind === "event") head.append(element("span", "second", one.kind));
    return row(head, ...cells(one.total));
  });
  if (!rows.length) {
    const nothing = element("td", "none", "No event yet");
    nothing.colSpan = 4;
    rows.push(row(nothing));
  }
  byId("series").replaceChildren(...rows);
  byId("series-total").replaceChildren(row(rowHead("Total"), ...cells(chart.total)));
}

function costOf(total, places) {
  return total.events > 0 && total.events === total.unpriced ? "unknown" : dollars(BigInt(total.nanos), places);
}

// One column has one number of places, so that its points stand below each other; not for one tiny amount of many.
function placesOfColumn(amounts) {
  return most(amounts) >= 1_000_000_000n ? 2 : Math.max(2, ...amounts.map(placesFor));
}

function showOverTime(series, buckets, starts, scale) {
  const places = placesOfColumn(buckets);
  const heads = [scale === "hours" ? "Hour" : "Day (UTC)", "All", ...series.map((one) => one.label)].map((text, index) => {
    const head = element("th", index ? "number" : "");
    head.scope = "col";
    head.append(element("bdi", "name", text));
    return head;
  });
  byId("over-time-head").replaceChildren(...heads);
  const rows = starts.map((start, index) =>
    row(
      rowHead(timeLabel(start, scale)),
      ...[buckets[index], ...series.map((one) => one.nanos[index])].map((nanos) =>
        number(dollars(nanos, places), nanos === 0n ? "none" : ""),
      ),
    ),
  );
  byId("over-time").replaceChildren(...rows.reverse());
}
