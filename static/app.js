// What HTMX leaves to us: silence in hidden tabs, the viewer's own time, and news for idle pages.
"use strict";

const region = () => document.querySelector("#runs, #run");
const refresh = () => region()?.dispatchEvent(new CustomEvent("refresh"));

// A hidden tab asks for nothing, and neither does a list in which runs are selected; a form that its reader sends is
// no poll and always goes.
const picked = () => document.querySelectorAll("#runs [name=pick]:checked").length;
document.addEventListener("htmx:config:request", (event) => {
  if (event.target !== region()) return;
  if (document.hidden || picked()) event.preventDefault();
  event.detail.ctx.asked = event.target.getAttribute("hx-get");
});

// An answer may come when something else is asked by now: a filter was chosen, or a call is typed in the other way.
document.addEventListener("htmx:before:swap", (event) => {
  const { asked, request, sourceElement } = event.detail.ctx;
  const mode = sourceElement.id === "call-body" && sourceElement.querySelector("[name=mode]").value;
  const late = asked && sourceElement.getAttribute("hx-get") !== asked;
  if (late || (mode && request.body.get("mode") !== mode)) event.preventDefault();
});

// The server is away: say so once, and take it back with the first answer.
const lost = (away) => { document.getElementById("lost").hidden = !away; };
document.addEventListener("htmx:error", () => lost(true));
document.addEventListener("htmx:after:request", (event) => lost(event.detail.ctx.response.status >= 500));

// Times come in UTC and are written in the viewer's zone; the exact UTC time stays in the title. What is typed is read
// in the zone that its form sends: the one that came with the page, else the viewer's.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit" });

function spell(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  if (document.hidden) return;
  const now = new Date();
  for (const element of document.querySelectorAll("time[datetime]")) {
    const then = new Date(element.dateTime);
    const today = then.toDateString() === now.toDateString();
    write(element, today ? clock.format(then) : `${day.format(then)} ${clock.format(then)}`);
  }
  for (const element of document.querySelectorAll("[data-since], [data-until]")) {
    const { since, until } = element.dataset, seconds = (now - new Date(since || until)) / 1000;
    write(element, spell(Math.max(0, until ? -seconds : seconds)));
  }
  for (const element of document.querySelectorAll(".zone")) write(element, zone);
  for (const sent of document.querySelectorAll("[data-zone]")) {
    sent.value ||= zone;
    sent.form.querySelectorAll(".typed-zone").forEach((element) => write(element, sent.value));
  }
}

// An idle page keeps one answer open in which the server says that something has changed; no polling.
let news = null, heard = {};

const forget = () => { news?.close(); news = null; };
function listen() {
  const address = document.hidden ? null : region()?.dataset.news;
  if (!address) forget();
  else if (!news) {
    const url = new URL(address, location.href);
    if (heard.address === address) url.searchParams.set("since", heard.stamp);
    news = new EventSource(url);
    // Closed for good: the server has no place for an open answer. So the page asks, though seldom.
    const later = (closed) => setTimeout(() => { if (news === closed) forget(), refresh(); }, 5000);
    news.onerror = ({ target }) => target.readyState === EventSource.CLOSED && later(target);
    news.addEventListener("change", (event) => {
      heard = { address, stamp: event.data };
      forget(), refresh();
    });
  }
}

function back() {
  if (document.hidden) return listen();
  refresh();
  tick();
}

document.addEventListener("visibilitychange", back);
window.addEventListener("focus", back);
document.addEventListener("htmx:after:swap", (event) => {
  // A morph leaves what was typed; after a form's answer the fields show what the server gave back.
  if (event.detail.ctx.sourceElement.id === "launch") document.getElementById("launch").reset();
  tick();
});
setInterval(() => { tick(); listen(); }, 1000);
document.documentElement.classList.add("scripted");
tick(), listen();
