// The player of the attack lab. player.py says what it is sent; what it shows is its own affair until that changes.

const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const PACE = { moving: 350, still: 1000 }; // milliseconds an update while playing
const FLICKER = 600; // milliseconds a picture: below two changes a second
const REST = 200; // milliseconds after the last key until the page follows
const ROWS = 60; // of the table, at once
const BARS = { asked: 6, others: 3 }; // beside the pictures
const KEPT = 128; // parcels
const PATIENCE = 500; // milliseconds until what has not come is asked for; twice as many until it is asked for again
const STILLNESS = "Because this device asks for less motion, Play shows one update a second and there is no flicker.";

const parcels = new Map(); // what has come, by its digest; the one used longest ago first
const decoded = new WeakMap(); // the pixels of what came as a picture
const players = new WeakMap(); // by the element that holds them
let latest = null; // of them
const NOBODY = "body, [data-testid=stMain]"; // has the keyboard when nothing else has

document.addEventListener("keydown", (event) => {
  const ours = ["ArrowLeft", "ArrowRight", " "].includes(event.key) && event.target.matches(NOBODY);
  if (ours && latest?.root.isConnected) latest.press(event);
});

export default function mount({ data: [data], parentElement, setStateValue, setTriggerValue }) {
  const player = players.get(parentElement) ?? new Player(parentElement);
  players.set(parentElement, player);
  latest = player;
  player.tell = () => setStateValue("at", { id: data.id, update: player.follows ? null : player.update, near: player.lens.near });
  player.brush.tell = (text, stroke) => setStateValue("painted", { text, stroke });
  player.ask = (missing) => setTriggerValue("missing", missing);
  player.receive(data);
  return () => player.pause();
}

function keep(sent) {
  for (const [digest, parcel] of Object.entries(sent)) parcels.set(digest, parcel);
}

function fetched(digest) {
  const parcel = parcels.get(digest);
  parcels.delete(digest);
  if (parcel) parcels.set(digest, parcel);
  return parcel;
}

function letGo() {
  for (const digest of [...parcels.keys()].slice(0, -KEPT)) parcels.delete(digest);
}

function pixels(sent) {
  if (!decoded.has(sent)) decoded.set(sent, pixelsOf(sent.url));
  return decoded.get(sent);
}

