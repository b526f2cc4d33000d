// The status page: asks every few seconds, and says when it cannot. Text of strangers is only ever text.

import { showSpend } from "./chart.js";
import { byId, bytes, duration, element, moment, number, rate, row, rowHead, setText, whole, withCode } from "./elements.js";

const POLL_MS = 3000;
const COUNTING_MS = 1000;
const PATIENCE_MS = 10000;

let shown = null;
let shownSince = 0;
const drawn = new Map();

// What has not changed stays: its focus, its scroll position, what is selected in it.
function draw(part, values, show) {
  const text = JSON.stringify(values);
  if (drawn.get(part) === text) return;
  drawn.set(part, text);
  show();
}

function chosen(name) {
  return document.querySelector(`input[name="${name}"]:checked`).value;
}

function rateOf(status, name) {
  return status.rates.calls.find((one) => one.name === name) ?? { per_minute: 0, per_minute_longer: 0, total: 0 };
}

function totalsOf(status) {
  const { backlog, polar } = status;
  const states = Object.entries(backlog.states);
  const held = states.filter(([state]) => state.startsWith("held:")).reduce((total, [, count]) => total + count, 0);
  const known = backlog.waiting !== null;
  const polarWords = { answers: "answers", fails: "fails", unknown: "not asked yet" };
  return [
    ["Waiting", known ? whole(backlog.waiting) : "…", known && backlog.waiting ? `oldest ${duration(backlog.oldest_age_s)}` : "for Polar", ""],
    ["Polar", polarWords[polar.state], polarNote(status), { answers: "good", fails: "bad" }[polar.state] ?? ""],
    ["In", rate(rateOf(status, "in").per_minute), "calls a minute", ""],
    ["Sent", rate(rateOf(status, "sent").per_minute), "events a minute", ""],
    ["Held", known ? whole(held) : "…", "see below why", held ? "warned" : ""],
    ["Rejected", known ? whole(backlog.states.rejected ?? 0) : "…", "by Polar, for good", backlog.states.rejected ? "warned" : ""],
  ];
}

function polarNote({ polar, at }) {
  if (polar.in_flight) return `a request with ${whole(polar.in_flight)} events`;
  if (polar.last_success_at === null) return "took nothing yet";
  const ago = Math.max(0, at - polar.last_success_at);
  return ago < 60 ? "took events just now" : `took events ${duration(ago)} ago`;
}

function showTotals(totals) {
  byId("totals").replaceChildren(
    ...totals.map(([label, value, note, className]) => {
      const box = element("div");
      box.append(element("dt", "", label), element("dd", className, value), element("dd", "note", note));
      return box;
    }),
  );
}

function showAttention(found) {
  byId("attention").replaceChildren(
    ...found.map((one) => {
      const item = element("li", one.level);
      item.append(element("strong", "", one.level === "error" ? "Error: " : "Attention: "), element("span", "", one.text));
      return item;
    }),
  );
}

function showHeld(held, isKnown) {
  byId("held-scroller").hidden = !held.length;
  setText("held-note", held.length ? "Nobody is billed for these calls until a person decides, or a price is known" : isKnown ? "None" : "Looking");
  byId("held").replaceChildren(
    ...held.map((one) => {
      const why = element("td", "why");
      why.append(element("strong", "", one.reason));
      for (const example of one.examples) {
        if (example.text === one.reason) continue;
        const times = example.count > 1 ? ` (${whole(example.count)})` : "";
        const line = element("span", "second");
        line.append(element("bdi", "", example.text), times);
        why.append(line);
      }
      const head = rowHead();
      head.append(element("span", one.state === "rejected" ? "badge bad" : "badge", one.state));
      return row(head, number(whole(one.count)), why, withCode(element("td", "what"), one.what_to_do));
    }),
  );
}

const CALLS = {
  in: "recorded",
  sent: "sent to Polar",
  duplicate: "another span of a known call",
  held: "held",
  rejected: "rejected by Polar",
  "not billed": "spans that are no call to bill",
  lost: "lost",
  dropped: "dropped, for nobody pays",
  forgotten: "forgotten after retention_days",
};
const ALWAYS_SHOWN = ["in", "sent", "duplicate", "held", "rejected"];

