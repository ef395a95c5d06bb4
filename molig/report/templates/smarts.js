"use strict";
/* Substructure search by SMARTS, on graphs that RDKit made: aromaticity, rings, hydrogens and valences are its
   own, and only patterns are read and matched here. RDKit's WebAssembly would add 3.3 MB to every page. */
const Smarts = (() => {
const ELEMENTS = ("H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr " +
  "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W " +
  "Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U").split(" ");
const AROMATIC = {b: 5, c: 6, n: 7, o: 8, p: 15, s: 16, as: 33, se: 34, te: 52};
const [NUMBER, CHARGE, ALL_H, ISOTOPE, IS_AROMATIC, HIDDEN_H, VALENCE] = [1, 2, 3, 4, 5, 6, 7];
const MOST_MATCHES = 500, MOST_STEPS = 200000;

class Reader {
  constructor(text) { this.text = text; this.at = 0; }
  get more() { return this.at < this.text.length; }
  peek(n = 1) { return this.text.slice(this.at, this.at + n); }
  take(sign) {
    if (!this.text.startsWith(sign, this.at)) return false;
    this.at += sign.length;
    return true;
  }
  number() {
    const found = /^\d+/.exec(this.text.slice(this.at));
    if (!found) return null;
    this.at += found[0].length;
    return Number(found[0]);
  }
  wrong(what = "cannot read") {
    const sign = this.more ? `“${this.peek()}”` : "the end";
    throw new Error(`${what} ${sign} at position ${this.at + 1}`);
  }
  /* Text up to the bracket that closes the one just read. */
  inside(open, close) {
    const start = this.at;
    for (let depth = 1; this.more; this.at++) {
      if (this.peek() === open) depth++;
      if (this.peek() === close && !--depth) return this.text.slice(start, this.at++);
    }
    return this.wrong(`a “${close}” is missing before`);
  }
}

/* “;” binds least, then “,”, then “&” or nothing, then “!”. */
function expression(reader, primitive) {
  const all = tests => tests.length === 1 ? tests[0] : (...x) => tests.every(test => test(...x));
  const any = tests => tests.length === 1 ? tests[0] : (...x) => tests.some(test => test(...x));
  const not = () => {
    if (!reader.take("!")) return primitive(reader);
    const test = not();
    return (...x) => !test(...x);
  };
  const and = () => {
    const tests = [not()];
    while (reader.more && !",;".includes(reader.peek())) { reader.take("&"); tests.push(not()); }
    return all(tests);
  };
  const list = (next, sign, join) => {
    const tests = [next()];
    while (reader.take(sign)) tests.push(next());
    return join(tests);
  };
  const test = list(() => list(and, ",", any), ";", all);
  if (reader.more) reader.wrong();
  return test;
}

const element = (number, aromatic) => (m, i) =>
  m.kinds[i][NUMBER] === number && (aromatic === null || m.kinds[i][IS_AROMATIC] === Number(aromatic));

function counted(reader, count, usual) {
  const n = reader.number();
  return n === null ? (m, i) => usual === null ? count(m, i) > 0 : count(m, i) === usual : (m, i) => count(m, i) === n;
}

function charge(reader, sign) {
  let n = reader.number();
  if (n === null) for (n = 1; reader.take(sign); n++);
  return (m, i) => m.kinds[i][CHARGE] === (sign === "+" ? n : -n);
}

function atomPrimitive(reader) {
  const first = reader.at === 0;
  if (reader.take("$(")) {
    const inner = parse(reader.inside("(", ")"));
    return (m, i) => search(inner, m, i, () => true);
  }
  const isotope = reader.number();
  if (isotope !== null) return (m, i) => m.kinds[i][ISOTOPE] === isotope;
  if (reader.take("#")) {
    const n = reader.number();
    if (n === null) reader.wrong("an atomic number is missing before");
    return element(n, null);
  }
  if (reader.take(":")) { reader.number(); return () => true; }
  if (reader.take("@")) { reader.take("@"); return () => true; }
  if (reader.take("+")) return charge(reader, "+");
  if (reader.take("-")) return charge(reader, "-");
  if (reader.take("*")) return () => true;
  const two = reader.peek(2), one = reader.peek();
  if (two.length === 2 && ELEMENTS.includes(two)) { reader.at += 2; return element(ELEMENTS.indexOf(two) + 1, false); }
  if (AROMATIC[two] && two.length === 2) { reader.at += 2; return element(AROMATIC[two], true); }
  if (one === "H" && (first || /^\d+$/.test(reader.text.slice(0, reader.at))) && /^(H$|H[+\-:])/.test(reader.text.slice(reader.at))) {
    reader.at++;
    return element(1, null);
  }
  const rule = COUNTS[one];
  if (rule) { reader.at++; return counted(reader, ...rule); }
  if (one === "a" || one === "A") { reader.at++; return (m, i) => m.kinds[i][IS_AROMATIC] === Number(one === "a"); }
  if (AROMATIC[one]) { reader.at++; return element(AROMATIC[one], true); }
  if (ELEMENTS.includes(one)) { reader.at++; return element(ELEMENTS.indexOf(one) + 1, false); }
  return reader.wrong();
}

const COUNTS = {
  D: [(m, i) => m.next[i].length, 1],
  X: [(m, i) => m.next[i].length + m.kinds[i][HIDDEN_H], 1],
  H: [(m, i) => m.kinds[i][ALL_H], 1],
  h: [(m, i) => m.kinds[i][HIDDEN_H], null],
  v: [(m, i) => m.kinds[i][VALENCE], 1],
  x: [(m, i) => m.next[i].filter(([, bond]) => m.inRing[bond]).length, null],
  R: [(m, i) => m.rings[i].length, null],
  r: [(m, i) => m.rings[i].length ? Math.min(...m.rings[i]) : 0, null],
};

const ORDERS = {"-": 1, "/": 1, "\\": 1, "=": 2, "#": 3, ":": 4};
const SINGLE_OR_AROMATIC = (m, b) => m.orders[b] === 1 || m.orders[b] === 4;

function bondPrimitive(reader) {
  if (reader.take("~")) return () => true;
  if (reader.take("@")) return (m, b) => m.inRing[b];
  const order = ORDERS[reader.peek()];
  if (!order) reader.wrong();
  reader.at++;
  if (order === 1 && reader.peek() === ">") reader.wrong("no dative bonds here:");
  return (m, b) => m.orders[b] === order;
}

function atomOf(reader) {
  if (reader.take("[")) {
    const inner = reader.inside("[", "]");
    if (!inner) throw new Error("“[]” is no atom");
    return expression(new Reader(inner), atomPrimitive);
  }
  for (const symbol of ["Cl", "Br", "B", "C", "N", "O", "P", "S", "F", "I"])
    if (reader.take(symbol)) return element(ELEMENTS.indexOf(symbol) + 1, false);
  if (reader.take("*")) return () => true;
  if (reader.take("a")) return (m, i) => m.kinds[i][IS_AROMATIC] === 1;
  if (reader.take("A")) return (m, i) => m.kinds[i][IS_AROMATIC] === 0;
  for (const symbol of ["b", "c", "n", "o", "p", "s"]) if (reader.take(symbol)) return element(AROMATIC[symbol], true);
  return reader.wrong();
}

/* A pattern: tests of atoms, and for each atom its bonds to earlier ones. */
function parse(text) {
  const reader = new Reader(text), pattern = {atoms: [], back: []}, open = [], closures = {};
  let last = -1, bond = null;
  while (reader.more) {
    const signs = /^[-=#:~@/\\!&,;]+/.exec(reader.text.slice(reader.at));
    if (reader.take("(")) { if (last < 0) reader.wrong("no atom before the bracket before"); open.push(last); }
    else if (reader.take(")")) { if (!open.length) reader.wrong("a “)” too many before"); last = open.pop(); }
    else if (reader.take(".")) { last = -1; bond = null; }
    else if (signs && last >= 0) { bond = expression(new Reader(signs[0]), bondPrimitive); reader.at += signs[0].length; }
    else if (/[\d%]/.test(reader.peek()) && last >= 0) {
      const ring = reader.take("%") ? reader.text.slice(reader.at, reader.at += 2) : reader.text[reader.at++];
      const other = closures[ring];
      if (other) {
        pattern.back[Math.max(last, other.atom)].push([Math.min(last, other.atom), bond || other.bond || SINGLE_OR_AROMATIC]);
        delete closures[ring];
      } else closures[ring] = {atom: last, bond};
      bond = null;
    } else {
      const here = pattern.atoms.push(atomOf(reader)) - 1;
      pattern.back.push(last < 0 ? [] : [[last, bond || SINGLE_OR_AROMATIC]]);
      last = here; bond = null;
    }
  }
  if (open.length) throw new Error("a “)” is missing at the end");
  if (Object.keys(closures).length) throw new Error(`ring ${Object.keys(closures)[0]} is not closed`);
  if (!pattern.atoms.length) throw new Error("no atom in the pattern");
  if (bond) throw new Error("no atom after the last bond");
  return pattern;
}

/* Calls `found` with each match until it says true; whether it did. */
function search(pattern, m, start, found) {
  const at = [], used = new Set(), n = pattern.atoms.length;
  let steps = 0;
  const fits = (k, i) => !used.has(i) && pattern.atoms[k](m, i) && pattern.back[k].every(([other, test]) => {
    const edge = m.next[i].find(([j]) => j === at[other]);
    return edge && test(m, edge[1]);
  });
  const step = k => {
    if (k === n) return found(at);
    if (++steps > MOST_STEPS) throw new Error("too many ways to try: give a pattern that says more");
    const near = pattern.back[k].length ? m.next[at[pattern.back[k][0][0]]].map(([j]) => j)
      : k === 0 && start >= 0 ? [start] : m.kinds.keys();
    for (const i of near) {
      if (!fits(k, i)) continue;
      at[k] = i; used.add(i);
      if (step(k + 1)) return true;
      used.delete(i);
    }
    return false;
  };
  return step(0);
}

/* What `search` asks of a molecule, from its arrays on the page. */
function graph(kinds, bonds, rings) {
  const next = kinds.map(() => []), orders = [], inRing = [], of = kinds.map(() => []), edges = new Set();
  for (const ring of rings) ring.forEach((atom, k) => {
    of[atom].push(ring.length);
    const before = ring[(k || ring.length) - 1];
    edges.add(`${atom} ${before}`).add(`${before} ${atom}`);
  });
  for (let b = 0; 3 * b < bonds.length; b++) {
    const [i, j, order] = bonds.slice(3 * b, 3 * b + 3);
    next[i].push([j, b]); next[j].push([i, b]);
    orders.push(order); inRing.push(edges.has(`${i} ${j}`));
  }
  return {kinds, next, orders, inRing, rings: of};
}

/* Atoms of all matches of a pattern, or null without one. */
function atoms(pattern, molecule) {
  const all = new Set();
  let n = 0;
  search(pattern, molecule, -1, at => { at.forEach(i => all.add(i)); return ++n >= MOST_MATCHES; });
  return n ? all : null;
}

return {parse, graph, atoms};
})();
