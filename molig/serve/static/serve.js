/* The page of `molig serve`. Texts of users' files are only ever set as text; markup comes from molig's drawings
   alone, and the server's policy forbids any script and any request but its own. */

const byId = id => document.getElementById(id);
const SHOWN_REJECTED = 100, TRAIL = 8, SHOWN_COLUMNS = 12, ROWS_AT_ONCE = 100, KEPT = 100_000, POLL = 500, PAUSE = 350, BUSY = 400;

/* Elements and words. */

function make(tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) found.setAttribute(name, value === true ? "" : value);
  found.append(...children.filter(child => child !== null && child !== undefined));
  return found;
}
const button = (text, onclick, more = {}) => make("button", {type: "button", onclick, ...more}, text);
const typographic = text => text.replaceAll("-", "−");
const figure = value => typographic(value === 0 || Math.abs(value) >= 1e-4 ? String(Number(value.toPrecision(4))) : value.toExponential(1));
const signed = value => (value > 0 ? "+" : "") + figure(Number(value.toPrecision(3)));
const counted = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const scored = (value, kind) => kind === "probability" ? value.toFixed(4) : figure(value);
function weighed(bytes) {
  const units = ["B", "KB", "MB", "GB"];
  let k = 0;
  while (bytes >= 1000 && k < units.length - 1) { bytes /= 1000; k++; }
  return `${k && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[k]}`;
}
function lasting(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
const parsed = svg => document.importNode(new DOMParser().parseFromString(svg, "image/svg+xml").documentElement, true);
function drawn(svg, label) {
  const root = parsed(svg);
  root.setAttribute("tabindex", "0");
  root.setAttribute("aria-roledescription", "structure; arrow keys go through its atoms and bonds");
  const box = make("div", {class: "drawing", "aria-label": label}, root);
  pointable(box);
  return box;
}

/* Asking the server. Of two questions of one kind only the later is answered. */

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}
async function ask(path, {method = "GET", json = null, form = null, signal = null} = {}) {
  const headers = {"X-Molig": "1", ...(json ? {"Content-Type": "application/json"} : {})};
  const body = json ? JSON.stringify(json) : form;
  let response;
  try {
    response = await fetch(`api/${path}`, {method: body ? "POST" : method, headers, body, signal});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tell("molig serve does not answer. Is it still running? The page goes on as soon as it does.");
    throw new Refused(0, "The server does not answer.");
  }
  tell("");
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  if (response.status === 401) tell("This page needs its token: open the address that molig serve printed when it began.");
  throw new Refused(response.status, told.error || `The server answered ${response.status}.`);
}
const answered = async (path, options) => (await ask(path, options)).json();
function tell(text) {
  byId("banner").textContent = text;
  byId("banner").hidden = !text;
}
const running = {};
async function only(kind, work) {
  running[kind]?.abort();
  const mine = running[kind] = new AbortController();
  try {
    return await work(mine.signal);
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) return undefined;
    throw error;
  } finally {
    if (running[kind] === mine) delete running[kind];
  }
}
function soon(action, wait = PAUSE) {
  let timer;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => action(...given), wait); };
}

/* Models and tasks: what is asked of a run, and of one molecule. */

const state = {models: [], about: null, file: null, runs: new Map(), run: null, hits: null, sort: null, shown: [],
  former: null, trail: [], scale: null, scores: new Map(), allOpen: false, direction: "both", outside: false};
const modelOf = name => state.models.find(model => model.name === name);
const taskOf = (model, name) => model?.tasks.find(task => task.name === name);

