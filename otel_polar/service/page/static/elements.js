// Words and elements. Everything goes through textContent: a name is a stranger's text.

const SVG = "http://www.w3.org/2000/svg";
const numberFormat = new Intl.NumberFormat("en-US");
const rateFormat = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const timeFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const NANOS = 1_000_000_000n;

export function byId(id) {
  return document.getElementById(id);
}

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function setText(id, text) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

export function row(...cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

// What stands between backticks is a command to type.
export function withCode(node, text) {
  text.split("`").forEach((part, index) => node.append(index % 2 ? element("code", "", part) : part));
  return node;
}

export function rowHead(text) {
  const made = element("th", "", text);
  made.scope = "row";
  return made;
}

export function number(text, className = "") {
  return element("td", `number ${className}`.trim(), text);
}

export function whole(count) {
  return numberFormat.format(count);
}

export function rate(perMinute) {
  return perMinute === 0 ? "0" : rateFormat.format(perMinute);
}

export function moment(unixSeconds) {
  return timeFormat.format(new Date(unixSeconds * 1000));
}

export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function bytes(count) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let index = 0;
  while (count >= 1000 && index < units.length - 1) {
    count /= 1000;
    index += 1;
  }
  return `${index && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[index]}`;
}

// Billionths of a dollar as BigInt: a Number would lose digits of a large sum.
export function dollars(nanos, places = placesFor(nanos)) {
  const unit = 10n ** BigInt(9 - places);
  const size = nanos < 0n ? -nanos : nanos;
  const rounded = (size + unit / 2n) / unit;
  const scale = 10n ** BigInt(places);
  const fraction = places ? `.${(rounded % scale).toString().padStart(places, "0")}` : "";
  return `${nanos < 0n ? "\u2212" : ""}$${numberFormat.format(rounded / scale)}${fraction}`;
}

// At least cents; below a dollar as many places as it takes to see something.
export function placesFor(nanos) {
  const size = nanos < 0n ? -nanos : nanos;
  if (size === 0n || size >= NANOS) return 2;
  return size >= NANOS / 100n ? 4 : size >= NANOS / 10_000n ? 6 : 9;
}
