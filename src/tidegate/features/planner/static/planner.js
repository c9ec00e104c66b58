import { ask, explain, onSubmit, upload } from "./session.js";

// "Deploy it here": the plan's spec with the model's address to the native API, then the journal as it comes.
const form = document.querySelector("[data-deploy-form]");
if (form) {
  form.hidden = false;
  onSubmit(form, deploy);
}

const journal = document.querySelector("[data-deploy-journal]");
const progress = document.querySelector("[data-deploy-progress]");

function say(text, kind = "", error = null) {
  const line = document.createElement("p");
  line.className = `notice ${kind}`;
  explain(line, text, error);
  progress.append(line);
}

/** A request with a JSON body. */
const put = (method, path, body) => ask(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** Addresses of the model data: of the file that was chosen, once it is uploaded, else as they were typed. */
async function modelData() {
  const file = form.querySelector("input[type=file]")?.files[0];
  const typed = form.querySelector("textarea").value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (file && typed.length) throw new Error("Give an address or a file, not both.");
  if (!file && !typed.length) throw new Error("Say where the model data is, or choose a file.");
  if (!file) return typed;
  say(`Uploading ${file.name} …`);
  return [await upload(file)];
}

async function deploy() {
  progress.replaceChildren();
  journal.replaceChildren();
  try {
    const answers = JSON.parse(document.getElementById("deploy-answers").textContent);
    const models = await modelData();
    const { spec } = await put("POST", "/tidegate/v1/plan", { answers, models });
    const before = await standing(spec.endpoint);
    if (form.querySelector("#by")) localStorage.setItem("tidegate-name", form.querySelector("#by").value.trim());
    const by = form.querySelector("#by")?.value.trim() ?? "";
    const done = await put("PUT", "/tidegate/v1/deploy", { spec, by });
    say(done.message);
    await follow(spec.endpoint, before);
  } catch (error) {
    say(error.message, "bad", error);
  }
}

/** What the journal has after a line of it, shown; the line it has come to. */
async function news(name, after) {
  const path = `/tidegate/v1/endpoints/${encodeURIComponent(name)}/events?after=${after}&limit=200`;
  const { events, next } = await ask(path);
  for (const event of events) {
    const line = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = new Date(event.at).toLocaleTimeString();
    line.append(time, Object.assign(document.createElement("span"), { textContent: event.message }));
    journal.append(line);
  }
  journal.hidden = journal.childElementCount === 0;
  if (events.length) journal.scrollTop = journal.scrollHeight;
  return next;
}

/** Where the journal of an endpoint stands; 0 where there is none yet. */
async function standing(name) {
  const { endpoints } = await ask("/tidegate/v1/endpoints");
  if (!endpoints.some((endpoint) => endpoint.name === name)) return 0;
  for (let after = 0; ; ) {
    const { events, next } = await ask(`/tidegate/v1/endpoints/${encodeURIComponent(name)}/events?after=${after}&limit=1000`);
    if (!events.length) return after;
    after = next;
  }
}

async function follow(name, before) {
  const bar = document.createElement("p");
  bar.className = "stat";
  progress.append(bar);
  let after = before;
  for (;;) {
    after = await news(name, after);
    const endpoint = await ask(`/tidegate/v1/endpoints/${encodeURIComponent(name)}`);
    const rollout = endpoint.rollout;
    bar.textContent = rollout ? `${endpoint.status}: ${rollout.phase}, stage ${rollout.stage} of ${rollout.stages}, ${rollout.share.now} % new` : endpoint.status;
    if (!rollout && endpoint.status !== "Creating" && endpoint.status !== "Updating") {
      say(`${endpoint.status}: ${endpoint.why}`, endpoint.status === "InService" ? "" : "bad");
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
