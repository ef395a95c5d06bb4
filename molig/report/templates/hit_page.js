/* The page of hits. Texts of users' files are only ever set as text; markup comes from RDKit's drawings alone. */
(() => {
const D = JSON.parse(document.getElementById("data").textContent), M = D.molecules;
const byId = id => document.getElementById(id), SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = D.size, SHOWN_COLUMNS = 8, MATTERS = 0.05, LAYERS = ["atoms", "bonds", "pairs"];
const state = {query: "", pattern: null, task: null, least: null, inside: false, feature: null, own: D.own,
  layers: new Set(D.layers), label: D.label, threshold: D.threshold, sort: null, ticked: new Set(), columns: new Set(D.columns.keys().filter(i => i < SHOWN_COLUMNS))};

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
  for (const [name, value] of Object.entries(attributes)) if (value !== null) found.setAttribute(name, value);
  return found;
}
const typographic = text => text.replaceAll("-", "−");
const signed = value => typographic((value > 0 ? "+" : "") + (value === 0 ? "0" : Number(value.toPrecision(3))));
const plain = value => value === null || value === undefined ? "" : typeof value !== "number" ? value
  : typographic(String(Number.isInteger(value) ? value : Number(value.toPrecision(4))));
const scored = value => typeof value === "number" && D.target.includes("probability") ? value.toFixed(4) : plain(value);
const nameOf = m => m.id || m.smiles;
const why = m => D.several && state.task !== null ? m.why.find(one => one.task === state.task) || m.why[0] : m.why[0];
const isOut = m => m.domain !== null && m.domain[0] !== "in domain";

const mixed = ([low, high], share) => "#" + [1, 3, 5].map(at => {
  const [a, b] = [low, high].map(shade => parseInt(shade.slice(at, at + 2), 16));
  return Math.round(a + share * (b - a)).toString(16).padStart(2, "0");
}).join("");
/* Null where the paper may stay white. */
function color(value, scale) {
  if (!scale) return null;
  if (Math.abs(value) < D.noise * scale) return D.grey;
  if (Math.abs(value) < D.marks.visible * scale) return null;
  const place = (Math.max(-1, Math.min(1, value / scale)) + 1) / 2 * (D.palette.length - 1);
  const low = Math.min(Math.floor(place), D.palette.length - 2);
  return mixed(D.palette.slice(low, low + 2), place - low);
}
function rim(value, scale) {
  const shade = color(value, scale);
  if (shade === null || shade === D.grey) return null;
  const full = D.rims[value > 0 ? 0 : 1];
  return {stroke: mixed(["#ffffff", full], 0.3 + 0.7 * Math.sqrt(Math.min(1, Math.abs(value) / scale))), dash: value < 0 ? "2 1.6" : null};
}

/* What is coloured: bonds and pairs in colours of their own are no part of their atoms' colours, so that all colours add up. */

const bondsOf = m => Array.from({length: m.bonds.length / 3}, (_, b) => m.bonds.slice(3 * b, 3 * b + 2));
function atomsShown(m, one) {
  const scores = one.atoms.slice();
  if (state.layers.has("bonds")) bondsOf(m).forEach((ends, b) => ends.forEach(i => { scores[i] -= one.bonds[b] / 2; }));
  if (state.layers.has("pairs")) one.others.forEach((score, i) => { scores[i] -= score; });
  return scores;
}
let scales = new Map();
function largest(m, one) {
  const found = [0];
  if (state.layers.has("atoms")) found.push(...atomsShown(m, one));
  if (state.layers.has("bonds")) found.push(...one.bonds);
  if (state.layers.has("pairs") && one.arcs.length) found.push(one.arcs[0][2]);
  return found.reduce((most, score) => Math.max(most, Math.abs(score)), 0);
}
/* Scores of one unit share a scale: all tasks' probabilities do, values of several tasks do not. */
function sharedScale(task) {
  if (D.fixed !== null) return D.fixed;
  const unit = D.units ? task : "all";
  if (!scales.has(unit)) scales.set(unit, M.reduce((most, m) => Math.max(most,
    ...m.why.filter(one => !D.units || one.task === task).map(one => largest(m, one))), 0));
  return scales.get(unit);
}
const scaleOf = m => state.own ? largest(m, why(m)) : sharedScale(why(m).task);
function arcsShown(m) {
  if (!state.layers.has("pairs")) return [];
  const least = Math.max(state.threshold, D.noise) * scaleOf(m);
  return why(m).arcs.map((arc, k) => [arc, k]).filter(([arc]) => Math.abs(arc[2]) >= least);
}

/* Pictures: colours under RDKit's ink, and above it what can be pointed at. */

const placeOf = (m, i) => [m.xy[2 * i], m.xy[2 * i + 1]];
const radius = m => Math.min(D.marks.largest, D.marks.disc * m.bond);
/* Left, top, right and bottom of an atom's disc: as large as its letters, if it is written. */
function boxOf(m, i) {
  for (let k = 0; k < m.boxes.length; k += 5) if (m.boxes[k] === i) return m.boxes.slice(k + 1, k + 5);
  const [x, y] = placeOf(m, i), r = radius(m);
  return [x - r, y - r, x + r, y + r];
}
function disc([left, top, right, bottom], more, attributes) {
  const width = right - left + 2 * more, height = bottom - top + 2 * more, rx = Math.min(width, height) / 2;
  return shape("rect", {x: left - more, y: top - more, width, height, rx, ...attributes});
}
function ends(m, [i, j]) {
  const [x1, y1] = placeOf(m, i), [x2, y2] = placeOf(m, j);
  return {x1, y1, x2, y2};
}
/* An arc bends away from the middle of the molecule; its path, and its highest point. */
function arcOf(m, [i, j]) {
  const [x1, y1] = placeOf(m, i), [x2, y2] = placeOf(m, j), n = m.xy.length / 2;
  const middle = [(x1 + x2) / 2, (y1 + y2) / 2], across = [y1 - y2, x2 - x1];
  const mean = [0, 1].map(k => m.xy.reduce((sum, value, at) => at % 2 === k ? sum + value / n : sum, 0));
  const side = across[0] * (middle[0] - mean[0]) + across[1] * (middle[1] - mean[1]) >= 0 ? 1 : -1;
  const [cx, cy] = middle.map((value, k) => value + side * 2 * D.marks.bulge * across[k]);
  return {d: `M${x1},${y1}Q${cx.toFixed(1)},${cy.toFixed(1)} ${x2},${y2}`, top: [(middle[0] + cx) / 2, (middle[1] + cy) / 2]};
}
/* A score with the decimals that two digits of the scale need, and no nought before the point. */
function short(score, scale) {
  const decimals = Math.min(Math.max(0, 1 - Math.floor(Math.log10(scale))), 6), text = score.toFixed(decimals);
  return Number(text) < 0 ? typographic(text.replace("-0.", "-.")) : "+" + text.replace("-", "").replace(/^0\./, ".");
}
function labelsOf(m, scores, scale) {
  const size = Math.min(10, Math.max(5, 0.34 * m.bond)), found = [];
  if (state.label !== "none") scores.forEach((score, i) => {
    if (state.label === "values" && [null, D.grey].includes(color(score, scale))) return;
    const content = state.label === "numbers" ? String(m.numbers[i]) : short(score, scale), [x, y] = placeOf(m, i);
    const [left, top, right, bottom] = boxOf(m, i), cosine = Math.cos(m.free[i] * Math.PI / 180), sine = Math.sin(m.free[i] * Math.PI / 180);
    const half = 0.29 * size * content.length;
    found.push({content, half, size, x: x + cosine * ((cosine > 0 ? right - x : x - left) + half + 1), y: y + sine * ((sine > 0 ? bottom - y : y - top) + size / 2 + 1)});
  });
  return found;
}
function picture(m, {live = true} = {}) {
  const one = why(m), scale = scaleOf(m), r = radius(m), scores = atomsShown(m, one), band = D.marks.band * m.bond;
  const svg = shape("svg", {role: "img", "aria-label": `${nameOf(m)}: structure, ${said(m)}`});
  if (state.layers.has("bonds")) {
    const coloured = bondsOf(m).map((bond, b) => [ends(m, bond), one.bonds[b]]);
    const drawn = coloured.map(([line, score]) => [line, color(score, scale), rim(score, scale)]).filter(([, fill]) => fill);
    for (const [line, , edge] of drawn) if (edge) svg.append(shape("line", {...line, "stroke-width": band + 1.8, stroke: edge.stroke, "stroke-dasharray": edge.dash}));
    for (const [line, fill] of drawn) svg.append(shape("line", {...line, "stroke-width": band, stroke: fill}));
  }
  if (state.layers.has("atoms")) scores.forEach((score, i) => {
    const fill = color(score, scale), edge = rim(score, scale);
    if (fill) svg.append(disc(boxOf(m, i), 0, {class: "disc", fill, ...(edge ? {stroke: edge.stroke, "stroke-width": 0.9, "stroke-dasharray": edge.dash} : {})}));
  });
  const arcs = live ? arcsShown(m) : [], bends = arcs.map(([arc]) => arcOf(m, arc)), labels = live ? labelsOf(m, scores, scale) : [];
  arcs.forEach(([[, , score]], k) => svg.append(shape("path", {class: "arc", d: bends[k].d, stroke: D.rims[score > 0 ? 0 : 1],
    "stroke-width": (0.6 + 1.6 * Math.min(1, Math.abs(score) / scale)) * Math.min(1, m.bond / 20), "stroke-dasharray": score < 0 ? "2 1.6" : null})));
  const ink = shape("g", {"pointer-events": "none"});
  ink.innerHTML = m.ink;
  svg.append(ink);
  for (const {content, x, y, size} of labels) {
    const text = shape("text", {class: "label", x: x.toFixed(1), y: (y + 0.35 * size).toFixed(1), "font-size": size});
    text.textContent = content;
    svg.append(text);
  }
  if (state.pattern) for (const i of m.match || []) svg.append(disc(boxOf(m, i), 2, {class: "match"}));
  /* Arcs and labels may need room around the structure. */
  const reach = [[0, 0], [WIDTH, HEIGHT], ...bends.map(({top: [x, y]}) => [x - 3, y - 3]), ...bends.map(({top: [x, y]}) => [x + 3, y + 3]),
    ...labels.flatMap(({x, y, half, size}) => [[x - half - 3, y - size], [x + half + 3, y + size]])];
  const [left, top] = [0, 1].map(k => Math.min(...reach.map(at => at[k]))), [right, bottom] = [0, 1].map(k => Math.max(...reach.map(at => at[k])));
  svg.setAttribute("viewBox", [left, top, right - left, bottom - top].map(Math.round).join(" "));
  if (!live) return svg;
  bondsOf(m).forEach((bond, b) => svg.append(shape("line", {...ends(m, bond), class: "hit", "data-k": `b${b}`, "stroke-width": Math.max(6, 0.9 * r)})));
  arcs.forEach(([, k], place) => svg.append(shape("path", {d: bends[place].d, class: "hit", "data-k": `p${k}`, "stroke-width": 6})));
  one.atoms.forEach((_, i) => svg.append(disc(boxOf(m, i), r < 4 ? 4 - r : 0, {class: "hit", "data-k": `a${i}`})));
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-roledescription", "structure; arrow keys go through atoms, bonds and arcs");
  return svg;
}
function said(m) {
  const names = LAYERS.filter(layer => state.layers.has(layer)).map(layer => layer === "pairs" ? "arcs of other pairs" : layer);
  return names.length ? `${names.join(", ").replace(/, ([^,]*)$/, " and $1")} coloured by their part of the score of ${D.tasks[why(m).task]}` : "without colours";
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

/* What an atom, a bond or an arc says. */

const symbol = (m, i) => `${D.kinds[m.atoms[i]][0]} ${m.numbers[i]}`;
const twosome = list => Array.from({length: list.length / 2}, (_, k) => list.slice(2 * k, 2 * k + 2));
function told(m, key) {
  const one = why(m), kind = key[0], i = Number(key.slice(1));
  if (kind === "p") {
    const [first, second, score, ...features] = one.arcs[i];
    return {title: `pair ${symbol(m, first)}…${symbol(m, second)}`, score: signed(score), features: twosome(features), parts: [], how: howPairs()};
  }
  if (kind === "b") return {title: `bond ${m.bonds.slice(3 * i, 3 * i + 2).map(j => symbol(m, j)).join("–")}`, score: signed(one.bonds[i]),
    features: twosome(one.pairs[i] || []), parts: [], how: state.layers.has("bonds") ? "in its own colour, not in that of its atoms" : "half of it is in each of its atoms"};
  return {title: `atom ${symbol(m, i)}`, score: signed(one.atoms[i]), features: twosome(one.own[i] || []),
    parts: one.substructures.filter(([, , , places]) => places.some(at => at.includes(i))), how: howAtom(m, one, i)};
}
const howPairs = () => state.layers.has("pairs") ? "in its own colour, not in that of its atoms" : "half of it is in each of its atoms";
function howAtom(m, one, i) {
  const whole = "own features and half of its bonds and pairs", apart = LAYERS.slice(1).filter(layer => state.layers.has(layer));
  return apart.length ? `${whole}; its colour is ${signed(atomsShown(m, one)[i])}, without the ${apart.join(" and ")}, which have their own` : whole;
}
function readout(m, key, live) {
  const {title, score, features, parts, how} = told(m, key);
  const list = make("ul");
  for (const [feature, value] of features) {
    const text = `${D.features[feature]}: ${signed(value)}`;
    list.append(make("li", {}, live ? make("button", {class: "link", type: "button", onclick: () => choose(feature)}, text) : text));
  }
  for (const [name, , value] of parts) list.append(make("li", {}, `in ${name}: ${signed(value)} as a whole`));
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
    const keys = ["a", "b", "p"].flatMap(kind => [...root.querySelectorAll(`.hit[data-k^="${kind}"]`)].map(hit => hit.dataset.k));
    root.at = ((root.at ?? (steps > 0 ? -1 : 0)) + steps + keys.length) % keys.length;
    const key = keys[root.at];
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
  const rows = [[D.reference ? "reference" : "baseline", one.start], ...one.sums, ["score", one.score]];
  let low = Math.min(0, one.start), high = Math.max(0, one.start), at = one.start;
  const bars = [[0, one.start]];
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
  return make("table", {class: "sums"}, make("caption", {}, `From the ${D.start} to the score (${D.target})`), body);
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
function fullColour(m) {
  const n = why(m).n_arcs, scale = scaleOf(m);
  return make("p", {class: "full"}, (scale ? `full colour at ±${plain(scale)}` : "no score is coloured") + (state.own ? " (this molecule’s own)" : "")
    + (state.layers.has("pairs") ? ` · arcs: ${arcsShown(m).length} of ${n.toLocaleString("en")} non-bonded pair${n === 1 ? "" : "s"}` : ""));
}

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
  const body = details(m, make("h3", {title: nameOf(m)}, nameOf(m), " "));
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
  const bar = make("div", {class: "bar"}, make("h2", {id: "big-title", title: nameOf(m)}, nameOf(m)),
    make("button", {type: "button", "aria-label": "Previous molecule", onclick: () => go(-1)}, "←"),
    make("button", {type: "button", "aria-label": "Next molecule", onclick: () => go(1)}, "→"),
    make("button", {type: "button", onclick: () => big.close()}, "Close"));
  const panel = make("div", {id: "readout", "aria-live": "polite"}, make("p", {}, "Point at an atom or a bond, tap it, or go through them with the arrow keys."));
  const body = details(m, make("span"));
  const drawing = make("div", {class: "drawing"});
  const draw = () => { drawing.replaceChildren(picture(m)); body.querySelector(".full").replaceWith(fullColour(m)); fresh.at = undefined; };
  body.prepend(panel, lookControls(), fullColour(m));
  draw();
  big.draw = draw;
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
  const box = make("div", {}, make("button", {class: "link name", type: "button", onclick: () => enlarge(m)}, nameOf(m)));
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
  for (const [id, name] of [["csv", "CSV"], ["sdf", "SDF"]]) {
    byId(id).disabled = !n && !shown.length;
    byId(id).textContent = `${name} of ${n ? `${n} ticked` : shown.length === M.length ? "all" : `${shown.length} shown`}`;
  }
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
  if (!D.several && m.why[0].start !== m.why[0].base) found.push(["reference_score", m.why[0].start]);
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

/* How pictures look: the same switches above the page and beside an enlarged picture. */

function lookControls() {
  const tick = layer => make("label", {class: "tick"}, make("input", {type: "checkbox", name: layer, onchange: event => {
    state.layers[event.target.checked ? "add" : "delete"](layer);
    lookChanged();
  }}), layer === "pairs" ? "other pairs (arcs)" : layer);
  const choice = (name, title, options, chosen) => make("label", {}, title, make("select", {name, onchange: event => { chosen(event.target.value); lookChanged(); }},
    ...options.map(([value, text]) => make("option", {value}, text))));
  const arcs = M.some(m => m.why.some(one => one.n_arcs));
  const box = make("div", {class: "look"},
    make("fieldset", {}, make("legend", {}, "Coloured"), ...LAYERS.filter(layer => layer !== "pairs" || arcs).map(tick)),
    arcs ? make("label", {title: "share of the scale"}, "Arcs above", make("input", {type: "number", name: "threshold", "aria-label": "Arcs above this share of the scale", min: 0, max: 1, step: 0.05, onchange: event => {
      state.threshold = Math.max(0, Math.min(1, Number(event.target.value) || 0));
      lookChanged();
    }})) : null,
    choice("label", "Beside atoms", [["none", "nothing"], ["numbers", "numbers"], ["values", "values"]], value => { state.label = value; }),
    choice("scaling", "Scale", [["shared", "one scale for all"], ["own", "each molecule’s own"]], value => { state.own = value === "own"; }));
  showLook(box);
  return box;
}
function showLook(box) {
  const input = name => box.querySelector(`[name=${name}]`);
  for (const layer of LAYERS) if (input(layer)) input(layer).checked = state.layers.has(layer);
  input("label").value = state.label;
  input("scaling").value = state.own ? "own" : "shared";
  if (!input("threshold")) return;
  input("threshold").value = state.threshold;
  input("threshold").parentNode.hidden = !state.layers.has("pairs");
}
function lookChanged() {
  scales = new Map();
  document.querySelectorAll(".look").forEach(showLook);
  redraw();
  drawScale();
  if (big.open) big.draw();
}

/* The head of the page, and its switches. */

function drawScale() {
  const bar = shape("svg", {viewBox: `0 0 ${D.palette.length} 1`, preserveAspectRatio: "none", role: "img", "aria-label": "colour scale"});
  D.palette.forEach((fill, x) => bar.append(shape("rect", {x, y: 0, width: 1.05, height: 1, fill})));
  const open = D.units && state.task === null, scale = plain(open || state.own ? 0 : sharedScale(state.task ?? 0));
  const largestOf = LAYERS.filter(layer => state.layers.has(layer)).map(layer => layer.replace(/s$/, "")).join(" or ") || "score";
  const said = state.own ? "Each molecule has its own scale, said under its picture: colours of two molecules cannot be compared."
    : !open && !sharedScale(state.task ?? 0) ? "Nothing has a colour: every score that would be coloured is 0."
    : open ? "Each task has a scale of its own, in its unit; all molecules share it."
    : `All pictures share this scale: full colour at ±${scale}` + (D.fixed !== null ? "." : `, the largest ${largestOf} of the page.`);
  const end = state.own || open ? "" : scale;
  const scaled = open || state.own || sharedScale(state.task ?? 0) > 0;
  byId("scale").replaceChildren(...(scaled ? [make("span", {}, `−${end} lowers`), bar, make("span", {}, `+${end} raises (${D.target})`)] : []), make("span", {}, said));
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
  byId("look").replaceChildren(lookControls());
  byId("start").textContent = D.start || "baseline";
  for (const [k, id] of [[0, "raises"], [1, "lowers"]]) byId(id).textContent = D.names[k];
  byId("inside").addEventListener("change", event => { state.inside = event.target.checked; render(); });
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
