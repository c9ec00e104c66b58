// Charts by uPlot in the page's own colours. A figure's data stand in its table, too, for those who do not see it.
const probe = document.body.appendChild(Object.assign(document.createElement("span"), { hidden: true }));
/** What a colour of the page is in the present theme. */
function colour(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 2, notation: "compact" });

/** Whether it is 1, 10, 100 or such: the only labels that a logarithmic axis has room for. */
const isPower = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6;

function draw(figure, data, series, more) {
  const box = figure.querySelector(".chart") ?? figure.appendChild(Object.assign(document.createElement("div"), { className: "chart" }));
  let plot = null;
  let marked = null;
  const axis = (extra) => ({
    stroke: colour("--ink-soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
    ...extra,
  });
  /** While nothing is pointed at, the legend tells the values at the mark. */
  function resting(made) {
    const at = marked ?? more.marks?.[0] ?? data[0].at(-1);
    const place = data[0].findLastIndex((x) => x <= at);
    made.setLegend({ idx: Math.max(0, place) }, false);
  }
  function make() {
    plot?.destroy();
    plot = new window.uPlot(
      {
        width: Math.max(240, box.clientWidth),
        height: Math.min(320, Math.max(200, box.clientWidth * 0.4)),
        scales: { x: { time: false, distr: more.log ? 3 : 1 }, y: more.log_up ? { distr: 3 } : { range: (_, low, high) => [0, more.most ?? high * 1.05] } },
        cursor: { y: false },
        legend: { live: true, markers: { width: 3, dash: (_, place) => (series[place - 1]?.dash ? "dashed" : "solid") } },
        axes: [
          axis({ incrs: more.whole ? [1, 2, 5, 10, 20, 50, 100] : undefined, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : more.tell ? more.tell(tick) : number.format(tick))), label: more.across, labelFont: "12px system-ui, sans-serif" }),
          axis({ size: 64, values: (_, ticks) => ticks.map((tick) => (more.log_up && !isPower(tick) ? "" : `${more.before ?? ""}${number.format(tick)}${more.after ?? ""}`)) }),
        ],
        series: [
          { label: more.across ?? "time", value: (_, value) => (value === null ? "" : more.tell ? more.tell(value) : number.format(value)) },
          ...series.map((one) => ({
            label: one.label,
            stroke: colour(one.colour),
            width: 2.5,
            dash: one.dash,
            points: { show: false },
            paths: more.steps ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
            value: (_, value) => (value === null ? "" : `${more.before ?? ""}${number.format(value)}${more.after ?? ""}`),
          })),
        ],
        hooks: {
          setLegend: [
            (made) => {
              if (made.legend.idx === null || made.legend.idx === undefined) resting(made);
            },
          ],
          ready: [resting],
          draw: [
            (made) => {
              for (const at of [marked, ...(more.marks ?? [])]) {
                if (at === null || at === undefined) continue;
                const x = made.valToPos(at, "x", true);
                if (x < made.bbox.left || x > made.bbox.left + made.bbox.width) continue;
                made.ctx.save();
                made.ctx.strokeStyle = colour("--warn");
                made.ctx.setLineDash([4, 4]);
                made.ctx.lineWidth = 2;
                made.ctx.beginPath();
                made.ctx.moveTo(x, made.bbox.top);
                made.ctx.lineTo(x, made.bbox.top + made.bbox.height);
                made.ctx.stroke();
                made.ctx.restore();
              }
            },
          ],
        },
      },
      data,
      box,
    );
  }
  make();
  new ResizeObserver(() => {
    const wide = Math.max(240, box.clientWidth);
    if (Math.abs(wide - plot.width) > 1) plot.setSize({ width: wide, height: plot.height });
  }).observe(box);
  addEventListener("themechange", make);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make);
  return {
    mark(at) {
      marked = at;
      resting(plot);
      plot.redraw(false);
    },
    /** Other values, in the same picture. */
    change(values, marks) {
      data = values;
      more = { ...more, marks };
      plot.setData(data);
      resting(plot);
    },
  };
}

/** Steps over time: rows of [seconds, value, ...]. */
export function stepChart(figure, rows, series, { unit, most, clock }) {
  const columns = rows[0].map((_, column) => rows.map((row) => row[column]));
  return draw(figure, columns, series, { steps: true, most, after: ` ${unit}`, tell: clock });
}

const drawn = new WeakMap();
const tellFigure = (figure) => JSON.parse(figure.querySelector('script[type="application/json"]')?.textContent ?? "null");
const columnsOf = (told) => [told.x, ...told.series.map((one) => one.values)];
const labelsOf = (told) => told.series.map((one) => one.label).join();

/** Seconds as minutes and seconds. */
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;

/** A figure that brings its data along as JSON: {x, series: [{label, colour, values}], log, across, before, marks}. */
export function figures(area = document) {
  for (const figure of area.querySelectorAll("figure[data-chart]")) {
    const told = tellFigure(figure);
    if (told && !drawn.has(figure)) drawn.set(figure, { told, chart: draw(figure, columnsOf(told), told.series, { ...told, tell: told.clock ? clock : undefined }) });
  }
}

/** Replaces what an area holds by what a newer one does. Charts with the same lines stay and change their values. */
export function refigure(area, made) {
  const before = [...area.querySelectorAll("figure[data-chart]")];
  const kept = [...made.querySelectorAll("figure[data-chart]")].map((figure, place) => {
    const old = before[place] && drawn.get(before[place]);
    const told = tellFigure(figure);
    if (!old || !told || labelsOf(old.told) !== labelsOf(told)) return null;
    const box = before[place].querySelector(".chart");
    return () => {
      figure.querySelector(".chart").replaceWith(box);
      if (before[place].querySelector("details")?.open) figure.querySelector("details").open = true;
      old.chart.change(columnsOf(told), told.marks);
      drawn.set(figure, { told, chart: old.chart });
    };
  });
  area.replaceChildren(...made.childNodes);
  for (const keep of kept) keep?.();
  figures(area);
}
figures();
