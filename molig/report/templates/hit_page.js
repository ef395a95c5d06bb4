/* The page of hits. Texts of users' files are only ever set as text; markup comes from RDKit's drawings alone. */
(() => {
const D = JSON.parse(document.getElementById("data").textContent), M = D.molecules;
const byId = id => document.getElementById(id), SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = D.size, SHOWN_COLUMNS = 8, MATTERS = 0.05, FAINTEST = 0.03;
const state = {query: "", pattern: null, task: null, least: null, inside: false, feature: null, own: D.own, bonds: false,
  sort: null, ticked: new Set(), columns: new Set(D.columns.keys().filter(i => i < SHOWN_COLUMNS))};

/* Elements, numbers and colours. */

function make(tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) found.setAttribute(name, value === true ? "" : value);
  found.append(...children.filter(child => child !== null));
  return found;
}
function shape(tag, attributes) {
  const found = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  return found;
}
const typographic = text => text.replace("-", "−");
const signed = value => typographic((value > 0 ? "+" : "") + (value === 0 ? "0" : Number(value.toPrecision(3))));
const plain = value => value === null || value === undefined ? "" : typeof value !== "number" ? value
  : typographic(String(Number.isInteger(value) ? value : Number(value.toPrecision(4))));
const scored = value => typeof value === "number" && D.target.includes("probability") ? value.toFixed(4) : plain(value);
const nameOf = m => m.id || m.smiles;
const why = m => D.several && state.task !== null ? m.why.find(one => one.task === state.task) || m.why[0] : m.why[0];
const largest = one => Math.max(0, ...one.atoms.map(Math.abs), ...one.bonds.map(Math.abs));
const scaleOf = one => (state.own ? largest(one) : D.scales[one.task]) || 1;
const isOut = m => m.domain !== null && m.domain[0] !== "in domain";

function color(value, scale) {
  if (Math.abs(value) < D.noise * scale) return D.grey;
  const place = (Math.max(-1, Math.min(1, value / scale)) + 1) / 2 * (D.palette.length - 1);
  const low = Math.min(Math.floor(place), D.palette.length - 2), share = place - low;
  const channel = k => [low, low + 1].map(i => parseInt(D.palette[i].slice(2 * k + 1, 2 * k + 3), 16));
  return "#" + [0, 1, 2].map(k => {
    const [a, b] = channel(k);
    return Math.round(a + share * (b - a)).toString(16).padStart(2, "0");
  }).join("");
}

/* Pictures: colours under RDKit's ink, and above it what can be pointed at. */

const bondsOf = m => Array.from({length: m.bonds.length / 3}, (_, b) => m.bonds.slice(3 * b, 3 * b + 2));
const placeOf = (m, i) => [m.xy[2 * i], m.xy[2 * i + 1]];
function radius(m) {
  const lengths = bondsOf(m).map(([i, j]) => Math.hypot(m.xy[2 * i] - m.xy[2 * j], m.xy[2 * i + 1] - m.xy[2 * j + 1]));
  lengths.sort((a, b) => a - b);
  return Math.max(2, Math.min(11, 0.3 * (lengths[lengths.length >> 1] || 36)));
}
function ends(m, [i, j]) {
  const [x1, y1] = placeOf(m, i), [x2, y2] = placeOf(m, j);
  return {x1, y1, x2, y2};
}
function picture(m, {live = true} = {}) {
  const one = why(m), scale = scaleOf(one), r = radius(m);
  const label = `${nameOf(m)}: structure, atoms and bonds coloured by their part of the score of ${D.tasks[one.task]}`;
  const svg = shape("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label});
  const shows = score => score && (Math.abs(score) > FAINTEST * scale || D.noise > 0);
  bondsOf(m).forEach((bond, b) => {
    if (state.bonds && shows(one.bonds[b])) svg.append(shape("line", {...ends(m, bond), stroke: color(one.bonds[b], scale), "stroke-width": 0.8 * r}));
  });
  one.atoms.forEach((score, i) => {
    const [cx, cy] = placeOf(m, i);
    if (!state.bonds && shows(score)) svg.append(shape("circle", {cx, cy, r, fill: color(score, scale)}));
  });
  const ink = shape("g", {"pointer-events": "none"});
  ink.innerHTML = m.ink;
  svg.append(ink);
  if (state.pattern) for (const i of m.match || []) {
    const [cx, cy] = placeOf(m, i);
    svg.append(shape("circle", {class: "match", cx, cy, r: r + 2}));
  }
  if (!live) return svg;
  bondsOf(m).forEach((bond, b) => svg.append(shape("line", {...ends(m, bond), class: "hit", "data-k": `b${b}`, "stroke-width": Math.max(6, 0.9 * r)})));
  one.atoms.forEach((_, i) => {
    const [cx, cy] = placeOf(m, i);
    svg.append(shape("circle", {class: "hit", "data-k": `a${i}`, cx, cy, r: Math.max(4, r)}));
  });
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-roledescription", "structure; arrow keys go through atoms and bonds");
  return svg;
}

function smiles(m) {
  const code = make("code", {class: "smiles", "aria-label": "SMILES"});
  const tokens = [];
  for (let i = 0; 2 * i < m.spans.length; i++) if (m.spans[2 * i + 1]) tokens.push([m.spans[2 * i], m.spans[2 * i + 1], i]);
  tokens.sort((a, b) => a[0] - b[0]);
  let at = 0;
  for (const [start, end, i] of tokens) {
    code.append(m.text.slice(at, start), make("span", {"data-k": `a${i}`}, m.text.slice(start, end)));
    at = end;
  }
  code.append(m.text.slice(at));
  return code;
}

/* What an atom or a bond says. */

const symbol = (m, i) => `${D.kinds[m.atoms[i]][0]} ${m.numbers[i]}`;
function told(m, key) {
  const one = why(m), i = Number(key.slice(1)), isAtom = key[0] === "a";
  const flat = (isAtom ? one.own : one.pairs)[i] || [];
  const features = [];
  for (let k = 0; k < flat.length; k += 2) features.push([flat[k], flat[k + 1]]);
  const title = isAtom ? `atom ${symbol(m, i)}` : `bond ${m.bonds.slice(3 * i, 3 * i + 2).map(j => symbol(m, j)).join("–")}`;
  const parts = one.substructures.filter(([, , , places]) => isAtom && places.some(at => at.includes(i)));
  return {title, score: signed(isAtom ? one.atoms[i] : one.bonds[i]), features, parts, isAtom};
}
function readout(m, key, live) {
  const {title, score, features, parts, isAtom} = told(m, key);
  const list = make("ul");
  for (const [feature, value] of features) {
    const text = `${D.features[feature]}: ${signed(value)}`;
    list.append(make("li", {}, live ? make("button", {class: "link", type: "button", onclick: () => choose(feature)}, text) : text));
  }
  for (const [name, , value] of parts) list.append(make("li", {}, `in ${name}: ${signed(value)} as a whole`));
  const how = isAtom ? "own features and half of its bonds and pairs" : "half of it is in each of its atoms";
  return [make("strong", {}, `${title}: ${score}`), make("div", {}, `(${how})`), list];
}
function choose(feature) {
  if (byId("big").open) byId("big").close();
  state.feature = feature;
  render();
  byId("tools").scrollIntoView({block: "start"});
}
const weight = (m, feature) => {
  const totals = why(m).totals;
  let all = 0, own = 0;
  for (let k = 0; k < totals.length; k += 2) {
    all += Math.abs(totals[k + 1]);
    if (totals[k] === feature) own = totals[k + 1];
  }
  return all && Math.abs(own) >= MATTERS * all ? own : 0;
};

/* Pointing: by mouse, finger or keys; the same atom lights up in picture and SMILES. */

const tip = byId("tip");
function light(root, key, name = "on") {
  for (const lit of root.querySelectorAll(`.${name}[data-k]`)) lit.classList.remove(name);
  if (key) for (const found of root.querySelectorAll(`[data-k="${key}"]`)) found.classList.add(name);
}
function point(root, m, key, x, y) {
  light(root, key);
  tip.replaceChildren(...readout(m, key, false));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 6));
  const top = y + 18 + box.height > innerHeight ? Math.max(6, y - box.height - 14) : y + 18;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
  const inner = byId("readout");
  // A tooltip inside a modal dialog has to be inside it; there the panel beside the picture says the same.
  if (inner && root.contains(inner)) { inner.replaceChildren(...readout(m, key, true)); tip.hidden = true; }
}
function leave(root) { light(root, null); tip.hidden = true; }
function pointable(root, m) {
  root.addEventListener("pointerover", event => {
    const key = event.target.dataset && event.target.dataset.k;
    if (key) point(root, m, key, event.clientX, event.clientY);
  });
  root.addEventListener("pointerout", event => {
    if (event.pointerType === "mouse" && event.target.dataset && event.target.dataset.k) leave(root);
  });
  root.addEventListener("keydown", event => {
    if (event.target.tagName !== "svg") return;
    const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (event.key === "Escape" && !tip.hidden) { leave(root); event.stopPropagation(); return; }
    if (event.key === "Enter" && root.tagName === "ARTICLE") { enlarge(m); return; }
    if (!steps) return;
    event.preventDefault();
    event.stopPropagation();
    const n = m.atoms.length, all = n + m.bonds.length / 3;
    root.at = ((root.at ?? (steps > 0 ? -1 : 0)) + steps + all) % all;
    const key = root.at < n ? `a${root.at}` : `b${root.at - n}`;
    const box = root.querySelector(`.hit[data-k="${key}"]`).getBoundingClientRect();
    point(root, m, key, box.right, box.bottom);
    const {title, score} = told(m, key);
    byId("live").textContent = `${title}: ${score}`;
  });
  root.addEventListener("focusout", event => { if (event.target.tagName === "svg") leave(root); });
}
addEventListener("scroll", () => { tip.hidden = true; }, {passive: true});

