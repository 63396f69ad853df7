// The logit space of the Geometry page and of the lecture. plane.py says what it is sent.

const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const GROWTH = 2500; // milliseconds until the ellipse touches the region
const REST = 300; // milliseconds after the last move until the page follows
const FACTOR = 1.5; // of one step of zooming
const [CLOSEST, FARTHEST] = [50, 0.2];
const [STEP, PAN] = [8, 32]; // pixels that an arrow key moves a point, and the whole
const FLATNESS = 0.5; // of the drawing: its height by its width
const [LOWEST, HIGHEST] = [300, 480]; // pixels
const EDGE = { left: 44, bottom: 44 }; // pixels, for ticks and titles
const SVG = "http://www.w3.org/2000/svg";

const planes = new WeakMap(); // by the element that holds them

export default function mount({ data: [data], parentElement, setStateValue }) {
  const plane = planes.get(parentElement) ?? new Plane(parentElement);
  planes.set(parentElement, plane);
  plane.tell = (done) => setStateValue("done", done);
  plane.receive(data);
}

class Plane {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.svg = this.find(".plane > svg");
    this.effort = this.find(".effort input");
    this.find(".bar").addEventListener("click", (event) => this.act(event.target.dataset.act));
    this.effort.addEventListener("input", () => this.stop());
    const on = (event, act, options) => this.svg.addEventListener(event, act, options);
    on("keydown", (event) => this.key(event));
    on("pointerdown", (event) => this.grasp(event));
    on("pointermove", (event) => this.drag(event));
    for (const event of ["pointerup", "pointercancel"]) on(event, () => this.release());
    on("dblclick", (event) => this.zoom(FACTOR, ...this.at(event)));
    on("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.data && this.draw()).observe(this.svg);
  }

  // --- what comes from the server

  receive(data) {
    if (data.version === this.version) return;
    const fresh = data.subject !== this.data?.subject;
    this.version = data.version;
    this.data = data;
    this.free = data.free;
    this.find(".plane").hidden = false;
    this.find(".price").hidden = !data.live;
    if (fresh) {
      this.chosen = null;
      this.view = { k: 1, x: 0, y: 0 };
      this.grow();
    } else {
      this.draw();
    }
  }

  // --- what is done

  act(what) {
    if (what === "grow") this.grow();
    else if (what === "all") this.look({ k: 1, x: 0, y: 0 });
    else if (what) this.zoom(what === "in" ? FACTOR : 1 / FACTOR, this.size.width / 2, this.size.height / 2);
  }

  grow() {
    this.effort.value = STILL.matches ? this.effort.max : 0;
    this.stop();
    if (STILL.matches) return;
    const start = performance.now();
    const on = (now) => {
      this.effort.value = this.effort.max * Math.min(1, (now - start) / GROWTH);
      this.draw();
      this.growing = now - start < GROWTH && this.svg.isConnected ? requestAnimationFrame(on) : null;
    };
    this.growing = requestAnimationFrame(on);
  }

