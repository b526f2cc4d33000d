// The live view. Everything that came with an event is written through textContent: an id is a stranger's text.

const POLL_MS = 1000;
const SVG = "http://www.w3.org/2000/svg";
const TOTALS = [
  ["cost_nanos", "Cost", (nanos) => (nanos === null ? "unknown" : dollars(nanos))],
  ["events", "Events", whole],
  ["input_tokens", "Input tokens", whole],
  ["output_tokens", "Output tokens", whole],
  ["cache_read_tokens", "Cached tokens", whole],
  ["customers", "Customers", whole],
];
const EVENT_COUNTS = ["input_tokens", "output_tokens", "cache_read_tokens"];
const CUSTOMER_COUNTS = ["events", ...EVENT_COUNTS];

const numberFormat = new Intl.NumberFormat("en-US");
const timeFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const shortTimeFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const minuteFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });

let shownText = "";
let openKey = null;
let shownEvents = "";

function whole(count) {
  return numberFormat.format(count);
}

// At least cents; below a dollar as many places as it takes to see something.
function placesFor(nanos) {
  const usd = Math.abs(nanos) / 1e9;
  return usd === 0 || usd >= 1 ? 2 : usd >= 0.01 ? 4 : 6;
}

function dollars(nanos, places = placesFor(nanos)) {
  const usd = Math.abs(nanos) / 1e9;
  const text = usd.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  return `${nanos < 0 ? "\u2212" : ""}$${text}`;
}

function costOf(source, places) {
  return source.cost_nanos === null ? "unknown cost" : dollars(source.cost_nanos, places);
}

function byId(id) {
  return document.getElementById(id);
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function numberCells(row, source, counts, places) {
  for (const key of counts) row.append(element("td", "number", whole(source[key])));
  const known = source.cost_nanos !== null;
  row.append(element("td", known ? "number" : "number none", known ? dollars(source.cost_nanos, places) : "unknown"));
}

// One column has one number of places, so that its points stand below each other.
function placesOfColumn(sources) {
  return Math.max(2, ...sources.map((one) => placesFor(one.cost_nanos ?? 0)));
}

function showTotals(totals) {
  const list = byId("totals");
  if (!list.children.length) {
    for (const [, label] of TOTALS) {
      const box = element("div");
      box.append(element("dt", "", label), element("dd"));
      list.append(box);
    }
  }
  TOTALS.forEach(([key, , format], index) => setText(list.children[index].lastChild, format(totals[key])));
}

function showMinutes(minutes) {
  const most = Math.max(...minutes.map((one) => one.cost_nanos), 0);
  const sum = minutes.reduce((total, one) => total + one.cost_nanos, 0);
  const note = `${dollars(sum)} in the last half hour, at most ${dollars(most)} in one minute`;
  byId("minutes-note").textContent = note;
  const width = minutes.length * 10;
  const chart = shape("svg", { viewBox: `0 0 ${width} 100`, preserveAspectRatio: "none", role: "img", "aria-label": note });
  minutes.forEach((one, index) => {
    const height = most > 0 && one.cost_nanos > 0 ? Math.max(2, (98 * one.cost_nanos) / most) : 1;
    const group = shape("g", {});
    const title = shape("title", {});
    title.textContent = `${minuteFormat.format(new Date(one.minute))}: ${dollars(one.cost_nanos)}`;
    const bar = { x: index * 10 + 1, y: 100 - height, width: 8, height };
    group.append(title, shape("rect", one.cost_nanos > 0 ? bar : { ...bar, class: "nothing" }));
    chart.append(group);
  });
  byId("minutes").replaceChildren(chart);
}

function showModels(models) {
  const most = Math.max(...models.map((one) => one.total_tokens), 1);
  byId("models").replaceChildren(
    ...models.map((one) => {
      const item = element("li");
      const line = element("p");
      line.append(
        element("span", "name", one.model),
        element("span", "amount", `${whole(one.total_tokens)} tokens \u00b7 ${costOf(one)}`),
      );
      const chart = shape("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" });
      chart.append(shape("rect", { width: (100 * one.total_tokens) / most, height: 1 }));
      item.append(line, chart);
      return item;
    }),
  );
}