/* Cards, and the same in large. */

function domainBadge(m) {
  if (!m.domain) return null;
  return make("span", {class: isOut(m) ? "badge out" : "badge", title: m.domain[2]}, (isOut(m) ? "⚠\uFE0E " : "") + m.domain[0]);
}
function sumsTable(one) {
  const rows = [["baseline", one.base], ...one.sums, ["score", one.score]];
  let low = Math.min(0, one.base), high = Math.max(0, one.base), at = one.base;
  const bars = [[0, one.base]];
  for (const [, part] of one.sums) {
    bars.push([at, at + part]);
    at += part; low = Math.min(low, at); high = Math.max(high, at);
  }
  bars.push([0, one.score]);
  low = Math.min(low, one.score); high = Math.max(high, one.score);
  const span = high - low || 1, place = value => 100 * (value - low) / span;
  const body = make("tbody");
  rows.forEach(([name, value], k) => {
    const [from, to] = bars[k], bar = make("i", {class: to < from ? "minus" : ""}), zero = make("b");
    bar.style.left = `${place(Math.min(from, to))}%`;
    bar.style.width = `${Math.abs(place(to) - place(from))}%`;
    zero.style.left = `${place(0)}%`;
    const isEnd = k === 0 || k === rows.length - 1;
    body.append(make("tr", {}, make("th", {scope: "row"}, name), make("td", {}, make("div", {class: "track", "aria-hidden": "true"}, bar, zero)),
      make("td", {class: "num"}, isEnd ? scored(value) : signed(value))));
  });
  return make("table", {class: "sums"}, make("caption", {}, `From the ${D.baseline} baseline to the score (${D.target})`), body);
}
function featureButtons(m) {
  const totals = why(m).totals, box = make("div", {class: "features", role: "group", "aria-label": "Molecules where a feature matters"});
  for (let k = 0; k < Math.min(totals.length, 8); k += 2)
    box.append(make("button", {type: "button", title: "Show molecules where this matters", onclick: () => choose(totals[k])},
      `${D.features[totals[k]]} ${signed(totals[k + 1])}`));
  return box;
}
const pairList = pairs => make("dl", {}, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
function details(m, heading) {
  const one = why(m), body = make("div", {class: "body"});
  const facts = [["task", D.tasks[one.task]], [D.target, scored(one.score)]];
  m.cells.forEach((value, c) => { if (value !== null && value !== "" && state.columns.has(c)) facts.push([D.columns[c], plain(value)]); });
  body.append(...[
    heading, domainBadge(m),
    make("div", {}, smiles(m)),
    m.scored || m.removed.length ? make("p", {class: "note"}, `Scored: ${m.scored || m.smiles}` + (m.removed.length ? `; removed: ${m.removed.join("; ")}` : "")) : null,
    isOut(m) ? make("p", {class: "warning"}, `The model does not know molecules like this: ${m.domain[2]}.`) : null,
    one.converged ? null : make("p", {class: "warning"}, "The integral did not converge: do not rely on single atoms."),
    ...m.notes.map(note => make("p", {class: "seen"}, note)),
    pairList(facts),
    make("p", {class: "note"}, one.note),
    sumsTable(one),
    one.members.length ? make("p", {class: "note"}, "Members: " + one.members.map(([name, part]) => `${name} ${signed(part)}`).join(", ")) : null,
    one.substructures.length || one.absent.length ? make("ul", {class: "note"},
      ...one.substructures.slice(0, 4).map(([name, count, score]) => make("li", {}, `${name}${count > 1 ? ` ×${count}` : ""}: ${signed(score)}`)),
      ...one.absent.map(text => make("li", {}, text))) : null,
    featureButtons(m),
  ].filter(part => part !== null));
  return body;
}
const fullColour = m => make("p", {class: "full"}, `full colour at ±${plain(scaleOf(why(m)))}` + (state.own ? " (this molecule’s own)" : ""));

const cards = M.map((m, number) => {
  const card = make("article", {id: `card-${number + 1}`, class: isOut(m) ? "out" : "", "aria-label": nameOf(m)});
  pointable(card, m);
  return card;
});
function fill(number) {
  const m = M[number], card = cards[number];
  if (card.firstChild) return;
  const drawing = make("div", {class: "drawing", onclick: event => {
    const key = event.target.dataset && event.target.dataset.k;
    if (key && event.pointerType && event.pointerType !== "mouse") point(card, m, key, event.clientX, event.clientY);
    else enlarge(m);
  }}, picture(m));
  const body = details(m, make("h3", {}, nameOf(m), " "));
  body.prepend(fullColour(m));
  card.replaceChildren(drawing, body);
}
const watch = new IntersectionObserver(seen => {
  for (const one of seen) if (one.isIntersecting) fill(cards.indexOf(one.target));
}, {rootMargin: "500px"});
cards.forEach(card => watch.observe(card));
function redraw() {
  for (const card of cards) { card.replaceChildren(); watch.unobserve(card); watch.observe(card); }
  for (const row of rows.values()) { row.thumb.replaceChildren(); thumbs.unobserve(row.thumb); thumbs.observe(row.thumb); }
}

const big = byId("big");
function enlarge(m, pinned = null) {
  tip.hidden = true;
  const fresh = make("div", {});
  const order = shown, at = order.indexOf(m);
  const go = step => { enlarge(order[(at + step + order.length) % order.length]); };
  const bar = make("div", {class: "bar"}, make("h2", {id: "big-title"}, nameOf(m)),
    make("button", {type: "button", "aria-label": "Previous molecule", onclick: () => go(-1)}, "←"),
    make("button", {type: "button", "aria-label": "Next molecule", onclick: () => go(1)}, "→"),
    make("button", {type: "button", onclick: () => big.close()}, "Close"));
  const panel = make("div", {id: "readout", "aria-live": "polite"}, make("p", {}, "Point at an atom or a bond, tap it, or go through them with the arrow keys."));
  const body = details(m, make("span"));
  body.prepend(panel, fullColour(m));
  const drawing = make("div", {class: "drawing"}, picture(m));
  fresh.append(bar, make("div", {class: "two"}, drawing, body));
  big.className = isOut(m) ? "out" : "";
  big.replaceChildren(fresh);
  pointable(fresh, m);
  fresh.addEventListener("click", event => {
    const key = event.target.dataset && event.target.dataset.k;
    if (!key) return;
    light(fresh, key, "pinned");
    point(fresh, m, key, event.clientX, event.clientY);
  });
  if (!big.open) big.showModal();
  drawing.firstChild.focus();
  if (pinned) point(fresh, m, pinned, 0, 0);
}
big.addEventListener("click", event => { if (event.target === big) big.close(); });

/* The table: one row a molecule, one column a task where there are several. */

function columns() {
  const found = [{name: "Molecule", value: m => nameOf(m), cell: nameCell}];
  if (D.several) D.tasks.forEach((task, t) => found.push({name: task, number: true, value: m => (m.why.find(one => one.task === t) || {score: null}).score, cell: heatCell(t)}));
  else {
    if (D.tasks.length > 1) found.push({name: "Task", value: m => D.tasks[m.why[0].task]});
    found.push({name: D.tasks.length > 1 ? "Score" : D.tasks[0] || "Score", number: true, value: m => m.why[0].score, cell: m => scored(m.why[0].score)});
  }
  if (M.some(m => m.domain)) found.push({name: "Domain", value: m => m.domain ? m.domain[0] : "", cell: m => domainBadge(m) || ""});
  D.columns.forEach((name, c) => {
    if (state.columns.has(c)) found.push({name, user: true, number: M.every(m => m.cells[c] === null || typeof m.cells[c] === "number"), value: m => m.cells[c]});
  });
  return found;
}
function nameCell(m) {
  const box = make("div", {}, make("button", {class: "link", type: "button", onclick: () => enlarge(m)}, nameOf(m)));
  if (m.id) box.append(make("code", {}, m.smiles));
  return box;
}
const ranges = D.tasks.map((_, t) => {
  const scores = M.flatMap(m => m.why.filter(one => one.task === t).map(one => one.score));
  return D.target.includes("probability") ? [0, 1] : [Math.min(...scores), Math.max(...scores)];
});
const heatCell = t => (m, cell) => {
  const one = m.why.find(each => each.task === t);
  if (!one) return "";
  const [low, high] = ranges[t];
  cell.style.background = `rgb(217 119 6 / ${(0.6 * (one.score - low) / (high - low || 1)).toFixed(3)})`;
  cell.classList.add("heat");
  return make("button", {type: "button", "aria-label": `${nameOf(m)}, ${D.tasks[t]}: ${scored(one.score)}`, onclick: () => { setTask(t); enlarge(m); }}, scored(one.score));
};
const rows = new Map();
const thumbs = new IntersectionObserver(seen => {
  for (const one of seen) if (one.isIntersecting && !one.target.firstChild) {
    const m = one.target.molecule;
    one.target.append(make("button", {type: "button", "aria-label": `Enlarge ${nameOf(m)}`, onclick: () => enlarge(m)}, picture(m, {live: false})));
  }
}, {rootMargin: "300px"});
function buildTable() {
  const shownColumns = columns(), head = make("tr", {}, make("th", {scope: "col"}, tickAll()), make("th", {scope: "col"}, make("span", {class: "hidden"}, "Picture")));
  for (const column of shownColumns) {
    const th = make("th", {scope: "col", class: [column.number ? "num" : "", column.user ? "user" : ""].join(" ")},
      make("button", {type: "button", onclick: () => sortBy(column, th)}, column.name));
    if (state.sort && state.sort.name === column.name) th.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
    head.append(th);
  }
  document.querySelector("#hits thead").replaceChildren(head);
  thumbs.disconnect();
  M.forEach((m, number) => {
    const thumb = make("td", {class: "thumb"});
    thumb.molecule = m;
    const tick = make("input", {type: "checkbox", "aria-label": `Tick ${nameOf(m)}`, onchange: () => {
      state.ticked[tick.checked ? "add" : "delete"](m);
      count();
    }});
    tick.checked = state.ticked.has(m);
    const row = make("tr", {class: isOut(m) ? "out" : "", "data-row": number}, make("td", {}, tick), thumb);
    for (const column of shownColumns) {
      const cell = make("td", {class: [column.number ? "num" : "", column.user ? "user" : ""].join(" ")});
      cell.append(column.cell ? column.cell(m, cell) : plain(column.value(m)));
      row.append(cell);
    }
    rows.set(m, {row, thumb, tick});
    thumbs.observe(thumb);
  });
}
function tickAll() {
  const box = make("input", {type: "checkbox", "aria-label": "Tick all that are shown", onchange: () => {
    for (const m of shown) { state.ticked[box.checked ? "add" : "delete"](m); rows.get(m).tick.checked = box.checked; }
    count();
  }});
  return box;
}
function sortBy(column, th) {
  // Numbers begin with the largest.
  const again = state.sort && state.sort.name === column.name;
  state.sort = {name: column.name, value: column.value, down: again ? !state.sort.down : Boolean(column.number)};
  for (const other of th.parentNode.children) other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
  render();
}

/* Choosing what is shown. */

let shown = [];
const folded = M.map(m => [m.id, m.smiles, m.scored, ...m.cells].join("\n").toLowerCase());
function compare(a, b) {
  const [x, y] = [a, b].map(state.sort.value), none = [x, y].map(value => value === null || value === undefined || value === "");
  if (none[0] || none[1]) return none[0] - none[1];
  const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, {numeric: true});
  return state.sort.down ? -order : order;
}
function render() {
  const query = state.query.trim().toLowerCase();
  shown = M.filter((m, i) => (!query || folded[i].includes(query))
    && (!state.pattern || m.match)
    && (state.least === null || why(m).score >= state.least)
    && (!state.inside || !isOut(m))
    && (state.feature === null || weight(m, state.feature) !== 0));
  if (state.sort) shown.sort(compare);
  else if (state.feature !== null) shown.sort((a, b) => Math.abs(weight(b, state.feature)) - Math.abs(weight(a, state.feature)));
  document.querySelector("#hits tbody").replaceChildren(...shown.map(m => rows.get(m).row));
  byId("cards").replaceChildren(...shown.map(m => cards[M.indexOf(m)]));
  byId("none").hidden = shown.length > 0;
  byId("chips").replaceChildren(...(state.feature === null ? [] : [make("button", {type: "button", onclick: () => { state.feature = null; render(); }},
    `where “${D.features[state.feature]}” is at least ${100 * MATTERS} % of all that is said  ✕`)]));
  count();
}
function count() {
  const n = state.ticked.size;
  byId("count").textContent = `${shown.length} of ${M.length} shown` + (n ? `, ${n} ticked` : "");
  for (const [id, name] of [["csv", "CSV"], ["sdf", "SDF"]])
    byId(id).textContent = `${name} of ${n ? `${n} ticked` : shown.length === M.length ? "all" : `${shown.length} shown`}`;
}
function setTask(t) {
  if (!D.several || state.task === t) return;
  state.task = t;
  byId("task").value = String(t);
  redraw();
  drawScale();
  render();
}
function searchFor(text) {
  const named = D.groups.find(([name]) => name === text.trim().toLowerCase()), says = byId("smarts-says");
  const had = state.pattern !== null;
  state.pattern = null;
  says.textContent = "";
  if (text.trim()) try {
    const pattern = Smarts.parse(named ? named[1] : text.trim());
    for (const m of M) {
      m.graph ??= Smarts.graph(m.atoms.map(kind => D.kinds[kind]), m.bonds, m.rings);
      m.match = Smarts.atoms(pattern, m.graph);
    }
    state.pattern = pattern;
  } catch (error) {
    says.textContent = `SMARTS: ${error.message}`;
  }
  if (had || state.pattern) redraw();
  render();
}

