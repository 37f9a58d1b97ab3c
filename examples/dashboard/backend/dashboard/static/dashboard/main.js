/* The page: puts what the socket says into the document, and what the user does into the socket. */

import { Presence } from "./presence.js";
import { LiveSocket, claims } from "./socket.js";
import { Sparkline } from "./sparkline.js";

const POLL = 3_000;
const PATIENCE = 12_000;
const FEED_LENGTH = 200;
const TOKEN_KEY = "dashboard.token";

const $ = (id) => document.getElementById(id);
const show = (id, text) => {
  // Only real changes: a screen reader reads what is written into a live region.
  if ($(id).textContent !== text) $(id).textContent = text;
};
const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

const rttChart = new Sparkline($("rtt-chart"), { label: "Round trip", unit: "ms", floor: 5 });
const loadChart = new Sparkline($("load-chart"), { label: "Host load", unit: "", floor: 0.5 });
const presence = new Presence({ ask: () => socket.send({ type: "census" }), onChange: showPresence });
const socket = new LiveSocket("/ws/dashboard/", { onState: showState, onMessage: take });

let user = "";
let thisProcess = "";
let retryAt = null;
let answeredAt = null;
let echo = null;

// ---- the token

/** The token from the page's address, which it is removed from, or from this tab's memory. */
function findToken() {
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const given = url.searchParams.get("token") ?? fragment.get("token");
  if (given !== null) {
    url.searchParams.delete("token");
    fragment.delete("token");
    url.hash = fragment.toString();
    history.replaceState(null, "", url);
    return given;
  }
  return sessionStorage.getItem(TOKEN_KEY) ?? "";
}

function useToken(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
  user = String(claims(token).sub ?? "");
  show("user", user && `Signed in as ${user}`);
  $("token-form").hidden = true;
  socket.start(token);
}

function askForToken() {
  $("token-form").hidden = false;
  $("token").value = "";
  $("token").focus();
}

// ---- the connection's state

const HEADLINES = {
  idle: ["Not connected", "Not connected"],
  connecting: ["Connecting…", "Connecting"],
  open: ["Connected", "Live"],
  waiting: ["Disconnected", "Reconnecting"],
  stopped: ["Could not connect", "Stopped"],
};

function showState({ state, code, reason, retryAt: at }) {
  const [headline, pill] = HEADLINES[state];
  document.body.dataset.state = state;
  document.title = state === "open" ? "Dashboard" : `${pill} – Dashboard`;
  show("state", headline);
  show("pill", pill);
  if (state === "open") {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    show("detail", `Live over ${scheme}://${location.host}`);
  } else if (reason) {
    show("detail", reason);
  } else if (state === "idle") {
    show("detail", "Paste a token to connect.");
  }
  if (code !== undefined) show("last-close", `${code} at ${new Date().toLocaleTimeString()}`);
  retryAt = at ?? null;
  countDown();
  $("reconnect").hidden = state !== "waiting" && state !== "stopped";
  show("reconnect", state === "stopped" ? "Try again" : "Reconnect now");
  $("change-token").hidden = state === "idle" || state === "stopped";
  $("text").disabled = $("send").disabled = state !== "open";
  if (state === "stopped") askForToken();
  if (state === "open") {
    answeredAt = performance.now();
    echo = null;
    presence.census();
    poll();
  }
}

function countDown() {
  $("countdown").hidden = retryAt === null;
  if (retryAt === null) return;
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  show("countdown", seconds > 1 ? `Next attempt in ${seconds} s` : "Next attempt now");
}

// ---- what the server says

function take(message) {
  answeredAt = performance.now();
  if (message.type === "status") showStatus(message);
  else if (message.type === "echo") showEcho(message);
  else if (message.type === "presence") presence.heard(nameOf(message), message.connections);
  else if (message.type === "message") addToFeed(message);
  else if (message.type === "error") addToFeed({ problem: true, text: message.message });
}