class Player {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.table = new Labels(this.find(".labels"));
    this.bars = new Bars(this.find(".bars"));
    this.stage = this.find(".stage");
    this.pictures = this.panes();
    this.lens = new Lens(this.stage, this.find(".zoom"), () => this.look());
    this.brush = new Brush(this.find(".brush"), this.find(".original .pane"), this.lens, () => this.view("side"));
    this.lens.taken = (from) =>
      Boolean(from.closest(".painted")) || (this.stage.dataset.view === "wipe" && Boolean(from.closest(".attacked .pane")));
    this.ink = new Ink(this.find(".tools"), () => this.draw());
    this.scrub = this.find(".scrub");
    this.patience = PATIENCE;
    this.near = false; // whether somebody looks close, as far as the page knows
    this.divide(50);
    this.listen();
  }

  // The canvases of the pictures, and the one of the original that is laid over the attacked.
  panes() {
    const layers = Object.fromEntries(["original", "attacked", "map", "over"].map((name) => [name, makeLayer()]));
    const over = make("div", "over");
    over.append(layers.over.layer);
    this.which = make("span", "which");
    for (const name of ["original", "attacked", "map"]) {
      const above = name === "attacked" ? [over, this.which] : [];
      this.find(`.${name} .pane`).append(layers[name].layer, ...above, make("div", "mark"));
    }
    return Object.fromEntries(Object.entries(layers).map(([name, { canvas }]) => [name, canvas]));
  }

  listen() {
    const on = (selector, event, act) => this.find(selector).addEventListener(event, act);
    on(".transport", "click", (event) => this.go(event.target.closest("button")?.dataset.go));
    on(".player", "keydown", (event) => this.press(event));
    on(".scrub", "input", () => this.goTo(this.nearest(+this.scrub.value)));
    on(".scrub", "change", () => this.rest());
    on(".views", "change", (event) => this.view(event.target.value));
    on(".divider input", "input", (event) => this.divide(+event.target.value));
    for (const event of ["pointerdown", "pointermove"]) on(".attacked .pane", event, (e) => this.drag(e));
    STILL.addEventListener("change", () => this.view("side"));
  }

  // --- what comes from the server

  receive(data) {
    this.brush.receive(data.brush);
    keep(data.parcels);
    const close = data.close ? [data.close.original, data.close.moment] : [];
    this.needed = [data.labels, data.original, ...close, ...data.film.map((moment) => moment.parcel)];
    if (this.missing().length) {
      this.asking ??= setTimeout(() => this.complain(), this.patience);
      return;
    }
    this.patience = PATIENCE;
    letGo();
    const [original, moment] = close.map(fetched);
    this.close = data.close && { ...moment, original, update: data.close.update };
    if (data.version === this.version) return this.paint(this.film[this.index]);
    const fresh = data.id !== this.id;
    const at = fresh ? data.shown : this.follows ? data.lead : this.update; // the page may not know of the last key yet
    if (fresh) this.pause();
    this.id = data.id;
    this.version = data.version;
    this.live = data.live;
    this.film = data.film.map((moment) => ({ ...moment, ...parcels.get(moment.parcel) }));
    this.set(data, parcels.get(data.original));
    for (const part of [this.table, this.bars]) part.about(parcels.get(data.labels), this.film);
    this.goTo(this.nearest(at));
    if (this.update !== at) this.rest();
  }

  missing() {
    return this.needed.filter((digest) => !fetched(digest));
  }

  complain() {
    this.asking = null;
    this.patience *= 2;
    const missing = this.missing();
    if (missing.length) this.ask(missing);
  }

  set(data, original) {
    if (this.original?.url !== original.url) {
      for (const canvas of Object.values(this.pictures)) [canvas.width, canvas.height] = original.size;
      this.original = original;
      this.painted = null;
      this.lens.fit(original.size);
    }
    this.colours = data.colours;
    this.ink.propose(data.gain);
    this.ink.slider.disabled = this.film.length === 1; // there is no perturbation yet
    this.root.querySelectorAll("section").forEach((part) => (part.hidden = false));
    this.reduced = data.note;
    this.find(".player").classList.toggle("alone", this.film.length === 1);
    this.scrub.max = this.film.at(-1).update;
  }

  // --- where it is

  nearest(update) {
    const away = this.film.map((moment) => Math.abs(moment.update - update));
    return away.indexOf(Math.min(...away));
  }

  get update() {
    return this.film[this.index].update;
  }

  goTo(index) {
    this.index = Math.max(0, Math.min(index, this.film.length - 1));
    this.follows = this.live && this.index === this.film.length - 1; // the attack, to what it will have reached
    this.draw();
  }

  go(where) {
    if (!where) return;
    if (where === "play") return this.timer ? this.halt() : this.play();
    const target = { first: 0, back: this.index - 1, on: this.index + 1, last: this.film.length - 1 }[where];
    this.pause();
    this.goTo(target);
    this.rest();
  }

  press(event) {
    const typed = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last", " ": "play" }[event.key];
    const own = [this.scrub, this.stage, this.find(".player")].includes(event.target) || event.target.matches(NOBODY);
    const button = event.target.matches("button") && event.key !== " ";
    if (event.defaultPrevented || !typed || !(own || button) || !(this.film?.length > 1) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.go(typed);
  }

  rest() {
    clearTimeout(this.resting);
    this.scrub.value = this.update;
    this.resting = setTimeout(() => this.tell(), REST);
  }

  // --- playing

  play() {
    if (this.index === this.film.length - 1) this.goTo(0);
    this.pause();
    this.timer = setInterval(() => this.advance(), STILL.matches ? PACE.still : PACE.moving);
    this.draw();
  }

  advance() {
    this.goTo(this.index + 1);
    if (this.index === this.film.length - 1) this.halt();
  }

  pause() {
    clearTimeout(this.resting);
    clearInterval(this.timer);
    this.timer = null;
  }

  halt() {
    this.pause();
    this.draw();
    this.rest();
  }

  // --- what it looks like

  draw() {
    const [original, now, last] = [this.film[0], this.film[this.index], this.film.at(-1)];
    const playing = Boolean(this.timer);
    const [play, reading] = [this.find("[data-go=play]"), this.find(".reading")];
    play.classList.toggle("playing", playing);
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    reading.setAttribute("aria-live", playing ? "off" : "polite");
    reading.textContent = `${now.title}. Reads as ${now.reads}. L2 ${now.l2}.`;
    this.scrub.value = now.update;
    this.scrub.setAttribute("aria-valuetext", now.title);
    const moment = now.update ? `after update ${now.update} of ${last.update}` : "before the first update";
    const map = this.mapped(now);
    const names = {
      original: `Original photo; reads as ${original.reads}.`,
      over: `Original photo; reads as ${original.reads}.`,
      attacked: `Attacked photo ${moment}; reads as ${now.reads}.`,
      map: `${map}, ${moment}.`,
    };
    for (const [name, canvas] of Object.entries(this.pictures)) canvas.setAttribute("aria-label", names[name]);
    this.caption("original", `Original: ${original.reads}`);
    this.caption("map", map);
    this.caption("attacked", this.compared(original, now));
    this.paint(now);
    this.table.show(now, playing);
    this.bars.show(now);
  }

  // What the third picture shows, in words.
  mapped(now) {
    if (now.gradient) return `Gradient of the target: ${this.ink.way.told}`;
    return `Perturbation: ${now.change ? this.ink.words : "none yet"}`;
  }

  compared(original, now) {
    const between = { wipe: "Left of the divider the original", flicker: "In turn with the original" };
    const view = between[this.stage.dataset.view];
    return `Attacked: ${now.reads}` + (view ? `. ${view}: ${original.reads}` : "");
  }

  async paint(now) {
    const close = this.close?.update === now.update ? this.close : null;
    const sent = { original: this.original, ...now, ...close };
    const drawn = sent.change ?? sent.gradient;
    const asked = (this.asked = {});
    this.stage.setAttribute("aria-busy", true);
    const [original, shades] = await Promise.all([pixels(sent.original), drawn && pixels(drawn)]);
    if (asked !== this.asked) return; // something else is shown meanwhile
    const [change, gradient] = [sent.change, sent.gradient].map((each) => each && { ...each, pixels: shades });
    const known = this.painted?.original === original;
    if (!known) for (const name of ["original", "over"]) paint(this.pictures[name], original);
    if (!known || this.painted.change?.pixels !== change?.pixels) paint(this.pictures.attacked, attackedOf(original, change));
    const ink = gradient ? { way: this.ink.way, gain: sent.gain } : this.ink;
    paint(this.pictures.map, mapOf(original, change ?? gradient, ink, this.colours));
    this.painted = { original, change };
    this.find(".player .note").textContent = [close ? "" : this.reduced, STILL.matches ? STILLNESS : ""].join(" ");
    this.stage.setAttribute("aria-busy", false);
    this.lens.grain(sent.original.size);
    this.say();
  }

  // Somebody looks elsewhere, or close, for which the page has to send more of a large picture.
  look() {
    this.say();
    if (!this.reduced || this.near === this.lens.near) return;
    this.near = this.lens.near;
    if (this.near) this.rest();
  }

  // The values of the pixel that is pointed at.
  say() {
    const { pixel } = this.lens;
    this.find(".value").textContent = pixel && this.painted ? this.values(pixel) : `Point at a pixel for its values. ${HOW}`;
  }

  values({ x, y }) {
    const { original, change } = this.painted;
    const { before, added } = valuesAt(original, change, this.lens.index);
    const after = before.map((value, c) => (value + added[c]).toFixed(1));
    const exact = change ? `, to ± ${(stepOf(change) / 2).toPrecision(1)}` : "";
    return (
      `Pixel (${x}, ${y}), red green blue in levels from 0 to 255: original ${before.join(" ")}, ` +
      `attacked ${after.join(" ")}, difference ${added.map(signed).join(" ")}${exact}.`
    );
  }

  caption(figure, text) {
    this.find(`.${figure} figcaption`).textContent = text;
  }

  view(name) {
    this.find(`[value=${name}]`).checked = true;
    this.stage.dataset.view = name;
    if (name !== "side" && this.brush.tool) this.brush.pick("");
    clearInterval(this.flickering);
    this.flip(false);
    if (name === "flicker") this.flickering = setInterval(() => this.flip(), FLICKER);
    if (this.film) this.draw();
  }

  flip(over = !this.stage.classList.contains("flipped")) {
    if (!this.stage.isConnected) return clearInterval(this.flickering);
    this.stage.classList.toggle("flipped", over);
    this.which.textContent = over ? "Original" : "Attacked";
  }

  divide(percent) {
    this.find(".divider input").value = percent;
    this.find(".attacked .pane").style.setProperty("--split", `${percent}%`);
  }

  drag(event) {
    if (this.stage.dataset.view !== "wipe" || !(event.buttons & 1)) return;
    const { left, width } = event.currentTarget.getBoundingClientRect();
    this.divide(Math.round(Math.max(0, Math.min(1, (event.clientX - left) / width)) * 100));
  }
}

