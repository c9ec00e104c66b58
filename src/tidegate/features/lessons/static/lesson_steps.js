// The steps of a lesson, each with a confirmation. What is done is told by the page's stream alone.
import { confirmCommands, find } from "./confirmation.js";

const bake = document.querySelector("#bake");

confirmCommands({
  attribute: "step",
  record: "page",
  describe({ label, about, line, step }) {
    find("bake").hidden = bake.disabled = step !== "train";
    return { title: `${label}?`, about, line };
  },
  request({ lesson, step, run }) {
    const body = { run, ...(step === "train" ? { bake: Number(bake.value) } : {}) };
    return { path: `/tidegate/v1/lessons/${lesson}/${step}`, body };
  },
  findObstacle({ step, run }) {
    const there = [...document.querySelectorAll("[data-step]")].some((one) => one.dataset.step === step && one.dataset.run === run);
    return there ? "" : "This can no longer be done: somebody else did it, or the lesson went on meanwhile.";
  },
});
