import { Refused, ask, explain } from "./session.js";

// Starts and stops a live challenge by the native API; what happens then comes by the page's stream.
const problem = document.querySelector("[data-problem]");
const who = document.querySelector("#by"); // where nobody signs in
if (who) who.value = localStorage.getItem("tidegate-name") ?? "";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-challenge]");
  if (!button || button.disabled) return;
  button.disabled = true;
  explain(problem, "");
  const path = `/tidegate/v1/challenges/${encodeURIComponent(button.dataset.challenge)}${"stops" in button.dataset ? "/stop" : ""}`;
  try {
    const name = who?.value.trim() ?? "";
    if (who) localStorage.setItem("tidegate-name", name);
    const body = JSON.stringify({ ...(name ? { by: name } : {}), ...(button.dataset.run ? { run: button.dataset.run } : {}), reason: "from the page of the challenges" });
    await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body });
  } catch (error) {
    const said = error instanceof Refused ? error.message : "The server did not answer; the page shows what became of it once the server is there again.";
    explain(problem, said, error);
    button.disabled = false;
  }
});