function customerRow(customer, places) {
  const row = element("tr");
  row.dataset.key = customer.key;
  const name = element("th", "customer");
  name.scope = "row";
  const button = element("button", "", customer.label || "(empty id)");
  button.type = "button";
  button.title = customer.label;
  name.append(button);
  if (!customer.known) name.append(element("br"), element("span", "badge", "no Polar customer yet"));
  else if (customer.name && customer.name !== customer.label) name.append(element("span", "second", customer.name));
  row.append(name);
  numberCells(row, customer, CUSTOMER_COUNTS, places);
  row.addEventListener("click", () => openCustomer(customer.key));
  return row;
}

function showCustomers(customers) {
  const body = byId("customers");
  // Rebuilding the rows would drop the keyboard's place in the table.
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.key : null;
  const places = placesOfColumn(customers);
  body.replaceChildren(...customers.map((one) => customerRow(one, places)));
  for (const row of body.children) {
    if (row.dataset.key === focused) row.querySelector("button").focus();
  }
  markOpen();
}

function markOpen() {
  for (const row of byId("customers").children) {
    if (row.dataset.key === openKey) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

function eventRow(event, places) {
  const row = element("tr");
  const moment = new Date(event.time);
  const time = element("time", "", shortTimeFormat.format(moment));
  time.dateTime = event.time;
  time.title = timeFormat.format(moment);
  const timeCell = element("td", "time");
  timeCell.append(time);
  const from = [event.provider, event.operation].filter((one) => one !== null && one !== undefined).join(" ");
  const model = element("td", event.model === null ? "none" : "", event.model === null ? "unknown" : event.model);
  if (from) model.title = from;
  row.append(timeCell, element("td", "", event.name), model);
  numberCells(row, event, EVENT_COUNTS, places);
  return row;
}

async function openCustomer(key) {
  openKey = key;
  shownEvents = "";
  markOpen();
  await refreshDetail();
  byId("detail-title").focus();
}

function closeCustomer() {
  const row = [...byId("customers").children].find((one) => one.dataset.key === openKey);
  openKey = null;
  byId("detail").hidden = true;
  markOpen();
  row?.querySelector("button").focus();
}

async function refreshDetail() {
  const key = openKey;
  if (key === null) return;
  const response = await fetch(`/sandbox/events?customer=${encodeURIComponent(key)}`);
  const text = await response.text();
  if (key !== openKey || text === shownEvents) return;
  shownEvents = text;
  const { events } = JSON.parse(text);
  const row = [...byId("customers").children].find((one) => one.dataset.key === key);
  byId("detail-title").textContent = row ? row.querySelector("button").textContent : key;
  byId("detail-note").textContent = events.length ? "Newest events first" : "No events of this customer yet";
  const places = placesOfColumn(events);
  byId("events").replaceChildren(...events.map((one) => eventRow(one, places)));
  byId("detail").hidden = false;
}

function show(overview) {
  const { totals } = overview;
  const empty = totals.events === 0 && totals.customers === 0;
  byId("empty").hidden = !empty;
  byId("content").hidden = empty;
  showTotals(totals);
  showMinutes(overview.minutes);
  showModels(overview.models);
  showCustomers(overview.customers);
  setText(byId("announcement"), empty ? "No events yet" : `${whole(totals.events)} events, ${costOf(totals)}`);
}

function setConnection(state, text) {
  const node = byId("connection");
  node.dataset.state = state;
  setText(node, text);
}

async function refresh() {
  try {
    const response = await fetch("/sandbox/overview");
    const text = await response.text();
    if (!response.ok) throw new Error(`status ${response.status}`);
    if (text !== shownText) {
      shownText = text;
      show(JSON.parse(text));
      await refreshDetail();
    }
    setConnection("live", "Live");
  } catch {
    setConnection("lost", "The sandbox does not answer; trying again");
  }
  setTimeout(refresh, POLL_MS);
}

byId("how-to").textContent = `POLAR_ACCESS_TOKEN=polar_oat_sandbox\nPOLAR_BASE_URL=${location.origin}`;
byId("detail-close").addEventListener("click", closeCustomer);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && openKey !== null) closeCustomer();
});
refresh();
