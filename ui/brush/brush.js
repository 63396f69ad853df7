// Painting where a picture may change, on a pane of a lens. brush.py says what it is sent, and what it tells; it goes after pixels.js.

const VEIL = [255, 255, 255, 176]; // over what may not change
const STROKES = 50; // that can be undone
const LEAP = 8; // cells that an arrow key with Shift moves
const BOARD = { tabindex: 0, role: "application", "aria-label": "Original, to paint on" }; // what a pane is meanwhile

class Brush {
  constructor(row, pane, lens, picked) {
    Object.assign(this, { row, pane, lens, picked });
    this.find = (selector) => row.querySelector(selector);
    [this.veil, this.cursor] = [make("canvas", "veil"), make("div", "cursor")];
    pane.querySelector(".layer").append(this.veil);
    pane.append(this.cursor);
    this.tool = ""; // none
    this.stroke = 0; // how many have been told
    this.past = [];
    this.at = null; // the cell under the brush
    this.corner = null; // of the rectangle that is being drawn
    this.before = null; // the cells before the stroke that is being made
    pane.addEventListener("pointerdown", (event) => this.down(event));
    pane.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) pane.addEventListener(type, () => this.up());
    pane.addEventListener("dblclick", (event) => this.tool && event.stopPropagation());
    pane.addEventListener("keydown", (event) => this.tool && this.key(event));
    row.addEventListener("click", (event) => this.act(event.target.dataset));
    this.find("input").addEventListener("input", () => this.draw());
  }

  // Take what the page says is painted, unless it says what it said before, or speaks of an earlier stroke.
  receive(data) {
    this.row.hidden = !data;
    if (!data || this.heard === data.text || this.before) return;
    this.heard = data.text;
    if (data.stroke !== null && data.stroke < this.stroke) return;
    if (data.stroke === null) this.past = [];
    this.side = data.cells;
    this.at ??= { x: this.side >> 1, y: this.side >> 1 };
    this.cells = unpacked(data.text);
    this.draw();
  }

  // Take a tool into the hand, or put it away.
  pick(tool) {
    if (this.before) this.cancel();
    this.tool = tool;
    this.row.classList.toggle("used", Boolean(tool));
    this.pane.classList.toggle("painted", Boolean(tool));
    for (const [name, value] of Object.entries(BOARD)) tool ? this.pane.setAttribute(name, value) : this.pane.removeAttribute(name);
    this.row.querySelectorAll("[data-tool]").forEach((each) => each.setAttribute("aria-pressed", each.dataset.tool === tool));
    this.find("[data-do=open]").setAttribute("aria-expanded", Boolean(tool));
    if (tool) this.picked();
    this.draw();
  }

  // --- strokes

  down(event) {
    if (!event.isPrimary && this.before) this.cancel(); // a second finger zooms
    if (!this.tool || !event.isPrimary || event.button) return;
    this.pane.setPointerCapture(event.pointerId);
    this.begin(this.cell(event));
  }

  move(event) {
    if (this.tool && event.isPrimary) this.go(this.cell(event));
  }

  up() {
    if (this.before) this.finish();
  }

  begin(cell) {
    this.before = this.cells;
    this.corner = this.at = cell;
    this.extend(cell);
  }

  // The brush goes to a cell, and paints on its way there if it is down.
  go(cell) {
    const from = this.at;
    this.at = cell;
    if (this.before) this.extend(from);
    else this.draw();
  }

  extend(from) {
    const rectangle = this.tool === "rectangle";
    this.cells = rectangle ? this.before.slice() : this.cells.slice();
    if (rectangle) this.fill(this.corner, this.at, 1);
    else this.line(from, this.at);
    this.draw();
  }

  line(from, to) {
    const steps = Math.max(1, Math.abs(to.x - from.x), Math.abs(to.y - from.y));
    for (let i = 0; i <= steps; i++) {
      const cell = { x: Math.round(from.x + (i / steps) * (to.x - from.x)), y: Math.round(from.y + (i / steps) * (to.y - from.y)) };
      this.fill(...this.under(cell), +(this.tool === "brush"));
    }
  }

  // The first and the last cell below the brush, which may be outside.
  under({ x, y }) {
    const [before, after] = [this.width >> 1, (this.width - 1) >> 1];
    return [{ x: x - before, y: y - before }, { x: x + after, y: y + after }];
  }

  // All cells from one to another.
  fill(one, other, value) {
    const span = (a, b) => [this.inside(Math.min(a, b)), this.inside(Math.max(a, b))];
    const [[left, right], [top, bottom]] = [span(one.x, other.x), span(one.y, other.y)];
    for (let y = top; y <= bottom; y++) this.cells.fill(value, y * this.side + left, y * this.side + right + 1);
  }

  finish() {
    const before = this.before;
    this.before = this.corner = null;
    if (packed(this.cells) !== packed(before)) this.set(this.cells, before);
  }

  cancel() {
    this.cells = this.before;
    this.before = this.corner = null;
    this.draw();
  }

  // Take what has been painted, and tell it.
  set(cells, before = this.cells) {
    if (before !== cells) this.past = [...this.past, before].slice(-STROKES);
    this.cells = cells;
    this.stroke++;
    this.draw();
    this.tell(packed(cells), this.stroke);
  }

  act({ do: action, tool }) {
    if (tool) this.pick(tool);
    if (action === "open") this.pick(this.tool ? "" : "brush");
    if (action === "clear") this.set(new Uint8Array(this.side ** 2));
    if (action === "invert") this.set(this.cells.map((cell) => 1 - cell));
    if (action === "undo" && this.past.length) {
      const before = this.past.at(-1);
      this.past = this.past.slice(0, -1);
      this.set(before, before);
    }
  }

  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const far = event.shiftKey ? LEAP : 1;
    if (ways[event.key]) {
      const [x, y] = ways[event.key].map((way, i) => this.inside((i ? this.at.y : this.at.x) + far * way));
      this.go({ x, y });
      this.lens.reveal((x + 0.5) / this.side, (y + 0.5) / this.side);
    } else if (event.key === " " || event.key === "Enter") {
      if (this.before) this.finish();
      else this.begin(this.at);
      if (this.before && this.tool !== "rectangle") this.finish();
    } else if (event.key === "Escape") {
      if (this.before) this.cancel();
      else this.pick("");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // --- what it looks like

  inside(place) {
    return Math.max(0, Math.min(this.side - 1, place));
  }

  cell({ clientX, clientY }) {
    const { left, top, width, height } = this.veil.getBoundingClientRect();
    const [x, y] = [(clientX - left) / width, (clientY - top) / height];
    return { x: this.inside(Math.floor(x * this.side)), y: this.inside(Math.floor(y * this.side)) };
  }

  get width() {
    return +this.find(".size input").value;
  }

  draw() {
    const share = this.cells.reduce((sum, cell) => sum + cell, 0) / this.side ** 2;
    const veil = new ImageData(this.side, this.side);
    if (share) this.cells.forEach((cell, i) => cell || veil.data.set(VEIL, 4 * i)); // if nothing is painted, all may change
    paint(this.veil, veil);
    const [first, last] = this.tool === "rectangle" ? [this.at, this.at] : this.under(this.at);
    const [left, top, wide] = [first.x, first.y, last.x - first.x + 1].map((cells) => cells / this.side);
    for (const [name, value] of Object.entries({ left, top, wide })) this.cursor.style.setProperty(`--${name}`, value);
    const nothing = this.tool ? "All of the photo may change." : "";
    this.find(".said").textContent = share ? `${(100 * share).toFixed(1)}% of the photo may change.` : nothing;
    this.find("[data-do=undo]").disabled = !this.past.length;
    this.find("[data-do=invert]").disabled = !share;
  }
}

// Cells as how many in turn are not painted and are, and back.
function packed(cells) {
  const runs = [0];
  cells.forEach((cell) => {
    if (cell !== (runs.length - 1) % 2) runs.push(0);
    runs[runs.length - 1]++;
  });
  return runs.join(".");
}

function unpacked(text) {
  return Uint8Array.from(text.split(".").flatMap((run, i) => new Array(+run).fill(i % 2)));
}
