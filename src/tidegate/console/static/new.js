// A new endpoint: the form as a spec to the native API, and then a link to the endpoint.
import { ask, explain, onSubmit, upload } from "./session.js";

const form = document.querySelector("[data-new-endpoint]");
const progress = document.querySelector("[data-progress]");
const value = (id) => form.querySelector(`#${id}`)?.value.trim() ?? "";

function say(text, kind = "", error = null) {
  const line = document.createElement("p");
  line.className = `notice ${kind}`;
  explain(line, text, error);
  progress.replaceChildren(line);
}

/** The spec of what the form says. */
function writeSpec(data) {
  const strategy = value("strategy");
  const steps = { canary: { size: "10%", wait: value("wait") }, linear: { step: "25%", size: "25%", wait: value("wait") }, all_at_once: {} }[strategy];
  const alarms = { errors: { metric: "Invocation5XXErrors", statistic: "average", above: `${value("errors")}%` } };
  if (value("slow")) alarms.slow = { metric: "ModelLatency", statistic: "p99", above: `${value("slow")}ms` };
  const rollout = { strategy, ...steps, alarms: Object.keys(alarms) };
  return { endpoint: value("endpoint"), model: { data }, instances: Number(value("instances")), rollout, alarms };
}

async function deploy() {
  const file = form.querySelector("#model-file").files[0];
  const typed = value("model-data");
  if (Boolean(file) === Boolean(typed)) throw new Error("Choose a model file or give an address: one of the two.");
  say(file ? `Uploading ${file.name} …` : "Deploying …");
  const spec = writeSpec(file ? await upload(file) : typed);
  const by = value("by");
  if (by) localStorage.setItem("tidegate-name", by);
  const shown = document.querySelector("[data-spec]");
  shown.hidden = false;
  shown.querySelector("pre").textContent = JSON.stringify(spec, null, 2);
  const body = JSON.stringify({ spec, by });
  const done = await ask("/tidegate/v1/deploy", { method: "PUT", headers: { "content-type": "application/json" }, body });
  say(`${done.message} `);
  const link = document.createElement("a");
  Object.assign(link, { href: `/console/endpoints/${encodeURIComponent(spec.endpoint)}`, textContent: `Open ${spec.endpoint}` });
  progress.firstChild.append(link);
}

if (form) onSubmit(form, () => deploy().catch((error) => say(error.message, "bad", error)));
