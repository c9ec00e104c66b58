// Plays the moments that the server computed. It draws; it decides nothing.
import { stepChart } from "/console/static/charts.js";

const source = document.getElementById("outcome");
if (source) show(JSON.parse(source.textContent));

function show(outcome) {
  const { moments, seconds, instances } = outcome;
  const find = (name) => document.querySelector(`[data-${name}]`);
  const slider = find("slider");
  const play = find("play");
  find("player").hidden = false;

  function units(box, ready) {
    box.replaceChildren(
      ...Array.from({ length: Math.max(instances, ready) }, (_, number) => {
        const unit = document.createElement("span");
        unit.className = number < ready ? "unit" : "unit away";
        return unit;
      }),
    );
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${ready} of ${instances} instances ready`);
  }

  function at(time) {
    let now = moments[0];
    for (const moment of moments) if (moment.at <= time) now = moment;
    const share = now.share;
    find("old").style.width = `${100 - share}%`;
    find("new").style.width = `${share}%`;
    find("old").textContent = share < 88 ? `old ${100 - share} %` : "";
    find("new").textContent = share > 12 ? `new ${share} %` : "";
    find("split").setAttribute("aria-label", `old version ${100 - share} %, new version ${share} % of the requests`);
    units(find("units-old"), now.old);
    units(find("units-new"), now.new);
    find("phase").textContent = `${now.phase}: ${now.said.at(-1) ?? ""}`;
    find("clock").textContent = clock(time);
    for (const line of document.querySelectorAll(".journal li")) {
      const past = Number(line.dataset.at) <= time;
      line.classList.toggle("past", past);
      line.classList.toggle("ahead", !past);
    }
    chart?.mark(time);
  }

  const chart = stepChart(
    document.querySelector('[data-chart="shares"]'),
    moments.map((moment) => [moment.at, moment.share, 100 - moment.share]),
    [
      { label: "new version", colour: "--green", dash: [7, 4] },
      { label: "old version", colour: "--blue" },
    ],
    { unit: "%", most: 100, clock },
  );

  slider.addEventListener("input", () => at((seconds * slider.value) / 1000));
  let playing = null;
  function stop() {
    cancelAnimationFrame(playing);
    playing = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }
  play.addEventListener("click", () => {
    if (playing !== null) return stop();
    if (Number(slider.value) >= 1000) slider.value = 0;
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    const took = 12000;
    const from = Number(slider.value);
    let began = null;
    const turn = (now) => {
      began ??= now;
      const position = Math.min(1000, from + ((now - began) / took) * 1000);
      slider.value = position;
      at((seconds * position) / 1000);
      if (position >= 1000) stop();
      else playing = requestAnimationFrame(turn);
    };
    playing = requestAnimationFrame(turn);
  });
  at(seconds);
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
