// Plays the moments of two rollouts that the server computed. It draws; it decides nothing.
import { stepChart } from "/console/static/charts.js";

const TOOK = 14000; // milliseconds of a whole playback
const WHOLE = 1000; // positions of the slider
const source = document.getElementById("outcome");
if (source) show(JSON.parse(source.textContent));

function show({ ways, knots, seconds }) {
  const player = document.querySelector("[data-player]");
  const find = (name) => player.querySelector(`[data-${name}]`);
  const slider = find("slider");
  const play = find("play");
  const panels = [...document.querySelectorAll("[data-way]")];
  const journals = [...document.querySelectorAll(".journal")];
  player.hidden = false;

  /** Seconds at a position: even between two knots. */
  function secondsAt(position) {
    const place = Math.max(1, knots.findIndex(([at]) => at >= position));
    const [[from, start], [to, end]] = [knots[place - 1], knots[place] ?? knots.at(-1)];
    return to === from ? end : start + ((end - start) * (position - from)) / (to - from);
  }

  function at(position) {
    const time = position >= WHOLE ? seconds : secondsAt(position);
    ways.forEach((way, place) => draw(panels[place], way, time));
    find("clock").textContent = clock(time);
    slider.setAttribute("aria-valuetext", `${clock(time)}: ${ways.map((way) => `${way.title} ${momentAt(way, time).share} % new`).join(", ")}`);
    journals.forEach((journal) => {
      for (const line of journal.children) {
        const past = Number(line.dataset.at) <= time;
        line.classList.toggle("past", past);
        line.classList.toggle("ahead", !past);
      }
    });
    chart?.mark(time);
  }

  // The start of instances would be most of a picture whose bad version is found soon.
  const shifted = Math.min(...ways.map((way) => way.moments.find((moment) => moment.share > 0)?.at ?? 0));
  const from = Math.max(0, shifted - 0.1 * (seconds - shifted));
  const times = [...new Set([...ways.flatMap((way) => way.moments.map((moment) => moment.at)), from, seconds])].filter((time) => time >= from).sort((a, b) => a - b);
  const chart = stepChart(
    document.querySelector('[data-chart="shares"]'),
    times.map((time) => [time, ...ways.map((way) => momentAt(way, time).share)]),
    [
      { label: ways[0].title, colour: "--blue" },
      { label: ways[1].title, colour: "--green", dash: [7, 4] },
    ],
    { unit: "%", most: 100, clock },
  );

  slider.addEventListener("input", () => {
    stop();
    at(Number(slider.value));
  });
  let playing = null;
  function stop() {
    cancelAnimationFrame(playing);
    playing = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }
  play.addEventListener("click", () => {
    if (playing !== null) return stop();
    if (Number(slider.value) >= WHOLE) slider.value = 0;
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    const from = Number(slider.value);
    let began = null;
    const turn = (now) => {
      began ??= now;
      const position = Math.min(WHOLE, from + ((now - began) / TOOK) * WHOLE);
      slider.value = position;
      at(position);
      if (position >= WHOLE) stop();
      else playing = requestAnimationFrame(turn);
    };
    playing = requestAnimationFrame(turn);
  });
  at(0);
}

function momentAt(way, time) {
  return way.moments.findLast((moment) => moment.at <= time) ?? way.moments[0];
}

function draw(panel, way, time) {
  const find = (name) => panel.querySelector(`[data-${name}]`);
  const now = momentAt(way, time);
  const share = now.share;
  find("old").style.width = `${100 - share}%`;
  find("new").style.width = `${share}%`;
  find("old").textContent = share < 80 ? `old ${100 - share} %` : "";
  find("new").textContent = share > 20 ? `new ${share} %` : "";
  find("split").setAttribute("aria-label", `old version ${100 - share} %, new version ${share} % of the requests`);
  units(find("units-old"), now.old, way.instances);
  units(find("units-new"), now.new, way.instances);
  const over = time >= way.seconds ? "It is over: " : "";
  find("phase").textContent = `${over}${now.said.at(-1) ?? now.phase}`;
}

function units(box, ready, instances) {
  if (box.dataset.ready === String(ready)) return;
  box.dataset.ready = ready;
  box.replaceChildren(
    ...Array.from({ length: Math.min(60, Math.max(instances, ready)) }, (_, number) => {
      const unit = document.createElement("span");
      unit.className = number < ready ? "unit" : "unit away";
      return unit;
    }),
  );
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", `${ready} of ${instances} instances ready`);
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