/* Taking away: CSV that no spreadsheet takes for formulas, and SD files. */

const taken = () => state.ticked.size ? shown.filter(m => state.ticked.has(m)).concat(M.filter(m => state.ticked.has(m) && !shown.includes(m))) : shown;
function save(name, text, type) {
  const link = make("a", {href: URL.createObjectURL(new Blob([text], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
function properties(m) {
  const found = [["id", m.id || m.smiles], ["smiles", m.smiles], ["scored_smiles", m.scored || m.smiles], ["removed", m.removed.join("; ")]];
  if (D.several) D.tasks.forEach((task, t) => found.push([task, (m.why.find(one => one.task === t) || {score: null}).score]));
  else found.push(["task", D.tasks[m.why[0].task]], ["score", m.why[0].score], ["baseline_score", m.why[0].base], ["residual", m.why[0].residual]);
  if (M.some(each => each.domain)) found.push(["applicability", m.domain ? m.domain[0] : null], ["similarity", m.domain ? m.domain[1] : null]);
  const names = new Set(found.map(([name]) => name));
  D.columns.forEach((name, c) => found.push([names.has(name) ? `input.${name}` : name, m.cells[c]]));
  return found;
}
function saveCsv() {
  const chosen = taken();
  if (!chosen.length) return;
  const head = properties(chosen[0]).map(([name]) => csvCell(name));
  save("hits.csv", [head, ...chosen.map(m => properties(m).map(([, value]) => csvCell(value)))].map(row => row.join(",")).join("\r\n") + "\r\n", "text/csv");
}
const oneLine = text => String(text).replace(/\s+/g, " ").replace(/^(\$\$\$\$|>|M {2}END)/, " $1");
function saveSdf() {
  const records = taken().map(m => {
    const scores = why(m).atoms.join(" ").replace(/(.{1,190})(?:\s|$)/g, "$1\n").trim();
    const fields = properties(m).filter(([, value]) => value !== null && value !== "")
      .map(([name, value]) => `>  <${oneLine(name).replace(/[<>]/g, "")}>\n${oneLine(value)}\n`);
    fields.push(`>  <atom.dprop.molig_score>\n${scores}\n`);
    return `${oneLine(nameOf(m))}\n${m.block}${fields.join("\n")}\n$$$$\n`;
  });
  if (records.length) save("hits.sdf", records.join(""), "chemical/x-mdl-sdfile");
}

/* The head of the page, and its switches. */

function drawScale() {
  const bar = shape("svg", {viewBox: `0 0 ${D.palette.length} 1`, preserveAspectRatio: "none", role: "img", "aria-label": "colour scale"});
  D.palette.forEach((fill, x) => bar.append(shape("rect", {x, y: 0, width: 1.05, height: 1, fill})));
  const several = new Set(D.scales).size > 1, scale = D.scales[state.task ?? 0];
  const said = state.own ? "Each molecule has its own scale, said under its picture: colours of two molecules cannot be compared."
    : several && state.task === null ? "Each task has a scale of its own, in its unit; all molecules share it."
    : `All pictures share this scale: full colour at ±${plain(scale ?? 0)}` + (D.fixed ? "." : ", the largest atom or bond of the page.");
  const end = state.own || (several && state.task === null) ? "" : plain(scale ?? 0);
  byId("scale").replaceChildren(make("span", {}, `−${end} lowers`), bar, make("span", {}, `+${end} raises (${D.target})`), make("span", {}, said));
}
function themeButton() {
  const button = byId("theme"), themes = ["auto", "light", "dark"];
  let at = 0;
  button.addEventListener("click", () => {
    at = (at + 1) % themes.length;
    if (at) document.documentElement.dataset.theme = themes[at];
    else delete document.documentElement.dataset.theme;
    button.textContent = `◐ ${themes[at]}`;
    button.setAttribute("aria-label", `Colours of the page: ${at ? themes[at] : "as the system has them"}`);
  });
}
function chooseColumns() {
  if (!D.columns.length) return;
  byId("chooser").hidden = false;
  byId("chooser").lastElementChild.append(...D.columns.map((name, c) => {
    const box = make("input", {type: "checkbox", onchange: () => {
      state.columns[box.checked ? "add" : "delete"](c);
      buildTable();
      redraw();
      render();
    }});
    box.checked = state.columns.has(c);
    return make("label", {class: "tick"}, box, name);
  }));
}
function soon(action, wait = 150) {
  let timer;
  return event => { clearTimeout(timer); timer = setTimeout(() => action(event.target), wait); };
}
function start() {
  if (D.unseen.length) byId("unseen").textContent = `The model does not see ${D.unseen.join(", ")}: molecules that differ by nothing else score the same.`;
  byId("groups").append(...D.groups.map(([name, smarts]) => make("option", {value: name, label: smarts})));
  if (D.several) {
    state.task = 0;
    byId("task-choice").hidden = false;
    byId("task").append(...D.tasks.map((task, t) => make("option", {value: t}, task)));
    byId("task").addEventListener("change", event => setTask(Number(event.target.value)));
  }
  byId("domain-choice").hidden = !M.some(m => m.domain);
  byId("tools").addEventListener("submit", event => event.preventDefault());
  byId("query").addEventListener("input", soon(input => { state.query = input.value; render(); }));
  byId("smarts").addEventListener("input", soon(input => searchFor(input.value), 250));
  byId("least").addEventListener("input", soon(input => { state.least = input.value === "" ? null : Number(input.value); render(); }));
  byId("scaling").value = state.own ? "own" : "shared";
  byId("layer").addEventListener("change", event => { state.bonds = event.target.value === "bonds"; redraw(); });
  for (const [k, id] of [[0, "raises"], [1, "lowers"]]) byId(id).textContent = D.names[k];
  byId("inside").addEventListener("change", event => { state.inside = event.target.checked; render(); });
  byId("scaling").addEventListener("change", event => { state.own = event.target.value === "own"; redraw(); drawScale(); });
  byId("reset").addEventListener("click", () => {
    Object.assign(state, {query: "", pattern: null, least: null, inside: false, feature: null});
    for (const id of ["query", "smarts", "least"]) byId(id).value = "";
    byId("inside").checked = false;
    byId("smarts-says").textContent = "";
    redraw();
    render();
  });
  byId("csv").addEventListener("click", saveCsv);
  byId("sdf").addEventListener("click", saveSdf);
  byId("print").addEventListener("click", () => print());
  addEventListener("beforeprint", () => shown.forEach(m => fill(M.indexOf(m))));
  addEventListener("keydown", event => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !big.open) { event.preventDefault(); byId("query").focus(); }
  });
  themeButton();
  chooseColumns();
  drawScale();
  buildTable();
  render();
}
start();
})();