function showRates(rates) {
  setText("longer-title", `Over ${duration(Math.max(1, rates.over_s))}`);
  setText("rates-note", "A minute: the last minute, and a longer time on average. In all: since this process began");
  byId("rates").replaceChildren(
    ...rates.calls.filter((one) => one.total || ALWAYS_SHOWN.includes(one.name)).map((one) => {
      const isLost = one.name === "lost" && one.total > 0;
      return row(
        rowHead(CALLS[one.name] ?? one.name),
        number(rate(one.per_minute)),
        number(rate(one.per_minute_longer)),
        number(whole(one.total), isLost ? "bad" : ""),
      );
    }),
  );
}

function showReceivers(receivers) {
  const rows = receivers.map((one) => row(rowHead(one.name), number(rate(one.per_minute)), number(whole(one.total))));
  byId("receivers").replaceChildren(...(rows.length ? rows : [row(element("td", "none", "Nothing is counted"))]));
}

function showLog(lines, polar) {
  const notes = [];
  if (polar.trouble !== null) {
    const over = polar.state === "fails" ? "" : ", and takes events again";
    notes.push(`Polar's last trouble, ${moment(polar.trouble_at)}${over}: ${polar.trouble}`);
  }
  if (!lines.length) notes.push("None since this process began");
  setText("log-note", notes.join(". "));
  byId("log").replaceChildren(
    ...lines.map((one) => {
      const item = element("li", one.level === "warning" ? "" : "error");
      const head = element("p", "second");
      const times = one.count > 1 ? `, ${whole(one.count)} times since ${moment(one.first_at)}` : "";
      head.append(element("strong", "", one.level), ` ${moment(one.last_at)}${times}`);
      item.append(head, element("p", "text", one.text));
      return item;
    }),
  );
}

function showEnds(ends) {
  setText("ends-note", ends.length ? "What became of calls and spans since this process began, by reason" : "No call yet");
  byId("ends").replaceChildren(
    ...ends.map((one) => row(rowHead(one.outcome), element("td", "why", one.reason ?? ""), number(whole(one.count)))),
  );
}

function show(status) {
  const { backlog, spend } = status;
  byId("content").hidden = false;
  byId("server").hidden = false;
  setText("server", status.server);
  const [by, scale] = [chosen("by"), chosen("scale")];
  const totals = totalsOf(status);
  draw("attention", status.attention, () => showAttention(status.attention));
  draw("totals", totals, () => showTotals(totals));
  draw("spend", [spend, by, scale], () => showSpend(spend, by, scale));
  draw("held", [status.held, backlog.waiting === null], () => showHeld(status.held, backlog.waiting !== null));
  draw("rates", status.rates, () => showRates(status.rates));
  draw("receivers", status.receivers, () => showReceivers(status.receivers));
  draw("log", [status.log, status.polar.trouble_at, status.polar.state], () => showLog(status.log, status.polar));
  draw("ends", status.ends, () => showEnds(status.ends));
  const disk = backlog.bytes_on_disk === null ? "" : `, ${bytes(backlog.bytes_on_disk)} on disk`;
  setText("footer", `otel-polar ${status.version}, running since ${moment(status.started_at)}${disk}. This process only.`);
}

function setConnection(state, text) {
  byId("connection").dataset.state = state;
  setText("connection-text", text);
}

function showAge() {
  const seconds = Math.floor((performance.now() - shownSince) / 1000);
  setText("age", shown === null ? "" : seconds < POLL_MS / 1000 + 2 ? "and up to date" : `what is shown is ${duration(seconds)} old`);
}

async function refresh() {
  try {
    const response = await fetch("/status.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.status === 401 || response.status === 403) {
      setConnection("lost", "You are not signed in any more; reload the page");
    } else if (response.ok) {
      shown = await response.json();
      shownSince = performance.now();
      show(shown);
      setConnection("live", "Live");
    } else {
      setConnection("lost", `The service answers with an error (${response.status}); trying again`);
    }
  } catch {
    setConnection("lost", "The service cannot be reached; trying again");
  }
  showAge();
  setTimeout(refresh, shown !== null && !shown.spend.is_complete ? COUNTING_MS : POLL_MS);
}

for (const input of document.querySelectorAll("input[type=radio]")) {
  input.addEventListener("change", () => shown !== null && show(shown));
}
setInterval(showAge, 1000);
refresh();