  stop() {
    cancelAnimationFrame(this.growing);
    this.draw();
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const zooms = { "+": "in", "=": "in", "-": "out", 0: "all" };
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [choice, move] = [event.target.closest(".choice"), moves[event.key]];
    if (zooms[event.key]) this.act(zooms[event.key]);
    else if (choice && ["Enter", " "].includes(event.key)) this.choose(choice.dataset.name);
    else if (move && event.target.closest(".free")) this.nudge(...move);
    else if (move) this.shift(-PAN * move[0], -PAN * move[1], this.view);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  grasp(event) {
    if (event.button) return;
    this.grip = { free: Boolean(event.target.closest(".free")), from: this.at(event), view: this.view, moved: false };
    this.grip.choice = event.target.closest(".choice")?.dataset.name;
    if (this.grip.free) event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
  }

  drag(event) {
    if (!this.grip) return;
    const [[x, y], [fromX, fromY]] = [this.at(event), this.grip.from];
    this.grip.moved ||= Math.hypot(x - fromX, y - fromY) > 3;
    if (!this.grip.moved) return;
    if (this.grip.free) this.lay(x, y);
    else this.shift(x - fromX, y - fromY, this.grip.view);
  }

  release() {
    if (this.grip?.choice && !this.grip.moved) this.choose(this.grip.choice);
    this.grip = null;
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // scrolls the page
    event.preventDefault();
    this.zoom(2 ** (-event.deltaY / 100), ...this.at(event));
  }

  zoom(factor, x, y) {
    const k = Math.max(FARTHEST, Math.min(CLOSEST, this.view.k * factor));
    const by = k / this.view.k;
    const [midX, midY] = [this.size.width / 2, this.size.height / 2];
    this.look({ k, x: (this.view.x - x + midX) * by + x - midX, y: (this.view.y - y + midY) * by + y - midY });
  }

  shift(x, y, from) {
    this.look({ ...this.view, x: from.x + x, y: from.y + y });
  }

  look(view) {
    this.view = view;
    this.draw();
  }

  choose(name) {
    this.chosen = name;
    this.rest(0);
  }

  nudge(across, down) {
    const [x, y] = this.screen(this.free);
    this.lay(x + STEP * across, y + STEP * down);
  }

  lay(x, y) {
    const { width, height } = this.size;
    this.free = this.logits([Math.max(EDGE.left, Math.min(width, x)), Math.max(0, Math.min(height - EDGE.bottom, y))]);
    this.draw();
    this.rest(REST);
  }

  rest(after) {
    clearTimeout(this.resting);
    const done = () => this.tell({ subject: this.data.subject, chosen: this.chosen ?? undefined, point: this.free });
    this.resting = setTimeout(done, after);
  }

  // --- where things are: logits, and pixels of the drawing

  get size() {
    const width = this.svg.clientWidth || 600;
    return { width, height: Math.max(LOWEST, Math.min(HIGHEST, FLATNESS * width)) };
  }

  get scale() {
    const [[left, bottom], [right, top]] = this.data.frame;
    const { width, height } = this.size;
    return this.view.k * Math.min((width - EDGE.left) / (right - left), (height - EDGE.bottom) / (top - bottom));
  }

  screen([x, y]) {
    const [low, high] = this.data.frame;
    const { width, height } = this.size;
    return [
      (width + EDGE.left) / 2 + this.view.x + this.scale * (x - (low[0] + high[0]) / 2),
      (height - EDGE.bottom) / 2 + this.view.y - this.scale * (y - (low[1] + high[1]) / 2),
    ];
  }

  logits([x, y]) {
    const [zero, scale] = [this.screen([0, 0]), this.scale];
    return [(x - zero[0]) / scale, (zero[1] - y) / scale].map((each) => +each.toPrecision(4));
  }

  at(event) {
    const { left, top } = this.svg.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  cost([x, y]) {
    const [zx, zy] = this.data.circle.at;
    const [[a, b], [, c]] = this.data.price;
    return Math.sqrt(a * (x - zx) ** 2 + 2 * b * (x - zx) * (y - zy) + c * (y - zy) ** 2);
  }

  // --- what it looks like

  draw() {
    const focus = this.svg.getRootNode().activeElement?.dataset.name;
    const { width, height } = this.size;
    this.svg.setAttribute("height", height);
    this.svg.replaceChildren();
    this.taken = [];
    this.grid(width, height);
    const inside = this.add("svg", { x: EDGE.left, y: 0, width: width - EDGE.left, height: height - EDGE.bottom });
    inside.setAttribute("viewBox", `${EDGE.left} 0 ${width - EDGE.left} ${height - EDGE.bottom}`);
    this.inside = inside;
    this.region();
    const lines = this.data.borders.map((each) => this.border(each));
    this.curves();
    this.data.paths.forEach((each) => this.path(each));
    this.marks();
    if (this.free) this.point();
    this.data.borders.forEach((each, i) => each.named && this.nameOf(each, lines[i]));
    this.legend();
    if (focus) this.find(`[data-name="${focus}"]`)?.focus();
  }

  add(tag, attributes, parent = this.svg) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return parent.appendChild(element);
  }

  write(text, attributes, parent = this.inside) {
    const element = this.add("text", attributes, parent);
    element.textContent = text;
    return element;
  }

  title(element, text) {
    this.add("title", {}, element).textContent = text;
  }

  grid(width, height) {
    const corners = [this.logits([EDGE.left, height - EDGE.bottom]), this.logits([width, 0])];
    for (const x of ticks(corners[0][0], corners[1][0], width / 110)) {
      const [at] = this.screen([x, 0]);
      this.add("line", { class: "grid", x1: at, x2: at, y1: 0, y2: height - EDGE.bottom });
      this.write(told(x), { class: "tick", x: at, y: height - EDGE.bottom + 16, "text-anchor": "middle" }, this.svg);
    }
    for (const y of ticks(corners[0][1], corners[1][1], height / 70)) {
      const [, at] = this.screen([0, y]);
      this.add("line", { class: "grid", x1: EDGE.left, x2: width, y1: at, y2: at });
      this.write(told(y), { class: "tick", x: EDGE.left - 6, y: at + 4, "text-anchor": "end" }, this.svg);
    }
    const [across, up] = this.data.axes;
    this.write(across, { class: "axis", x: (width + EDGE.left) / 2, y: height - 6, "text-anchor": "middle" }, this.svg);
    const middle = (height - EDGE.bottom) / 2;
    const turned = `translate(11 ${middle}) rotate(-90)`;
    this.write(up, { class: "axis", transform: turned, "text-anchor": "middle" }, this.svg);
  }

  region() {
    const { region, read } = this.data;
    const kind = read ? "outline" : "region";
    if (read) {
      const [[left, bottom], [right, top]] = read.frame.map((each) => this.screen(each));
      const place = { x: left, y: top, width: right - left, height: bottom - top };
      this.add("image", { ...place, href: read.url, preserveAspectRatio: "none" }, this.inside);
    }
    this.add("polygon", { class: kind, points: this.points(region) }, this.inside);
  }

  points(points) {
    return points.map((each) => this.screen(each).join(" ")).join(" ");
  }

  line(from, to, kind) {
    const [[x1, y1], [x2, y2]] = [this.screen(from), this.screen(to)];
    return this.add("line", { class: kind, x1, y1, x2, y2 }, this.inside);
  }

  border({ name, line, kind }) {
    this.title(this.line(...line, "near"), name);
    const element = this.line(...line, `border ${kind}`);
    this.title(element, name);
    return element;
  }

  curves() {
    const { circle, ellipse } = this.data;
    const [x, y] = this.screen(circle.at);
    this.add("circle", { class: "circle", cx: x, cy: y, r: this.scale * circle.radius }, this.inside);
    const grown = this.effort.value / this.effort.max;
    const [long, short] = ellipse.axes.map(([dx, dy]) => Math.hypot(dx, dy) * grown * this.scale);
    const turn = (-Math.atan2(ellipse.axes[0][1], ellipse.axes[0][0]) * 180) / Math.PI;
    const [cx, cy] = this.screen(ellipse.at);
    const transform = `translate(${cx} ${cy}) rotate(${turn})`;
    this.add("ellipse", { class: "ellipse", rx: long, ry: short, transform }, this.inside);
    this.find(".effort output").textContent = `${(grown * ellipse.level).toPrecision(3)} in pixels`;
  }

  path({ name, colour, points, updates }) {
    const line = this.add("polyline", { class: "path", points: this.points(points), stroke: colour }, this.inside);
    this.title(line, name);
    points.forEach((each, i) => {
      const [cx, cy] = this.screen(each);
      const dot = this.add("circle", { cx, cy, r: 3, fill: colour }, this.inside);
      this.title(dot, updates ? `${name}: update ${updates[i]}` : name);
    });
  }

  marks() {
    const at = Object.fromEntries(this.data.marks.map((each) => [each.name, each.at]));
    for (const { name, label, at: logits, colour, symbol, size, note, target, leads } of this.data.marks) {
      if (leads) this.line(logits, at[leads], "lead").setAttribute("stroke", colour);
      const [x, y] = this.screen(logits);
      const group = this.add("g", { transform: `translate(${x} ${y})` }, this.inside);
      const open = symbol.endsWith("-open");
      const paint = { class: "mark", stroke: colour, fill: open ? "none" : colour };
      this.add("path", { ...paint, d: shape(symbol, size / 2) }, group);
      this.title(group, [name, note].filter(Boolean).join(": "));
      if (target && this.data.live) this.offer(group, name);
      this.taken.push(box(x, y, size, size));
    }
    for (const { label, at: logits, size } of this.data.marks) {
      if (label) this.label(label, logits, size / 2 + 6);
    }
  }

  offer(group, name) {
    const told = { tabindex: 0, role: "button", "aria-label": `${name}: show its photo`, "data-name": name };
    for (const [key, value] of Object.entries({ ...told, class: "choice" })) group.setAttribute(key, value);
  }

  point() {
    const [x, y] = this.screen(this.free);
    const where = `${told(this.free[0])}, ${told(this.free[1])}`;
    const price = this.data.price ? ` costs ${this.cost(this.free).toPrecision(3)}` : "";
    const label = `Your point, at ${where}; arrow keys move it`;
    const held = this.data.live ? { tabindex: 0, role: "button", "aria-label": label, "data-name": "free" } : {};
    const group = this.add("g", { class: "free", transform: `translate(${x} ${y})`, ...held }, this.inside);
    this.add("circle", { r: 10 }, group);
    this.add("path", { d: "M-5 0H5M0 -5V5" }, group);
    this.taken.push(box(x, y, 22, 22));
    this.label(`your point${price}`, this.free, 16);
    const said = price && ` and${price} in pixels`;
    this.find(".price").textContent = `Drag your point, or move it by the arrow keys. It is at ${where}${said}.`;
  }

  // Text beside a point, where nothing else is written yet.
  label(text, logits, away) {
    const [x, y] = this.screen(logits);
    const around = [[1, -1], [-1, -1], [1, 1], [-1, 1], [0, -1.6], [0, 1.6], [1.4, 0], [-1.4, 0]];
    const sides = [...around, ...around.map(([dx, dy]) => [dx, 2.5 * dy])];
    const anchors = { 1: "start", 0: "middle", "-1": "end" };
    this.settle(sides.map(([dx, dy]) => () => {
      const at = { x: x + dx * away, y: y + dy * away + 5, "text-anchor": anchors[Math.sign(dx)] };
      return this.write(text, { class: "label", ...at });
    }));
  }

  // The name of a border along it, near where it leaves the drawing.
  nameOf({ name, kind }, line) {
    const { width, height } = this.size;
    const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((each) => +line.getAttribute(each));
    const seen = clipped([x1, y1], [x2, y2], EDGE.left, 0, width, height - EDGE.bottom);
    if (!seen) return;
    const [from, to] = seen[0][0] <= seen[1][0] ? seen : seen.toReversed();
    const turn = (Math.atan2(to[1] - from[1], to[0] - from[0]) * 180) / Math.PI;
    const spots = [["start", 0.02], ["end", 0.98], ["middle", 0.25], ["middle", 0.75], ["middle", 0.5]];
    const tries = spots.flatMap(([anchor, part]) => [-6, 15].map((dy) => () => {
      const [x, y] = [0, 1].map((i) => from[i] + part * (to[i] - from[i]));
      const transform = `translate(${x} ${y}) rotate(${turn})`;
      return this.write(name, { class: `name ${kind}`, dy, transform, "text-anchor": anchor });
    }));
    this.settle(tries, kind === "binding");
  }

  // Keeps the first of some texts that lies within the drawing and on none that is there; if it must be one of them,
  // then at least one that lies within.
  settle(tries, must = true) {
    const { left, top } = this.svg.getBoundingClientRect();
    const [right, bottom] = [this.size.width, this.size.height - EDGE.bottom];
    let within = tries[0];
    for (const make of tries) {
      const text = make();
      const seen = text.getBoundingClientRect();
      const here = { x: seen.x - left, y: seen.y - top, width: seen.width, height: seen.height };
      const [toX, toY] = [here.x + here.width, here.y + here.height];
      const inside = here.x >= EDGE.left && toX <= right && here.y >= 0 && toY <= bottom;
      if (inside && !this.taken.some((each) => overlap(each, here))) return this.taken.push(here);
      if (inside && within === tries[0]) within = make;
      text.remove();
    }
    if (must) within();
  }

  legend() {
    const { circle, ellipse, paths, borders, marks, read } = this.data;
    const of = (kind) => borders.some((each) => each.kind === kind);
    const line = (kind) => `<path class="${kind}" d="M1 8H27" />`;
    const patch = '<rect class="region" x="2" y="2" width="24" height="12" />';
    const hollow = `<path class="mark hollow" transform="translate(14 8)" d="${shape("diamond", 6)}" />`;
    const walk = (colour) =>
      `<path class="path" stroke="${colour}" d="M1 8H27" /><circle cx="14" cy="8" r="3" fill="${colour}" />`;
    const entries = [
      [true, read ? "read as wanted, by the decoder" : "target region", patch],
      [read, "linear region, what JMA aims at", line("outline")],
      [true, `as near as r′: ${circle.radius.toPrecision(3)} logits`, line("circle")],
      [true, `as cheap as r∗: ${ellipse.level.toPrecision(3)} in pixels`, line("ellipse")],
      [of("binding"), "border that binds", line("border binding")],
      [of("idle"), "border that does not", line("border idle")],
      [of("moved"), "border with the others as in r′", line("border moved")],
      ...paths.map(({ name, colour }) => [true, name, walk(colour)]),
      [marks.some((each) => each.leads), "where the real network lands", hollow],
    ].filter(([shown]) => shown);
    this.find(".legend").replaceChildren(...entries.map(([, name, drawn]) => {
      const item = document.createElement("li");
      item.innerHTML = `<svg viewBox="0 0 28 16" aria-hidden="true">${drawn}</svg><span></span>`;
      item.lastChild.textContent = name;
      return item;
    }));
  }
}

function shape(symbol, r) {
  if (symbol.startsWith("square")) return `M${-r} ${-r}H${r}V${r}H${-r}Z`;
  if (symbol.startsWith("diamond")) return `M0 ${-r}L${r} 0L0 ${r}L${-r} 0Z`;
  return `M${-r} 0A${r} ${r} 0 1 0 ${r} 0A${r} ${r} 0 1 0 ${-r} 0Z`;
}

function box(x, y, width, height) {
  return { x: x - width / 2, y: y - height / 2, width, height };
}

function overlap(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

// Round numbers between two others, about so many.
function ticks(low, high, many) {
  const rough = (high - low) / many;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((each) => each * ten >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => +((first + i) * step).toPrecision(6));
}

function told(value) {
  return `${+value.toPrecision(4)}`.replace("-", "−");
}

// The part of a segment within a box, by Liang and Barsky (1984); null if there is none.
function clipped([x, y], [toX, toY], left, top, right, bottom) {
  let [from, to] = [0, 1];
  const [dx, dy] = [toX - x, toY - y];
  for (const [p, q] of [[-dx, x - left], [dx, right - x], [-dy, y - top], [dy, bottom - y]]) {
    if (p === 0 && q < 0) return null;
    if (p < 0) from = Math.max(from, q / p);
    if (p > 0) to = Math.min(to, q / p);
  }
  return from < to ? [from, to].map((t) => [x + t * dx, y + t * dy]) : null;
}