// The labels asked for and those that are nearest to their threshold, how sure the network is of each, and the threshold.
class Bars {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
  }

  about(labels, film) {
    const [original, last] = [film[0], film.at(-1)];
    const changed = changes(labels, original);
    const all = labels.names.map((_, i) => i);
    const near = (i) => Math.min(...[original, last].map(({ clearances }) => clearances[i] ?? Infinity));
    const asked = all
      .filter((i) => (changed.includes(true) ? changed[i] : labels.wanted[i] === 1))
      .sort((a, b) => labels.wanted[b] - labels.wanted[a])
      .slice(0, BARS.asked);
    const others = all.filter((i) => !asked.includes(i)).sort((a, b) => near(a) - near(b)).slice(0, BARS.others);
    this.labels = labels;
    this.full = labels.threshold === null ? Math.max(...film.flatMap(({ sure }) => sure)) || 1 : 1;
    this.rows = [...asked, ...others].map((i) => ({ i, ...this.row(i, asked.includes(i), original.sure[i] / this.full) }));
    this.find("ul").replaceChildren(...this.rows.map((row) => row.line));
    this.find(".rule").textContent =
      labels.threshold === null
        ? `${labels.sureness}. The line is the largest of those not wanted: what is wanted is read beyond it.`
        : `${labels.sureness}. A label is read where its bar crosses the line, at ${100 * labels.threshold}%.`;
  }

  row(i, asked, before) {
    const [line, gauge] = [make("li", asked ? "asked" : ""), make("span", "gauge")];
    const [level, mark, threshold] = [make("i"), make("b"), make("u")];
    const [percent, outcome] = [make("span", "percent"), make("span", "outcome")];
    gauge.setAttribute("aria-hidden", "true");
    mark.style.left = `${100 * before}%`;
    gauge.append(level, mark, threshold);
    const sign = asked ? (this.labels.wanted[i] === 1 ? "+ " : "− ") : "";
    line.append(Object.assign(make("span", "name"), { textContent: sign + this.labels.names[i] }), gauge, percent, outcome);
    return { line, level, threshold, percent, outcome };
  }

  show({ sure, outcomes, clearances }) {
    const { labels, full } = this;
    const line = labels.threshold ?? Math.max(...sure.filter((_, i) => labels.wanted[i] !== 1));
    for (const row of this.rows) {
      row.level.style.width = `${(100 * sure[row.i]) / full}%`;
      row.threshold.style.left = `${(100 * line) / full}%`;
      row.line.classList.toggle("wrong", clearances[row.i] < 0);
      row.percent.textContent = percentage(sure[row.i]);
      row.outcome.textContent = labels.outcomes[outcomes[row.i]];
    }
  }
}

