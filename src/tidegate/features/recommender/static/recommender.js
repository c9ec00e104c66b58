import { ask, explain } from "./session.js";

// Starts and stops recommendation jobs by the native API; progress comes by the page's stream.
const form = document.querySelector("[data-recommend]");
const problem = document.querySelector("[data-problem]");

/** A request with a body, which is JSON where nothing else is said. */
const put = (method, path, body, kind = "application/json") => ask(path, { method, headers: { "content-type": kind }, body });

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const value = (id) => form.querySelector(`#${id}`).value.trim();
  button.disabled = true;
  explain(problem, "");
  try {
    if (Boolean(value("rows")) === Boolean(value("sample"))) throw new Error("Give rows or the address of a sample, and not both.");
    let sample = value("sample");
    if (!sample) {
      const name = value("kind") === "text/csv" ? "rows.csv" : "rows.jsonl";
      sample = (await put("PUT", `/tidegate/v1/uploads/${name}`, `${value("rows")}\n`, "application/octet-stream")).data;
    }
    const limits = { percent: Number(value("percent")), latency: Number(value("within")) / 1000, seconds: 60 * Number(value("minutes")) };
    const made = await put("POST", "/tidegate/v1/recommendations", JSON.stringify({ model: value("model"), sample, content_type: value("kind"), limits }));
    location.assign(`/console/recommender/${encodeURIComponent(made.job)}`);
  } catch (error) {
    explain(problem, error.message, error);
    button.disabled = false;
  }
});

document.querySelector("[data-stop]")?.addEventListener("click", async (event) => {
  const button = event.currentTarget;
  button.disabled = true;
  try {
    await put("POST", `/tidegate/v1/recommendations/${encodeURIComponent(button.dataset.stop)}/stop`, "{}");
    button.textContent = "Stopping …";
  } catch (error) {
    explain(problem, error.message, error);
    button.disabled = false;
  }
});

addEventListener("livenews", () => {
  const button = document.querySelector("[data-stop]");
  if (button && document.querySelector("[data-ended]")) button.parentElement.hidden = true;
});
