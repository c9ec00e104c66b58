import { SignedOut, explain, hasEnded, mayAsBefore } from "./session.js";

// Keeps a page's parts as the server has them: one stream of server-sent events, opened while the page is in view.
const live = document.querySelector("[data-live]");
const notice = document.querySelector("[data-connection]");
const pulse = document.querySelector("[data-pulse]");
const SILENT = 6000; // milliseconds without news until the page says that it is not live
const AGAIN = 3000; // milliseconds between two looks whether somebody has signed in again
const AWAY = 60000; // milliseconds after which a reader who comes back is told that time has passed
let source = null;
let instance = null;
let heard = 0;
let opened = 0;
let gone = false;
let lost = false;
let retry = 0;
let waiting = 0;

document.documentElement.classList.add("with-scripts");
for (const box of [document]) localise(box);

function tell(text, kind = "") {
  if (!notice) return;
  notice.hidden = !text;
  notice.className = `notice ${kind}`;
  if (notice.textContent !== text) notice.textContent = text;
}

/** Times in the reader's own clock; the whole one is shown when it is pointed at. */
export function localise(box) {
  for (const time of box.querySelectorAll("time[data-clock]")) {
    const at = new Date(time.dateTime);
    const today = time.dataset.clock !== "date" && at.toDateString() === new Date().toDateString();
    time.textContent = today ? at.toLocaleTimeString([], { hour12: false }) : at.toLocaleString([], { hour12: false });
    time.title = at.toString();
  }
}

/** Replaces what an element holds; what had the focus has it again. */
function replace(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key ?? focused?.getAttribute("href");
  element.innerHTML = html;
  localise(element);
  if (!focused || !key) return;
  const again = [...element.querySelectorAll("a, button")].find((one) => one.dataset.key === key || one.getAttribute("href") === key);
  again?.focus();
}

function news(told) {
  const restarted = instance !== null && instance !== told.instance;
  const away = heard ? Date.now() - heard : 0;
  instance = told.instance;
  heard = Date.now();
  retry = 0;
  if (restarted) tell("The server was started again meanwhile. What you see now is current.");
  else if (away > AWAY) tell(`This page rested for ${Math.round(away / 60000)} min. What you see now is current; journals show what happened meanwhile.`);
  else if (lost) tell("Connected again. What you see now is current.");
  else if (notice?.classList.contains("bad")) tell("");
  if (restarted || lost || away > AWAY) setTimeout(() => !lost && tell(""), 15000);
  lost = false;
  live.removeAttribute("data-stale");
  if (told.whole !== null && live.hasAttribute("data-whole")) replace(live, told.whole);
  for (const [name, html] of Object.entries(told.parts)) {
    const part = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
    // What is the same is left alone: a status would be read out again.
    if (part && part.innerHTML !== html && part.told !== html) replace(part, html);
    if (part) part.told = html;
  }
  dispatchEvent(new CustomEvent("livenews", { detail: told }));
}

function lose(why) {
  if (gone) return;
  lost = true;
  live.setAttribute("data-stale", "");
  const since = heard ? ` The figures are those of ${new Date(heard).toLocaleTimeString([], { hour12: false })}.` : "";
  tell(`${why}${since} Trying again …`, "bad");
}

/** A stream that ends or cannot be opened may be one that nobody is signed in for. It goes on after the next login. */
async function checkSession() {
  if (!(await hasEnded())) return false;
  clearTimeout(waiting);
  waiting = setTimeout(() => checkSession().then((ended) => ended || open()), AGAIN);
  if (!notice) return true;
  const since = heard ? ` The figures are those of ${new Date(heard).toLocaleTimeString([], { hour12: false })}.` : "";
  notice.className = "notice bad";
  explain(notice, `Your session has ended: nothing is updated any more.${since}`, new SignedOut());
  return true;
}

function open() {
  close();
  if (gone || document.hidden) return;
  opened = Date.now();
  source = new EventSource(live.dataset.live);
  source.addEventListener("news", (event) => news(JSON.parse(event.data)));
  source.addEventListener("trouble", (event) => {
    opened = Date.now();
    lose(JSON.parse(event.data).message);
  });
  source.addEventListener("gone", (event) => {
    gone = true;
    close();
    live.setAttribute("data-stale", "");
    tell(`${JSON.parse(event.data).message}: it was deleted. What stands here is how it was last seen.`, "warn");
    dispatchEvent(new Event("livegone"));
  });
  source.addEventListener("renew", open);
  source.addEventListener("ended", async () => {
    close();
    lost = true;
    live.setAttribute("data-stale", "");
    if (await checkSession()) return;
    if (await mayAsBefore()) {
      setTimeout(open, 1000);
      return;
    }
    gone = true;
    tell("What you may do here was changed: load the page again.", "warn");
  });
  source.addEventListener("error", () => {
    close();
    if (document.hidden) return;
    retry = Math.min(retry + 1, 5);
    afterError();
  });
}

async function afterError() {
  if (retry > 1) {
    lost = true;
    if (await checkSession()) return;
    lose("The server does not answer; what is shown is from before, and nothing is known of the endpoints.");
  }
  setTimeout(open, 1000 * retry);
}

/** Follows another view of the page. */
export function follow(address) {
  live.dataset.live = address;
  open();
}

function close() {
  source?.close();
  source = null;
}

if (live) {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
  setInterval(() => {
    if (document.hidden || gone) return;
    const silent = Date.now() - Math.max(heard, opened);
    if (pulse) {
      pulse.hidden = false;
      pulse.textContent = heard && Date.now() - heard < SILENT && !lost ? "live" : "not live";
      pulse.classList.toggle("off", pulse.textContent !== "live");
    }
    // A machine that slept has a stream that nothing comes through.
    if (heard && silent > SILENT && source) {
      lose("No news from the server.");
      open();
    }
  }, 1000);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    // Not every browser lets a page write there, least of all beyond this machine: the text is marked instead.
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => (button.textContent = before), 2000);
});
