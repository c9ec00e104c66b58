// Requests of a page to its server: with the session's token, and what to say when the session has ended.
const meta = document.querySelector('meta[name="csrf"]');
const ENDED = ["SessionEnded", "MissingAuthenticationToken", "CrossSite"];

/** The server said no; the message is its own. */
export class Refused extends Error {}
/** Nothing was done, since nobody is signed in any more. */
export class SignedOut extends Refused {}

/** Like fetch. After a new login in another tab the request is sent once more, with the token of the new session. */
export async function send(path, options = {}) {
  const answer = await attempt(path, options);
  if (!meta || (answer.status !== 401 && answer.status !== 403)) return answer;
  const told = await answer.clone().json().catch(() => ({}));
  if (!ENDED.includes(told.error?.code)) return answer;
  const now = await present();
  if (now === null) throw new SignedOut("Your session has ended, and nothing was done.");
  if (now.csrf === meta.content) return answer;
  meta.content = now.csrf;
  if (now.name === meta.dataset.user) return attempt(path, options);
  const before = meta.dataset.user;
  meta.dataset.user = now.name;
  throw new Refused(`You are signed in as ${now.name} now, not as ${before}, and nothing was done. Press again to go on as ${now.name}.`);
}

/** The answer of the native API. Raises Refused with what it said; TypeError where there was no answer. */
export async function ask(path, options = {}) {
  const answer = await send(path, options);
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(told.error?.message ?? told.message ?? `status ${answer.status}`);
  return told;
}

/** Does something each time a form is sent, never twice at once. The name in it is the one that was given last. */
export function onSubmit(form, act) {
  const name = form.querySelector("#by");
  if (name) name.value = localStorage.getItem("tidegate-name") ?? "";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    act().finally(() => (button.disabled = false));
  });
}

/** Uploads a model file. The address of its data. */
export async function upload(file) {
  const name = file.name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "") || "model";
  const headers = { "content-type": "application/octet-stream" };
  return (await ask(`/tidegate/v1/uploads/${encodeURIComponent(name)}`, { method: "PUT", headers, body: file })).data;
}

/** Whether this page's session has ended; false where nobody signs in, and while the server does not answer. */
export async function hasEnded() {
  try {
    return meta !== null && (await present()) === null;
  } catch {
    return false;
  }
}

/** Whether whoever is signed in now may do what this page was made for: a session that ended may have been followed by another. */
export async function mayAsBefore() {
  try {
    return meta !== null && (await present())?.role === meta.dataset.role;
  } catch {
    return false;
  }
}

/** Says in an element what went wrong, with the way to the login if that is what is missing. */
export function explain(element, text, error) {
  element.hidden = !text;
  element.textContent = text;
  if (!(error instanceof SignedOut)) return;
  const link = document.createElement("a");
  Object.assign(link, { href: "/console/login", target: "_blank", rel: "noopener", textContent: "Sign in in a new tab" });
  element.append(" ", link, ", then come back here: what you entered is still there.");
}

function attempt(path, options) {
  const change = (options.method ?? "GET") !== "GET";
  const headers = { ...options.headers, ...(meta && change ? { "x-csrf-token": meta.content } : {}) };
  return fetch(path, { ...options, headers });
}

/** Who is signed in now; null: nobody. */
async function present() {
  const answer = await fetch("/console/session", { headers: { accept: "application/json" } });
  if (answer.status === 401 || answer.status === 403) return null;
  if (!answer.ok) throw new TypeError(`status ${answer.status}`);
  return answer.json();
}