class Labels {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.search = this.find("[type=search]");
    this.sort = this.find("select");
    this.search.addEventListener("input", () => this.arrange());
    this.sort.addEventListener("change", () => this.arrange());
  }

  about(labels, film) {
    this.labels = labels;
    this.original = film[0];
    this.likely = film[0].sure.map((sure, i) => Math.max(sure, film.at(-1).sure[i]));
    this.changes = changes(labels, film[0]);
    this.find("thead .score").textContent = labels.score;
    this.rows = null;
  }

  show(moment, playing) {
    this.moment = moment;
    this.there = new Set(moment.now);
    if (this.rows === null || (!playing && this.sort.value === "margin")) this.arrange();
    else this.rows.forEach((row, i) => this.fill(row, i));
  }

  arrange() {
    const wanted = this.search.value.trim().toLowerCase();
    const all = this.labels.names.map((_, i) => i);
    const found = all.filter((i) => this.labels.names[i].toLowerCase().includes(wanted)).sort(this.order());
    this.rows = new Map(found.slice(0, ROWS).map((i) => [i, this.row(i)]));
    this.rows.forEach((row, i) => this.fill(row, i));
    this.find("tbody").replaceChildren(...[...this.rows.values()].map((row) => row.line));
    this.find(".count").textContent = this.counted(found.length, all.length);
  }

  counted(found, all) {
    const more = found > ROWS ? `, the first ${ROWS} are shown: search for the others` : "";
    return (found === all ? `${all} labels` : `${found} of ${all} labels`) + more;
  }

  order() {
    const { clearances } = this.moment;
    const { names } = this.labels;
    return {
      asked: (a, b) => this.changes[b] - this.changes[a] || this.likely[b] - this.likely[a],
      margin: (a, b) => clearances[a] - clearances[b],
      name: (a, b) => names[a].localeCompare(names[b]),
    }[this.sort.value];
  }

  row(i) {
    const line = make("tr", this.changes[i] ? "asked" : "");
    const cells = ["", "", "number", "number", "sure", ""].map((kind) => make("td", kind));
    const [now, wanted, score, margin, sure, outcome] = cells;
    const name = Object.assign(make("th"), { scope: "row", textContent: this.labels.names[i] });
    const [gauge, level, mark, percent] = [make("span", "gauge"), make("i"), make("b"), make("span", "percent")];
    gauge.setAttribute("aria-hidden", "true");
    mark.style.left = `${100 * this.original.sure[i]}%`;
    wanted.textContent = this.labels.places[i] ?? { 1: "yes", 0: "no", "-1": "either" }[this.labels.wanted[i]];
    gauge.append(level, mark);
    sure.append(gauge, percent);
    line.append(name, ...cells);
    return { line, now, score, margin, level, percent, outcome };
  }

  fill(row, i) {
    const { scores, clearances, sure, outcomes, ranks } = this.moment;
    row.now.textContent = ranks ? `rank ${ranks[i]}` : this.there.has(i) ? "yes" : "no";
    row.score.textContent = rounded(scores[i]);
    row.margin.textContent = rounded(clearances[i]);
    row.level.style.width = `${100 * sure[i]}%`;
    row.percent.textContent = percentage(sure[i]);
    row.outcome.textContent = this.labels.outcomes[outcomes[i]];
  }
}

// Of each label, whether the target asks for something else than the original has.
function changes(labels, original) {
  return labels.wanted.map((wanted, i) => wanted >= 0 && wanted !== +original.now.includes(i));
}

function percentage(sure) {
  return sure === null ? "–" : `${(100 * sure).toFixed(1)}%`;
}

function rounded(value) {
  return value === null ? "–" : value.toFixed(2).replace("-", "−");
}
