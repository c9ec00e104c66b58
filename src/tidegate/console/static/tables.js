// Sorts tables of many rows by a column, and exports them. A table keeps the server's order until somebody sorts it.
const MANY = 8; // rows from which on a table is worth sorting
const UNITS = { "%": 1, "µs": 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600, d: 86400, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const words = new Intl.Collator(undefined, { numeric: true });
const chosen = new Map(); // place of a table in the page -> its column and whether it is sorted downwards
const main = document.querySelector("main");
const observer = new MutationObserver(work);

/** A number, with its unit taken into account, or the text of a cell. */
function valueOf(cell) {
  const time = cell?.querySelector("time[datetime]");
  if (time) return Date.parse(time.dateTime);
  const text = cell?.textContent.trim() ?? "";
  const [, sign, number, unit] = /^([-−]?)\$?([\d,]*\.?\d+)\s*(\S*)$/.exec(text) ?? [];
  if (number === undefined || (unit && !(unit in UNITS))) return text;
  return (sign ? -1 : 1) * Number(number.replaceAll(",", "")) * (unit ? UNITS[unit] : 1);
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one === typeof other) return words.compare(one, other);
  return typeof one === "number" ? -1 : 1;
}

function order(table, { column, down }) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
  rows.sort(([one], [other]) => (down ? compare(other, one) : compare(one, other)));
  body.append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((head, place) => head.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending"));
}

/** A cell as CSV. A spreadsheet would run a text that begins like a formula. */
function quote(cell) {
  const text = cell.textContent.trim().replace(/\s+/g, " ");
  const plain = /^[=+@]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return `"${plain.replaceAll('"', '""')}"`;
}

function save(table) {
  const lines = [...table.rows].map((row) => [...row.cells].map(quote).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = `${document.title.replace(/[^\w-]+/g, "-")}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function button(text, key, clicked) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.key = key;
  made.append(...text);
  made.addEventListener("click", clicked);
  return made;
}

function prepare(table, place) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    if (!head.textContent.trim()) continue;
    const made = button([...head.childNodes], `sort-${place}-${column}`, () => {
      const before = chosen.get(place);
      chosen.set(place, { column, down: before?.column === column && !before.down });
      order(table, chosen.get(place));
    });
    made.className = "sorter";
    head.append(made);
    head.setAttribute("aria-sort", "none");
  }
  const tools = document.createElement("p");
  tools.append(button(["Export as CSV"], `export-${place}`, () => save(table)));
  tools.className = "table-tools";
  table.after(tools);
  if (chosen.has(place)) order(table, chosen.get(place));
}

function isWorthIt(table) {
  const simple = table.tHead?.rows.length === 1 && table.tBodies.length === 1 && table.tBodies[0].rows.length >= MANY;
  return simple && !table.querySelector(".sorter, [colspan], [rowspan]");
}

function work() {
  observer.disconnect();
  [...main.querySelectorAll("table")].forEach((table, place) => isWorthIt(table) && prepare(table, place));
  observer.observe(main, { childList: true, subtree: true });
}

if (main) work();