async function loadModels() {
  [state.models, state.about] = await Promise.all([answered("models"), answered("about")]);
  byId("top").max = state.about.max_explained;
  byId("text-says").textContent = `or drop a file here, of up to ${weighed(state.about.max_upload)}: ${state.about.formats.join(", ")}`;
  const kept = JSON.parse(localStorage.getItem("molig.models") || "null") || [];
  const known = kept.filter(modelOf);
  const ticked = new Set(known.length ? known : state.models.slice(0, 1).map(model => model.name));
  byId("models").replaceChildren(make("legend", {}, "Models and tasks"), ...state.models.map(model => modelChoice(model, ticked.has(model.name))));
  byId("model").replaceChildren(...state.models.map(model => make("option", {value: model.name}, model.name)));
  const first = state.models.find(model => ticked.has(model.name));
  if (first) chooseTask(first.name);
}
function modelChoice(model, isTicked) {
  const box = make("input", {type: "checkbox", name: "model", value: model.name, onchange: keepModels});
  box.checked = isTicked;
  const row = make("div", {class: "choice"}, make("label", {}, box, make("strong", {}, model.name)),
    make("span", {class: "soft", title: model.title}, model.title));
  if (model.tasks.length < 2) return row;
  const summary = make("summary", {}, `all ${model.tasks.length} tasks`);
  const boxes = model.tasks.map(task => {
    const tick = make("input", {type: "checkbox", name: `task of ${model.name}`, value: task.name, onchange: count});
    tick.checked = true;
    return make("label", {title: task.description}, tick, task.name);
  });
  const ticks = boxes.map(label => label.firstChild);
  function count() {
    const n = ticks.filter(tick => tick.checked).length;
    summary.textContent = n === ticks.length ? `all ${n} tasks` : `${n} of ${ticks.length} tasks`;
  }
  const all = button("All", () => { const on = ticks.some(tick => !tick.checked); for (const tick of ticks) tick.checked = on; count(); },
    {title: "Tick all tasks, or none", class: "small"});
  row.append(make("details", {}, summary, make("div", {class: "ticks", role: "group", "aria-label": `Tasks of ${model.name}`}, ...boxes, all)));
  return row;
}
const chosenModels = () => [...document.querySelectorAll("input[name=model]:checked")].map(box => box.value);
function keepModels() { localStorage.setItem("molig.models", JSON.stringify(chosenModels())); }
function chosenTasks(models) {
  const found = [];
  let left = false;
  for (const name of models) {
    const ticks = [...document.getElementsByName(`task of ${name}`)];
    if (ticks.some(tick => !tick.checked)) left = true;
    const names = ticks.length ? ticks.filter(tick => tick.checked).map(tick => tick.value) : modelOf(name).tasks.map(task => task.name);
    if (!names.length) throw new Refused(400, `No task of ${name} is ticked: tick one, or take the model away.`);
    found.push(...names.map(task => models.length > 1 ? `${name}:${task}` : task));
  }
  return left ? found : null;
}
function chooseTask(name, task = null) {
  const model = modelOf(name);
  if (!model) return;
  byId("model").value = name;
  byId("task").replaceChildren(...model.tasks.map(one => make("option", {value: one.name}, one.name)));
  if (task && taskOf(model, task)) byId("task").value = task;
  describeTask();
}
function describeTask() {
  const model = modelOf(byId("model").value), task = taskOf(model, byId("task").value);
  const unit = task && task.kind === "value" && task.unit ? `, in ${task.unit}` : "";
  const link = model.card ? make("a", {href: model.card.replace(/^\//, ""), target: "_blank", rel: "noopener"}, "model card") : "";
  byId("meaning").replaceChildren(task && task.description ? `${task.description}${unit}. ` : "", link);
}

/* Molecules in: pasted, a file, dropped. */

const EXAMPLE = `CC(=O)Oc1ccccc1C(=O)O aspirin
CN1CCC[C@H]1c1cccnc1 nicotine
CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21 diazepam
CC(C)(c1ccc(O)cc1)c1ccc(O)cc1 bisphenol A
CC12CCC3c4ccc(O)cc4CCC3C1CCC2O estradiol
CC(C)(Oc1ccc(cc1)C(=O)c1ccc(Cl)cc1)C(=O)OC(C)C fenofibrate
Oc1c(Cl)c(Cl)c(Cl)c(Cl)c1Cl pentachlorophenol
O=C(O)c1ccccc1O.[Na] a salt
`;
function chooseFile(file) {
  state.file = file;
  const box = byId("chosen");
  box.hidden = !file;
  byId("text").disabled = Boolean(file);
  byId("file").value = "";
  if (file) box.replaceChildren(make("strong", {}, file.name), ` ${weighed(file.size)} `,
    button("✕", () => { chooseFile(null); byId("file-button").focus(); }, {"aria-label": `Take ${file.name} away`, class: "small"}));
}
function acceptDrops() {
  const target = byId("ask");
  const files = event => [...(event.dataTransfer?.types || [])].includes("Files");
  addEventListener("dragover", event => { if (files(event)) { event.preventDefault(); target.classList.add("over"); } });
  addEventListener("dragleave", event => { if (!event.relatedTarget) target.classList.remove("over"); });
  addEventListener("drop", event => {
    if (!files(event)) return;
    event.preventDefault();
    target.classList.remove("over");
    if (event.dataTransfer.files.length) chooseFile(event.dataTransfer.files[0]);
  });
}
async function start(kind) {
  const says = byId("ask-says");
  says.textContent = "";
  try {
    const models = chosenModels(), text = byId("text").value;
    if (!models.length) throw new Refused(400, "No model is ticked: tick at least one.");
    if (models.length > 1 && kind !== "screen") throw new Refused(400, `${kind === "audit" ? "An audit" : "Explaining all"} takes one model, and ${models.length} are ticked.`);
    // An audit may do without: with what training held out, where that is at hand.
    if (!state.file && !text.trim() && kind !== "audit") throw new Refused(400, "There are no molecules yet: paste some, choose a file, or draw.");
    const form = new FormData();
    form.append("kind", kind);
    for (const name of models) form.append("models", name);
    // Without tasks a screen would rank by one of them, and explain the highest of each molecule.
    for (const name of chosenTasks(models) || (kind === "screen" ? ["all"] : [])) form.append("tasks", name);
    form.append("top", byId("top").value || "1");
    if (state.file && state.file.size > state.about.max_upload)
      throw new Refused(413, `${state.file.name} has ${weighed(state.file.size)}, more than the ${weighed(state.about.max_upload)} that this server takes (--max-upload).`);
    if (state.file) form.append("file", state.file, state.file.name);
    else if (text.trim()) form.append("text", text);
    for (const name of ["smiles-column", "id-column"]) {
      const given = byId(name).value.trim();
      if (given) form.append(name.replace("-", "_"), given);
    }
    keep();
    byId("live").textContent = state.file ? "The file is sent." : "The molecules are sent.";
    const {id} = await answered("jobs", {form});
    select(id);
    await poll();
  } catch (error) {
    says.textContent = error.message;
  }
}

/* Runs, as the server has them: also those from before a reload. */

const ACTIVE = new Set(["waiting", "running"]);
const KINDS = {screen: "Screen", explain: "Explanations", audit: "Audit"};
const PAGES = {"report.html": "Open the page of molecules", "audit.html": "Open the audit report",
  "audit-classification.html": "Open the audit of probabilities", "audit-regression.html": "Open the audit of values"};
let timer = null;

async function poll() {
  clearTimeout(timer);
  let jobs;
  try {
    jobs = await answered("jobs");
  } catch (error) {
    if (error.status !== 401) timer = setTimeout(poll, 4 * POLL);
    return;
  }
  const ids = new Set(jobs.map(job => job.id));
  for (const [id, run] of state.runs) if (!ids.has(id)) { run.row.remove(); state.runs.delete(id); }
  for (const job of jobs.reverse()) {  // the newest comes first and stands on top
    if (!state.runs.has(job.id)) {
      const run = runRow(job.id);
      state.runs.set(job.id, run);
      byId("runs").prepend(run.row);
    }
    update(state.runs.get(job.id), job);
  }
  byId("no-runs").hidden = jobs.length > 0;
  if (state.run && !ids.has(state.run)) select(null);
  if (jobs.some(job => ACTIVE.has(job.state))) timer = setTimeout(poll, POLL);
}
function runRow(id) {
  const run = {id, job: null, progress: make("progress", {max: 1}), title: make("strong"), badge: make("span", {class: "badge"}),
    about: make("span", {class: "about soft"}), numbers: make("span", {class: "soft"}), says: make("p", {class: "note"}), warnings: make("ul", {class: "note"}),
    findings: make("ul", {class: "note findings"}), results: make("p", {class: "files"})};
  run.show = button("Show", () => { select(id); byId("hits").scrollIntoView({block: "nearest"}); });
  run.stop = button("Cancel", () => end(run));
  run.row = make("li", {"data-run": id}, make("div", {class: "row"}, make("span", {}, run.title, " ", run.badge), make("span", {class: "actions"}, run.show, run.stop)),
    run.about, run.progress, run.numbers, run.says, run.warnings, run.findings, run.results);
  return run;
}
function update(run, job) {
  const before = run.job && run.job.state, isActive = ACTIVE.has(job.state);
  run.job = job;
  run.row.classList.toggle("on", state.run === run.id);
  run.title.textContent = KINDS[job.kind] || job.kind;
  run.badge.textContent = job.state;
  run.badge.className = `badge ${job.state}`;
  run.progress.hidden = !isActive;
  run.progress.setAttribute("aria-label", `Progress of ${run.title.textContent}`);
  if (job.total && job.rows) run.progress.value = Math.min(1, job.rows / job.total);
  else run.progress.removeAttribute("value");
  const said = [];
  if (job.rows || job.total) said.push(job.total && isActive ? `${job.rows.toLocaleString("en")} of ${counted(job.total, "molecule")}` : counted(job.rows || 0, "molecule"));
  if (job.rejected) said.push(`${job.rejected.toLocaleString("en")} rejected`);
  if (isActive && job.rate) said.push(`${figure(job.rate)} a second`);
  if (isActive && job.remaining) said.push(`${lasting(job.remaining)} left`);
  run.numbers.textContent = said.join(" · ");
  run.about.textContent = [job.name, job.models.join(", "), job.tasks.join(", ").replace(/^all$/, "all tasks")].filter(Boolean).join(" · ");
  run.says.textContent = job.error || (isActive ? job.message : job.summary.verdict || "");
  run.says.className = job.error ? "says" : "note";
  run.warnings.replaceChildren(...job.warnings.map(warning => make("li", {}, warning)));
  run.show.hidden = !has(run, "hits.json");
  run.stop.textContent = isActive ? "Cancel" : "Remove";
  run.stop.setAttribute("aria-label", `${run.stop.textContent} this run: ${run.title.textContent}`);
  if (before !== job.state) {
    run.results.replaceChildren(...job.results.filter(one => one.name !== "hits.json").map(fileLink));
    run.findings.replaceChildren(...(job.summary.findings || []).map(({severity, summary}) => make("li", {class: severity}, make("strong", {}, severity), ` ${summary}`)));
    if (before) byId("live").textContent = `${run.title.textContent}: ${job.state}. ${run.numbers.textContent} ${job.error || ""}`;
    if (job.state === "done" && state.run === run.id) loadHits(run);
  }
}
function fileLink(one) {
  const url = one.url.replace(/^\//, ""), page = PAGES[one.name];
  return page ? make("a", {href: url, target: "_blank", rel: "noopener", class: "page"}, page)
    : make("a", {href: url, download: one.name, title: one.title}, one.name, make("small", {}, ` ${weighed(one.bytes)}`));
}
async function end(run) {
  const isActive = ACTIVE.has(run.job.state);
  try {
    await ask(`jobs/${run.id}`, {method: "DELETE"});
  } catch (error) {
    run.says.textContent = error.message;
  }
  if (!isActive && state.run === run.id) select(null);
  await poll();
}
function select(id) {
  state.run = id;
  history.replaceState(null, "", id ? `#run=${id}` : location.pathname);
  const run = state.runs.get(id);
  for (const other of state.runs.values()) other.row.classList.toggle("on", other.id === id);
  byId("hits").hidden = true;
  state.hits = null;
  if (run && run.job.state === "done") loadHits(run);
}

/* Hits: the best rows; all are in the files. */

const has = (run, name) => run.job.results.some(one => one.name === name);

async function loadHits(run) {
  if (!has(run, "hits.json")) return;
  await only("hits", async signal => {
    const hits = await answered(`jobs/${run.id}/results/hits.json`, {signal});
    if (state.run === run.id) showHits(run, hits);
  }).catch(error => { run.says.textContent = error.message; });
}
function place(head, ...names) {
  const folded = head.map(name => name.toLowerCase());
  return names.map(name => folded.indexOf(name)).find(at => at >= 0) ?? -1;
}
function scoreColumn(run, name) {
  // A column is a task, or MODEL:TASK of several models.
  for (const model of run.job.models.map(modelOf).filter(Boolean)) {
    const task = name.startsWith(`${model.name}:`) ? name.slice(model.name.length + 1) : name;
    if (taskOf(model, task)) return {model: model.name, task, kind: taskOf(model, task).kind};
  }
  return null;
}
function showHits(run, {columns: head, rows, n_hits: all, rejected}) {
  const at = {id: place(head, "id"), smiles: place(head, "smiles"), row: place(head, "row")};
  const columns = head.map((name, c) => ({name, c, score: scoreColumn(run, name)}))
    .filter(({c}) => c !== at.id && c !== at.smiles && c !== at.row);
  for (const column of columns) column.number = rows.some(row => row[column.c] !== null) && rows.every(row => row[column.c] === null || typeof row[column.c] === "number");
  columns.sort((a, b) => Boolean(b.score) - Boolean(a.score));
  // The same number of tasks of each model.
  const left = Object.fromEntries(run.job.models.map(name => [name, Math.ceil(SHOWN_COLUMNS / run.job.models.length)]));
  for (const column of columns) column.shown = !column.score || left[column.score.model]-- > 0;
  state.hits = {at, columns, all, rows: rows.map(cells => ({cells, folded: cells.join("\n").toLowerCase(), row: null}))};
  state.sort = null;
  thumbs.disconnect();
  byId("query").value = "";
  byId("hits").hidden = false;
  chooseColumns();
  drawTable();
  showRejected(run.job.rejected, rejected);
}
function chooseColumns() {
  const {columns, rows} = state.hits;
  byId("columns").hidden = columns.length <= SHOWN_COLUMNS;
  byId("columns").lastElementChild.replaceChildren(...columns.map(column => {
    const box = make("input", {type: "checkbox", onchange: () => {
      column.shown = box.checked;
      for (const one of rows) one.row = null;
      drawTable();
    }});
    box.checked = column.shown;
    return make("label", {}, box, column.name);
  }));
}
function drawTable() {
  const {at, columns, rows, all} = state.hits, query = byId("query").value.trim().toLowerCase();
  const head = make("tr", {}, make("th", {scope: "col", class: "thumb"}, make("span", {class: "hidden"}, "Picture")), header({name: "Molecule", c: at.id >= 0 ? at.id : at.smiles}),
    ...columns.filter(column => column.shown).map(header));
  const shown = state.shown = rows.filter(row => row.folded.includes(query));
  if (state.sort) shown.sort(ordered);
  document.querySelector("#hits thead").replaceChildren(head);
  document.querySelector("#hits tbody").replaceChildren();
  moreRows();
  byId("no-hits").hidden = shown.length > 0;
  byId("count").textContent = `${shown.length.toLocaleString("en")} of ${counted(rows.length, "row")}` + (all > rows.length ? `, the first of ${all.toLocaleString("en")}; all are in the files` : "");
}
function moreRows() {
  // As far as one looks: a thousand rows of many tasks would hold the page up.
  const body = document.querySelector("#hits tbody"), n = body.children.length;
  body.append(...state.shown.slice(n, n + ROWS_AT_ONCE).map(one => one.row ??= hitRow(one)));
}
function header(column) {
  const th = make("th", {scope: "col", class: column.number ? "num" : ""}, button(column.name, () => {
    const again = state.sort && state.sort.c === column.c;
    state.sort = {c: column.c, number: column.number, down: again ? !state.sort.down : Boolean(column.number)};
    drawTable();
    document.querySelector("#hits th[aria-sort] button").focus();
  }));
  if (state.sort && state.sort.c === column.c) th.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
  return th;
}
function ordered(a, b) {
  const {c, number, down} = state.sort, [x, y] = [a.cells[c], b.cells[c]];
  if (x === null || y === null) return (x === null) - (y === null);
  const order = number ? x - y : String(x).localeCompare(String(y), undefined, {numeric: true});
  return down ? -order : order;
}
const heat = probability => `rgb(217 119 6 / ${(0.6 * Math.max(0, Math.min(1, probability))).toFixed(3)})`;
function hitRow({cells}) {
  const {at, columns} = state.hits, smiles = cells[at.smiles], id = at.id >= 0 ? cells[at.id] : "";
  const best = columns.find(column => column.score && cells[column.c] !== null);
  const open = score => { state.scale = null; look(smiles, {name: id && id !== smiles ? id : "", ...(score || best?.score)}); };
  const name = make("div", {}, button(id || smiles, () => open(null), {class: "link"}));
  if (id && id !== smiles) name.append(make("code", {}, smiles));
  return make("tr", {}, thumb(smiles, () => open(null), `Explain ${id || smiles}`), make("td", {}, name), ...columns.filter(column => column.shown).map(({name: column, c, number, score}) => {
    const value = cells[c];
    if (value === null) return make("td");
    if (!number) return make("td", {}, make("div", {class: "clip", title: String(value)}, String(value)));
    if (!score) return make("td", {class: "num"}, figure(value));
    const told = scored(value, score.kind);
    const cell = make("td", {class: "num heat"}, button(told, () => open(score), {title: "Explain this score", "aria-label": `${id || smiles}, ${column}: ${told}; explain`}));
    if (score.kind === "probability") cell.style.background = heat(value);
    return cell;
  }));
}
// Pictures of the rows in sight, one after the other: what is asked of a molecule goes before.
const pictures = new Map(), wanted = [];
const thumbs = new IntersectionObserver(seen => {
  for (const one of seen) if (one.isIntersecting && !one.target.firstChild.firstChild) wanted.push(one.target);
  drawWanted();
}, {rootMargin: "100px"});
let isDrawing = false;
function thumb(smiles, onclick, label) {
  const cell = make("td", {class: "thumb"}, make("button", {type: "button", onclick, "aria-label": label}));
  cell.smiles = smiles;
  thumbs.observe(cell);
  return cell;
}
async function drawWanted() {
  if (isDrawing) return;
  isDrawing = true;
  while (wanted.length) {
    const cell = wanted.shift();
    if (!cell.isConnected || cell.firstChild.firstChild) continue;
    try {
      if (!pictures.has(cell.smiles)) pictures.set(cell.smiles, (await answered("draw", {json: {smiles: cell.smiles}})).svg);
    } catch {
      break;  // the table says the same without pictures
    }
    const svg = pictures.get(cell.smiles);
    if (svg) cell.firstChild.append(parsed(svg));
  }
  isDrawing = false;
}
function showRejected(n, rows) {
  const box = byId("rejected"), shown = rows.slice(0, SHOWN_REJECTED);
  box.hidden = !n;
  box.open = n <= 20;
  box.firstElementChild.textContent = `${n.toLocaleString("en")} rejected` + (n > shown.length ? `, the first ${shown.length} here, all in rejects.csv` : "");
  box.lastElementChild.replaceChildren(...shown.map(([row, id, smiles, reason]) =>
    make("li", {}, `Row ${row}${id && id !== smiles ? ` (${id})` : ""} `, make("code", {}, smiles ?? ""), `: ${reason}`)));
}

/* One molecule: its score and what that is made of. The last question wins. */

function look(smiles, {name = "", model = null, task = null, scroll = true} = {}) {
  if (model) chooseTask(model, task);
  running.drawing?.abort();
  byId("smiles").value = smiles;
  byId("smiles").dataset.name = name;
  sketch(smiles);
  explain();
  if (scroll && matchMedia("(max-width: 1100px)").matches) byId("pane").scrollIntoView({block: "start"});
}
function question() {
  const smiles = byId("smiles").value.trim(), reference = byId("reference").value;
  const before = state.trail.findLast(one => one.smiles !== smiles);
  const asked = {smiles, model: byId("model").value, task: byId("task").value,
    reference: reference === "former" ? before?.smiles ?? null : reference || null};
  // While a molecule is changed, its colours keep their scale.
  const {of, value} = state.scale || {};
  return {...asked, scale: of === `${asked.model} ${asked.task} ${reference}` ? value : 0};
}
function working(text) {
  // Said only of what takes long enough to be noticed.
  const box = byId("working"), begun = Date.now();
  const told = make("span", {}, text), stop = button("Stop", () => { running.one?.abort(); running.more?.abort(); }, {class: "small"});
  const show = setInterval(() => {
    if (Date.now() - begun < BUSY) return;
    if (!box.firstChild) box.replaceChildren(told, stop);
    told.textContent = `${text} ${Math.floor((Date.now() - begun) / 1000)} s `;
  }, BUSY / 2);
  return () => { clearInterval(show); box.replaceChildren(); };
}
async function explain() {
  const asked = question(), name = byId("smiles").dataset.name || "", says = byId("one-says"), box = byId("answer");
  says.textContent = "";
  byId("no-answer").hidden = Boolean(asked.smiles);
  running.more?.abort();
  if (!asked.smiles) {
    running.one?.abort();
    box.replaceChildren();
    byId("pane-title").textContent = "Molecule";
    return;
  }
  box.setAttribute("aria-busy", "true");
  const done = working("Explaining …");
  try {
    const told = await only("one", signal => answered("explain", {json: asked, signal}));
    if (told === undefined && running.one) return;  // a later question is on its way
    if (told === undefined) throw new Refused(0, "Stopped.");
    if (told.rejection) throw new Refused(200, `Rejected: ${told.rejection}`);
    byId("pane-title").textContent = name || "Molecule";
    remember({smiles: asked.smiles, name, model: asked.model, task: asked.task, score: told.score});
    box.replaceChildren(...explained(told, asked, name));
    box.dataset.smiles = asked.smiles;
    keep();
    byId("live").textContent = `${name || "Molecule"}: ${box.querySelector(".score").textContent}`;
    state.scale = {of: `${asked.model} ${asked.task} ${byId("reference").value}`, value: told.scale};
  } catch (error) {
    box.replaceChildren();
    says.textContent = error.message;
  } finally {
    done();
    if (!running.one) box.removeAttribute("aria-busy");
  }
}
const explainSoon = soon(explain);

function remember(one) {
  // Only scores of the same model and task can be told beside each other.
  const last = state.trail.at(-1);
  if (last && last.smiles === one.smiles) state.trail.pop();
  state.trail.push(one);
  state.trail = state.trail.slice(-TRAIL);
  const same = state.trail.slice(0, -1).filter(before => before.model === one.model && before.task === one.task && before.smiles !== one.smiles);
  state.former = same.at(-1) || null;
}
function explained(told, asked, name) {
  const task = taskOf(modelOf(asked.model), asked.task), kind = task?.kind || "probability", show = value => scored(value, kind);
  const former = state.former;
  const isOut = told.flag && told.flag.status !== "in domain", removed = told.removed.length ? `; removed: ${told.removed.join("; ")}` : "";
  const svg = drawn(told.svg, `${name || asked.smiles}: structure, coloured by what each atom contributes to ${asked.task}`);
  if (isOut) svg.classList.add("muted");
  const parts = [
    make("div", {class: "score", title: told.meaning}, make("span", {class: "value"}, show(told.score)), " ",
      make("span", {class: "soft"}, `${told.task}, ${told.target}`), " ", flagBadge(told.flag),
      former ? make("div", {class: "former"}, `before: ${show(former.score)} (`, make("strong", {}, signed(told.score - former.score)), ") ",
        button("Back", () => look(former.smiles, former), {class: "small"}), button("Compare", () => compareWith(former.smiles), {class: "small"})) : null),
    kind === "probability" ? scoreBar(told.score, former && former.score) : null,
    isOut ? make("p", {class: "warning"}, `The model does not know molecules like this: ${told.flag.detail}.`) : null,
    svg,
    told.converged ? null : make("p", {class: "warning"}, "The integral did not converge: do not rely on single atoms."),
    told.note ? make("p", {class: "note"}, "Scored: ", make("code", {class: "smiles"}, told.scored_smiles), removed) : null,
    make("p", {class: "note"}, told.sentence),
    told.substructures.length ? make("ul", {class: "note"}, ...told.substructures.map(text => make("li", {}, text))) : null,
    blindness(told, asked.model),
    ledger(told, show),
    allScores(asked),
    pairs(told),
    trail(),
    editsForm(),
    comparison(),
  ];
  return parts.filter(part => part !== null);
}
function flagBadge(flag) {
  if (!flag) return null;
  const isOut = flag.status !== "in domain";
  return make("span", {class: isOut ? "badge out" : "badge", title: flag.detail}, (isOut ? "⚠\uFE0E " : "") + flag.status);
}
function scoreBar(score, before) {
  const bar = make("div", {class: "scorebar", "aria-hidden": "true"}), now = make("i");
  now.style.width = `${100 * score}%`;
  bar.append(now);
  if (before !== null && before !== undefined) {
    const was = make("b", {title: "before"});
    was.style.left = `${100 * before}%`;
    bar.append(was);
  }
  return bar;
}
function blindness(told, name) {
  const blind = modelOf(name)?.blind_to || [];
  if (!blind.length) return null;
  return make("p", {class: "seen"}, ...told.unseen.flatMap(note => [make("strong", {}, note), " "]),
    `The model is blind to ${blind.join(", ")}: molecules that differ by nothing else score the same.`);
}
function ledger(told, show) {
  const every = [[told.baseline_name, told.baseline, true], ...Object.entries(told.parts).map(([name, value]) => [name, value, false]),
    ["residual", told.residual, false], ["score", told.score, true]];
  let at = told.baseline, low = Math.min(0, at, told.score), high = Math.max(0, at, told.score);
  const spans = every.map(([, value, isEnd]) => {
    const span = isEnd ? [0, value] : [at, at + value];
    if (!isEnd) at += value;
    low = Math.min(low, ...span); high = Math.max(high, ...span);
    return span;
  });
  const share = value => 100 * (value - low) / (high - low || 1);
  const body = make("tbody");
  every.forEach(([name, value, isEnd], k) => {
    const [from, to] = spans[k], bar = make("i", {class: to < from ? "minus" : ""}), zero = make("b");
    bar.style.left = `${share(Math.min(from, to))}%`;
    bar.style.width = `${Math.abs(share(to) - share(from))}%`;
    zero.style.left = `${share(0)}%`;
    body.append(make("tr", {}, make("th", {scope: "row"}, name), make("td", {}, make("div", {class: "track", "aria-hidden": "true"}, bar, zero)),
      make("td", {class: "num"}, isEnd ? show(value) : signed(value))));
  });
  return make("table", {class: "sums"}, make("caption", {}, `From the ${told.baseline_name} to the score (${told.target})`), body);
}
function pairs(told) {
  if (!told.pairs.length) return null;
  return make("details", {}, make("summary", {}, "Largest pairs of atoms that are not bonded"),
    make("ul", {class: "note"}, ...told.pairs.slice(0, 8).map(({a, b, score}) => make("li", {}, `atoms ${a} and ${b}: ${signed(score)}`))));
}
function allScores(asked) {
  // Asked for only while it is open; from one molecule to the next it stays as it is.
  const body = make("tbody"), box = make("details", {}, make("summary", {}, "All tasks of the ticked models"),
    make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "All tasks"}, make("table", {}, body)));
  async function fill() {
    if (!box.open) return;
    const models = [...new Set([asked.model, ...chosenModels()])];
    const told = await only("scores", signal => answered("score", {json: {smiles: asked.smiles, models}, signal})).catch(error => { body.replaceChildren(make("tr", {}, make("td", {}, error.message))); });
    if (!told) return;
    const before = state.scores.get(state.former?.smiles), now = new Map();
    body.replaceChildren(...told.models.flatMap(one => one.rejection ? [make("tr", {}, make("th", {scope: "row"}, one.model), make("td", {colspan: 3}, one.rejection))]
      : one.scores.map(({task, score}) => {
        const key = `${one.model}:${task}`, kind = taskOf(modelOf(one.model), task)?.kind;
        now.set(key, score);
        const cell = make("td", {class: "num heat"}, scored(score, kind));
        if (kind === "probability") cell.style.background = heat(score);
        return make("tr", {}, make("th", {scope: "row"}, button(task, () => { chooseTask(one.model, task); explain(); }, {class: "link"})), cell,
          make("td", {class: "num"}, before?.has(key) ? signed(score - before.get(key)) : ""), make("td", {class: "soft"}, one.model));
      })));
    state.scores.set(asked.smiles, now);
  }
  box.open = state.allOpen;
  box.addEventListener("toggle", () => { state.allOpen = box.open; if (!body.firstChild) fill(); });
  if (box.open) fill();
  return box;
}
function trail() {
  if (state.trail.length < 2) return null;
  return make("details", {class: "trail", open: true}, make("summary", {}, "Looked at before"),
    make("ol", {}, ...state.trail.slice(0, -1).reverse().map(one => make("li", {},
      button(one.name || one.smiles, () => look(one.smiles, one), {class: "link"}),
      make("span", {class: "soft"}, ` ${one.task} ${scored(one.score, taskOf(modelOf(one.model), one.task)?.kind)}`)))));
}

/* Drawing: the editor of OpenChemLib, fetched when it is first wanted. */

let editor = null, chemistry = null;
async function toggleSketcher(open) {
  byId("sketcher").hidden = !open;
  byId("sketch").setAttribute("aria-expanded", String(open));
  byId("sketch").textContent = open ? "Close" : "Draw";
  byId("sketch").setAttribute("aria-label", open ? "Close the sketcher" : "Draw this molecule");
  if (!open) return;
  if (!editor) {
    const done = working("The sketcher is fetched …");
    try {
      chemistry = await import("./openchemlib.js");
      editor = new chemistry.CanvasEditor(byId("canvas"));
      editor.setOnChangeListener(({type, isUserEvent}) => { if (type === "molecule" && isUserEvent) sketched(); });
    } catch {
      byId("one-says").textContent = "The sketcher could not be fetched. The SMILES field does the same.";
      return;
    } finally {
      done();
    }
  }
  sketch(byId("smiles").value);
}
function sketch(smiles) {
  if (!editor || byId("sketcher").hidden) return;
  try {
    editor.setMolecule(chemistry.Molecule.fromSmiles(smiles.trim().split(/\s/)[0] || ""));
  } catch {
    byId("one-says").textContent = "The sketcher cannot draw this SMILES.";
  }
}
const sketched = soon(async () => {
  const says = byId("one-says"), molecule = editor.getMolecule();
  delete byId("smiles").dataset.name;
  if (!molecule.getAllAtoms()) { byId("smiles").value = ""; explain(); return; }
  try {
    const told = await only("drawing", signal => answered("draw", {json: {molfile: molecule.toMolfile()}, signal}));
    if (told === undefined) return;
    if (told.rejection) throw new Refused(200, told.rejection);
    byId("smiles").value = told.smiles;
    explain();
  } catch (error) {
    says.textContent = error.message;
  }
});

/* What would change the score, and what makes the difference between two molecules. */

const DIRECTIONS = [["both", "most"], ["up", "up"], ["down", "down"]];
function editsForm() {
  const direction = make("select", {id: "direction", "aria-label": "Which way the score moves", onchange: event => { state.direction = event.target.value; }},
    ...DIRECTIONS.map(([value, text]) => make("option", {value}, text)));
  const outside = make("input", {type: "checkbox", id: "outside", onchange: event => { state.outside = event.target.checked; }});
  direction.value = state.direction;
  outside.checked = state.outside;
  return make("form", {id: "edits", autocomplete: "off", onsubmit: event => { event.preventDefault(); showEdits(); }},
    make("h3", {}, "What would change the score"),
    make("div", {class: "row"}, make("label", {}, "moves it ", direction), make("label", {}, outside, " also where the model knows little"), make("button", {type: "submit"}, "List the smallest changes")),
    make("div", {id: "edits-answer"}));
}
function table(label, names, rows) {
  const head = make("tr", {}, ...names.map((name, c) => make("th", {scope: "col", class: rows[0]?.children[c].className}, name)));
  return make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": label}, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}
async function showEdits() {
  const {smiles, model, task} = question(), box = byId("edits-answer"), kind = taskOf(modelOf(model), task)?.kind;
  const done = working("Looking for edits …");
  try {
    const told = await only("more", signal => answered("edits", {json: {smiles, model, task, top: 8, direction: state.direction, outside: state.outside}, signal}));
    if (told === undefined) return;
    const rows = told.edits.map(edit => make("tr", {},
      make("td", {}, button(edit.name, () => look(edit.smiles, {model, task}), {class: "link", "aria-label": `Take ${edit.name}`}), make("code", {}, edit.smiles)),
      make("td", {class: "num"}, scored(edit.score, kind)), make("td", {class: "num"}, signed(edit.difference)), make("td", {}, flagBadge(edit.flag) ?? "")));
    const said = counted(told.n_edits, "change") + (told.n_outside ? `, ${told.n_outside.toLocaleString("en")} of them outside what the model knows` + (state.outside ? "" : " and left out") : "");
    box.replaceChildren(make("p", {class: "soft", role: "status"}, `${said}; those that do most:`),
      table("Edits", ["Change", "Score", "Difference", "Domain"], rows),
      drawn(told.svg, "The molecule, and each change laid upon it in the colours of the difference"));
  } catch (error) {
    box.replaceChildren(make("p", {class: "says", role: "alert"}, error.message));
  } finally {
    done();
  }
}
function comparison() {
  const field = make("input", {type: "text", id: "other", spellcheck: "false", placeholder: "SMILES", value: state.former?.smiles ?? ""});
  const form = make("form", {id: "compare", autocomplete: "off", onsubmit: event => { event.preventDefault(); compareWith(field.value); }},
    make("h3", {}, make("label", {for: "other"}, "Compare with another molecule")), make("div", {class: "line"}, field, make("button", {type: "submit"}, "Compare")),
    make("div", {id: "compare-answer"}));
  return form;
}
async function compareWith(other) {
  const {smiles, model, task} = question(), box = byId("compare-answer"), kind = taskOf(modelOf(model), task)?.kind;
  byId("other").value = other;
  if (!other.trim()) { byId("other").focus(); return; }
  const done = working("Comparing …");
  try {
    const told = await only("more", signal => answered("compare", {json: {a: other.trim(), b: smiles, model, task}, signal}));
    if (told === undefined) return;
    const rows = told.account.map(part => make("tr", {}, make("th", {scope: "row"}, part.bonds ? `${part.part}, ${counted(part.bonds, "bond")} away` : part.part),
      make("td", {class: "num"}, figure(part.first)), make("td", {class: "num"}, figure(part.second)), make("td", {class: "num"}, signed(part.difference))));
    const rest = told.score_difference - told.change - told.surroundings;
    box.replaceChildren(make("p", {class: "note"}, make("strong", {}, signed(told.score_difference)), ` from that one to this one: what is changed ${signed(told.change)}, `
        + `its surroundings ${signed(told.surroundings)}, the rest ${signed(rest)}.`),
      ...told.notes.filter(Boolean).map(note => make("p", {class: "note"}, note)),
      drawn(told.svg, "Both molecules; colours add up to the difference"),
      make("details", {}, make("summary", {}, "Part by part"), table("Parts of the difference", ["", "that one", "this one", "difference"], rows)));
    box.scrollIntoView({block: "nearest"});
  } catch (error) {
    box.replaceChildren(make("p", {class: "says", role: "alert"}, error.message));
  } finally {
    done();
  }
}

/* What a reload finds again: the molecules and the one looked at; the server has the runs. */

function keep() {
  const {smiles, model, task} = question();
  sessionStorage.setItem("molig.page", JSON.stringify({text: byId("text").value.slice(0, KEPT), smiles, model, task, name: byId("smiles").dataset.name || ""}));
}
function restore() {
  const kept = JSON.parse(sessionStorage.getItem("molig.page") || "null");
  if (!kept) return;
  byId("text").value = kept.text;
  if (kept.smiles && modelOf(kept.model)) look(kept.smiles, {...kept, scroll: false});
}

/* Pointing at atoms and bonds of a drawing: by mouse, finger or arrow keys. */

const tip = byId("tip");
function pointed(shape, x, y) {
  tip.textContent = shape.getAttribute("aria-label");
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - box.width - 6))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(6, y - box.height - 14) : y + 18}px`;
}
function pointable(box) {
  const svg = box.querySelector("svg");
  // Titles would be second, slower tooltips.
  const shapes = [...svg.querySelectorAll("path, circle, line, ellipse")].filter(shape => shape.querySelector("title"));
  for (const title of svg.querySelectorAll("title")) {
    if (title.parentNode !== svg) title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  svg.removeAttribute("aria-labelledby");
  svg.setAttribute("aria-label", box.getAttribute("aria-label"));
  const of = event => shapes.find(shape => shape === event.target);
  const leave = () => { tip.hidden = true; for (const shape of shapes) shape.classList.remove("on"); };
  function light(shape, x, y) { leave(); shape.classList.add("on"); pointed(shape, x, y); }
  svg.addEventListener("pointerover", event => { if (of(event)) light(of(event), event.clientX, event.clientY); });
  svg.addEventListener("pointerout", event => { if (event.pointerType === "mouse") leave(); });
  svg.addEventListener("focusout", leave);
  let at = -1;
  svg.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (event.key === "Escape") leave();
    if (!step || !shapes.length) return;
    event.preventDefault();
    at = (at + step + shapes.length + (at < 0 && step < 0 ? 1 : 0)) % shapes.length;
    const place = shapes[at].getBoundingClientRect();
    light(shapes[at], place.right, place.bottom);
    byId("live").textContent = tip.textContent;
  });
}
addEventListener("scroll", () => { tip.hidden = true; }, {passive: true, capture: true});

/* The page itself. */

function themes() {
  const names = ["auto", "light", "dark"], box = byId("theme");
  let at = Math.max(0, names.indexOf(localStorage.getItem("molig.theme")));
  function show() {
    if (at) document.documentElement.dataset.theme = names[at];
    else delete document.documentElement.dataset.theme;
    box.textContent = `◐ ${names[at]}`;
    box.setAttribute("aria-label", `Colours of the page: ${at ? names[at] : "as the system has them"}`);
  }
  box.addEventListener("click", () => { at = (at + 1) % names.length; localStorage.setItem("molig.theme", names[at]); show(); });
  show();
}
function wire() {
  byId("ask").addEventListener("submit", event => { event.preventDefault(); start(event.submitter?.dataset.kind || "screen"); });
  byId("text").addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start("screen"); });
  byId("file-button").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", event => { if (event.target.files.length) chooseFile(event.target.files[0]); });
  byId("example").addEventListener("click", () => { chooseFile(null); const text = byId("text"); text.value = EXAMPLE; text.setSelectionRange(0, 0); text.scrollTop = 0; text.focus(); });
  byId("draw-button").addEventListener("click", async () => {
    await toggleSketcher(true);
    byId("pane").focus();
    byId("pane").scrollIntoView({block: "start"});
  });
  byId("one").addEventListener("submit", event => { event.preventDefault(); explain(); });
  byId("smiles").addEventListener("input", () => { running.drawing?.abort(); delete byId("smiles").dataset.name; sketch(byId("smiles").value); explainSoon(); });
  byId("model").addEventListener("change", () => { chooseTask(byId("model").value, byId("task").value); explain(); });
  byId("task").addEventListener("change", () => { describeTask(); explain(); });
  byId("reference").addEventListener("change", explain);
  byId("sketch").addEventListener("click", () => toggleSketcher(byId("sketcher").hidden));
  byId("add").addEventListener("click", () => {
    const {smiles} = question(), text = byId("text");
    if (!smiles) return;
    chooseFile(null);
    text.value += `${text.value && !text.value.endsWith("\n") ? "\n" : ""}${smiles} ${byId("smiles").dataset.name || "drawn"}\n`;
    byId("live").textContent = "Added to the list.";
  });
  const hits = document.querySelector("#hits .scroll");
  hits.addEventListener("scroll", () => { if (hits.scrollTop + 2 * hits.clientHeight > hits.scrollHeight) moreRows(); }, {passive: true});
  byId("query").addEventListener("input", soon(() => { if (state.hits) drawTable(); }, 150));
}
async function begin() {
  themes();
  wire();
  acceptDrops();
  state.run = new URLSearchParams(location.hash.slice(1)).get("run");
  // The token is in a cookie by now; nobody has to copy it with the address.
  history.replaceState(null, "", location.pathname + location.hash);
  try {
    await loadModels();
    restore();
  } catch (error) {
    byId("models").replaceChildren(make("legend", {}, "Models and tasks"), make("p", {class: "says"}, error.message));
  }
  const wanted = state.run;
  await poll();
  if (wanted && state.runs.has(wanted)) select(wanted);
}
begin();
