// One endpoint's page: commands to its rollout with a confirmation, one request by hand, and its logs.
import { confirmCommands, find, show } from "./confirmation.js";
import { Refused, ask, explain, send } from "./session.js";

const page = document.querySelector("[data-endpoint]");
const name = page.dataset.endpoint;
const api = `/tidegate/v1/endpoints/${encodeURIComponent(name)}`;

// --- commands ---
confirmCommands({
  attribute: "action",
  record: "journal",
  describe: ({ label, about, line }) => ({ title: `${label}: ${name}?`, about, line }),
  request: ({ command, body }) => ({ path: `${api}/${command.includes("/") ? command : `rollout/${command}`}`, body: JSON.parse(body) }),
  finish({ label }, told) {
    const done = find("done");
    show(done, "emptied" in told ? `${label}: ${told.emptied} requests were taken out.` : `${label}: accepted. Now: ${told.why || told.status}`);
    setTimeout(() => show(done, ""), 15000);
  },
  findObstacle({ key, command }) {
    if ([...document.querySelectorAll("[data-action]")].some((one) => one.dataset.key === key)) return "";
    const now = document.querySelector('[data-part="headline"]').textContent.replace(/\s+/g, " ").trim();
    const last = document.querySelector('[data-part="journal"] li span')?.textContent ?? "";
    return `This can no longer be done: ${command === "queue/empty" ? "nothing waits in the queue" : "the rollout went on meanwhile"}. Now: ${now}. Last in the journal: ${last}`;
  },
});

/** The command palette leads to a confirmation by the address, such as #do=pause-r-1. */
function openAsked() {
  const key = new URLSearchParams(location.hash.slice(1)).get("do");
  if (key === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  const button = [...document.querySelectorAll("[data-action]")].find((one) => one.dataset.key === key);
  if (button) button.click();
  else explain(find("done"), "That cannot be done now: the buttons on this page are what is possible.");
}
addEventListener("hashchange", openAsked);
openAsked();

// --- one request by hand ---
/** The message of an error of the invocations API, which is the model's own where it has one; null for another body. */
function readFault(text) {
  try {
    const told = JSON.parse(text);
    const message = told.OriginalMessage || told.Message || told.message || told.error?.message;
    return message ? { message, whole: JSON.stringify(told, null, 2) } : null;
  } catch {
    return null;
  }
}

const form = find("invoke");
if (form) {
  const kept = `tidegate-sample-${name}`;
  const body = form.querySelector("#body");
  const kind = form.querySelector("#content-type");
  const model = form.querySelector("#target-model");
  const before = JSON.parse(localStorage.getItem(kept) ?? "null");
  if (before) [body.value, kind.value] = [before.body, before.kind];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    const box = find("answer");
    button.disabled = true;
    try {
      localStorage.setItem(kept, JSON.stringify({ body: body.value, kind: kind.value }));
    } catch {
      // A large body need not be kept.
    }
    const began = performance.now();
    try {
      const headers = { "content-type": kind.value };
      if (model) headers["x-amzn-sagemaker-target-model"] = model.value;
      const answer = await send(`${api}/invoke`, { method: "POST", headers, body: body.value });
      const text = await answer.text();
      const took = Math.round(performance.now() - began);
      const by = answer.headers.get("x-amzn-invoked-production-variant");
      const config = answer.headers.get("x-tidegate-config");
      const line = document.createElement("p");
      line.className = `notice ${answer.ok ? "" : "bad"}`;
      line.textContent = `Status ${answer.status} after ${took} ms${by ? `, by variant ${by}` : ""}${config ? ` of ${config}` : ""}`;
      const fault = answer.ok ? null : readFault(text);
      if (fault) line.textContent += `: ${fault.message}`;
      const shown = document.createElement("pre");
      shown.tabIndex = 0;
      shown.setAttribute("aria-label", "The answer");
      shown.textContent = text.length > 20000 ? `${text.slice(0, 20000)}\n… ${text.length} characters in all` : (fault?.whole ?? text);
      box.replaceChildren(line, shown);
    } catch (error) {
      const line = document.createElement("p");
      line.className = "notice bad";
      explain(line, error instanceof Refused ? error.message : "There was no answer: the connection was lost.", error);
      box.replaceChildren(line);
    } finally {
      button.disabled = false;
    }
  });
}

// --- logs ---
const logs = find("logs");
const log = find("log");
const searched = find("searched");
const replica = document.querySelector("#replica");
const wanted = document.querySelector("#find");
let asked = 0;
let waiting = 0;

/** Characters of their ids, 10 at least, by which instances are told apart: those begun together begin alike. */
function tellApart(ids) {
  const longest = Math.max(...ids.map((id) => id.length));
  let length = 10;
  while (length < longest && new Set(ids.map((id) => id.slice(0, length))).size < new Set(ids).size) length += 1;
  return length;
}

/** As the line says, or no later than the log was written last. */
function showTime(line) {
  if (!line.at) return "".padEnd(9);
  const clock = new Date(line.at).toLocaleTimeString([], { hour12: false });
  return `${line.at_of === "last write" ? "<" : " "}${clock}`;
}

async function readLogs() {
  const mine = ++asked;
  try {
    const query = new URLSearchParams({ limit: 300, find: wanted.value, replica: replica.value });
    const told = await ask(`${api}/logs/lines?${query}`);
    if (mine !== asked) return; // another search was begun meanwhile
    const names = ["", ...told.replicas.map((one) => one.replica)];
    if (names.join() !== [...replica.options].map((one) => one.value).join()) {
      const before = replica.value;
      const options = told.replicas.map((one) => new Option(`${one.variant}, version ${one.generation}: ${one.replica}`, one.replica));
      replica.replaceChildren(new Option("all, by time", ""), ...options);
      replica.value = names.includes(before) ? before : "";
    }
    const length = tellApart(names);
    const text = told.lines.map((one) => `${showTime(one)} ${one.replica.slice(0, length)} | ${one.line}`).join("\n");
    const about = `${told.lines.length} of ${told.matching} lines${wanted.value ? " that have it" : ""}, of ${told.searched} that were searched.${told.unread ? ` ${told.unread} older logs were not read: the newer ones are too long together.` : ""} A < before a time: no later than that.`;
    if (searched.textContent !== about) searched.textContent = about;
    const shown = text || (wanted.value ? "No line has that." : "Nothing was written yet.");
    if (log.textContent === shown) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
    log.textContent = shown;
    if (atEnd) log.scrollTop = log.scrollHeight;
  } catch (error) {
    if (mine === asked) searched.textContent = error instanceof Refused ? error.message : "The server does not answer.";
  }
}
logs.addEventListener("toggle", () => logs.open && readLogs());
replica.addEventListener("change", readLogs);
wanted.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(readLogs, 300);
});
setInterval(() => logs.open && !document.hidden && find("follow").checked && readLogs(), 2000);
