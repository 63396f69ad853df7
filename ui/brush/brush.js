// A picture on which one paints where it may change. brush.py says what it is sent, and what it tells.

const VEIL = [255, 255, 255, 176]; // over what may not change
const KEPT = 50; // strokes that can be undone
const LEAP = 8; // cells that an arrow key with Shift moves

const brushes = new WeakMap(); // by the element that holds them

export default function mount({ data: [data], parentElement, setStateValue }) {
  const brush = brushes.get(parentElement) ?? new Brush(parentElement);
  brushes.set(parentElement, brush);
  brush.tell = (text, stroke) => setStateValue("painted", { text, stroke });
  brush.receive(data);
}

class Brush {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.board = this.find(".board");
    this.stroke = 0; // how many have been told
    this.past = [];
    this.at = null; // the cell under the brush
    this.corner = null; // of the rectangle that is being drawn
    this.before = null; // the cells before the stroke that is being made
    this.board.addEventListener("pointerdown", (event) => this.down(event));
    this.board.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) this.board.addEventListener(type, () => this.up());
    this.board.addEventListener("keydown", (event) => this.key(event));
    root.querySelector(".brush").addEventListener("click", (event) => this.act(event.target.dataset));
    root.querySelectorAll("input").forEach((input) => input.addEventListener("input", () => this.draw()));
  }

  receive(data) {
    this.presets = data.presets;
    if (this.side !== data.cells) {
      this.side = data.cells;
      this.find(".veil").width = this.find(".veil").height = this.side;
      this.at = { x: this.side >> 1, y: this.side >> 1 };
      this.find(".presets").replaceChildren(
        ...Object.keys(data.presets).map((preset) => {
          const button = Object.assign(make("button"), { type: "button", textContent: preset });
          button.dataset.preset = preset;
          return button;
        }),
      );
    }
    const image = this.find("img");
    if (image.src !== data.url) image.src = data.url;
    image.style.aspectRatio = data.size.join(" / ");
    if (this.before || (data.stroke !== null && data.stroke < this.stroke)) return; // of an earlier stroke
    if (data.stroke === null) this.past = [];
    this.cells = unpacked(data.painted);
    this.draw();
  }

  // --- strokes

  get tool() {
    return this.find("[name=tool]:checked").value;
  }

  down(event) {
    if (event.button) return;
    this.board.setPointerCapture(event.pointerId);
    this.begin(this.cell(event));
  }

  move(event) {
    this.go(this.cell(event));
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
    this.set(this.cells, before);
  }

  // Take what has been painted, and tell it.
  set(cells, before = this.cells) {
    if (before !== cells) this.past = [...this.past, before].slice(-KEPT);
    this.cells = cells;
    this.stroke++;
    this.draw();
    this.tell(packed(cells), this.stroke);
  }

  act({ do: action, preset }) {
    if (preset) this.set(unpacked(this.presets[preset]));
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
    } else if (event.key === " " || event.key === "Enter") {
      if (this.before) this.finish();
      else this.begin(this.at);
      if (this.before && this.tool !== "rectangle") this.finish();
    } else if (event.key === "Escape" && this.before) {
      this.cells = this.before;
      this.before = this.corner = null;
      this.draw();
    } else return;
    event.preventDefault();
  }

  // --- what it looks like

  inside(place) {
    return Math.max(0, Math.min(this.side - 1, place));
  }

  cell({ clientX, clientY }) {
    const { left, top, width, height } = this.board.getBoundingClientRect();
    const [x, y] = [(clientX - left) / width, (clientY - top) / height];
    return { x: this.inside(Math.floor(x * this.side)), y: this.inside(Math.floor(y * this.side)) };
  }

  get width() {
    return +this.find(".size input").value;
  }

  draw() {
    const veil = new ImageData(this.side, this.side);
    this.cells.forEach((cell, i) => cell || veil.data.set(VEIL, 4 * i));
    paint(this.find(".veil"), veil);
    const [first, last] = this.tool === "rectangle" ? [this.at, this.at] : this.under(this.at);
    const percent = (cells) => `${(100 * cells) / this.side}%`;
    Object.assign(this.find(".cursor").style, {
      left: percent(first.x), top: percent(first.y),
      width: percent(last.x - first.x + 1), height: percent(last.y - first.y + 1),
    });
    const share = this.cells.reduce((sum, cell) => sum + cell, 0) / this.side ** 2;
    this.find(".said").textContent = share ? `${(100 * share).toFixed(1)}% of the picture may change.` : "Nothing is painted yet.";
    this.find("[data-do=undo]").disabled = !this.past.length;
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