function duration(seconds) {
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"]];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

// Processes on two hosts of a fleet have the same names. A release from before a deploy may not say its host.
function nameOf({ host, process }) {
  return host ? `${process} on ${host}` : process;
}

function showStatus({ load, cores, memory_percent: memory, uptime_seconds: uptime, ...rest }) {
  const process = nameOf(rest);
  if (thisProcess !== process) {
    thisProcess = process;
    showPresence(presence.processes);
  }
  show("process", process);
  show("uptime", duration(uptime));
  show("load", load[0].toFixed(2));
  show("cores", `on ${plural(cores, "core", "cores")}`);
  show("load-note", `5 min ${load[1].toFixed(2)} · 15 min ${load[2].toFixed(2)}`);
  loadChart.push(load[0]);
  show("memory", memory === undefined ? "" : memory.toFixed(0));
  show("memory-note", memory === undefined ? "Not known on this host" : "Of the host that serves you");
  $("memory-meter").hidden = memory === undefined;
  $("memory-meter").setAttribute("aria-valuenow", memory ?? 0);
  $("memory-bar").style.width = `${memory ?? 0}%`;
  $("memory-bar").classList.toggle("high", memory > 85);
}

function showEcho({ text }) {
  if (text !== echo?.text) return;
  const took = performance.now() - echo.sentAt;
  echo = null;
  rttChart.push(Number(took.toFixed(1)));
  show("rtt", took.toFixed(took < 100 ? 1 : 0));
  show("rtt-note", `Median ${rttChart.median} ms`);
}

function showPresence(processes) {
  const total = processes.reduce((sum, { connections }) => sum + connections, 0);
  show("connections", processes.length ? String(total) : "");
  show("processes", `in ${plural(processes.length, "process", "processes")}`);
  $("presence").replaceChildren(
    ...processes.map(({ process, connections }) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = name.title = process;
      item.classList.toggle("self", process === thisProcess);
      item.append(name, String(connections));
      return item;
    }),
  );
}

// ---- messages

function addToFeed({ text, from, at, problem = false }) {
  const feed = $("feed");
  const atEnd = feed.scrollHeight - feed.scrollTop - feed.clientHeight < 40;
  const item = document.createElement("li");
  item.classList.toggle("own", from === user && !problem);
  item.classList.toggle("problem", problem);
  if (!problem) {
    const meta = document.createElement("p");
    const name = document.createElement("b");
    const time = document.createElement("time");
    meta.className = "meta";
    name.textContent = from === user ? "You" : from;
    time.dateTime = at;
    time.textContent = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    meta.append(name, time);
    item.append(meta);
  }
  const body = document.createElement("p");
  body.className = "text";
  body.textContent = text;
  item.append(body);
  feed.append(item);
  while (feed.children.length > FEED_LENGTH) feed.firstChild.remove();
  if (atEnd) feed.scrollTop = feed.scrollHeight;
}

// ---- what happens by itself and by the user

/** Ask for the status and measure an echo. The server says nothing unless it is asked. */
function poll() {
  if (document.hidden || !socket.send({ type: "status" })) return;
  echo = { text: `ping ${crypto.getRandomValues(new Uint32Array(1))[0]}`, sentAt: performance.now() };
  socket.send({ type: "echo", text: echo.text });
}

setInterval(() => {
  if (document.body.dataset.state !== "open") return;
  if (!document.hidden && performance.now() - answeredAt > PATIENCE) socket.abandon();
  presence.tick();
  poll();
}, POLL);
setInterval(countDown, 250);

document.addEventListener("visibilitychange", () => {
  // What was not asked for while hidden was not answered either.
  answeredAt = performance.now();
  poll();
});
window.addEventListener("online", () => {
  if (document.body.dataset.state === "waiting") socket.retryNow();
});
$("reconnect").addEventListener("click", () => {
  $("token-form").hidden = true;
  socket.retryNow();
});
$("change-token").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN_KEY);
  socket.stop();
  askForToken();
});
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken($("token").value.trim());
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text && socket.send({ type: "message", text })) $("text").value = "";
});

const token = findToken();
if (token) useToken(token);
else askForToken();
