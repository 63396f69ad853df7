// The pictures of the page Compare: all are zoomed, panned and read together. gallery.py says what it is sent.

const NEAREST = 6; // pixels of the picture across a pane at the closest zoom
const FACTOR = 2; // of one step of zooming
const ACROSS = 4; // pictures in a row; of nine 5, so that two rows hold them
const PART = 1 / 8; // of the pane, that an arrow key pans
const AXES = {
  spent: { told: (place) => `${place}`, before: "not begun" },
  distance: { told: (place) => (place / 1000).toFixed(3), before: "nothing so near" },
};

const galleries = new WeakMap(); // by the element that holds them

export default function mount({ data: [data], parentElement }) {
  const gallery = galleries.get(parentElement) ?? new Gallery(parentElement);
  galleries.set(parentElement, gallery);
  gallery.receive(data);
}

class Gallery {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.grid = this.find(".grid");
    this.view = { k: 1, x: 0, y: 0 };
    this.pixel = null;
    this.grip = null; // of the fingers on the grid
    [this.axis, this.scrub, this.gain] = ["select", ".scrub input", ".gain input"].map(this.find);
    this.sought = { spent: Infinity, distance: Infinity }; // the end, wherever that will be
    this.axis.addEventListener("input", () => this.draw());
    this.scrub.addEventListener("input", () => this.seek());
    this.gain.addEventListener("input", () => this.draw());
    this.find(".zoom").addEventListener("click", (event) => this.press(event.target.dataset.zoom));
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("pointermove", (event) => this.move(event));
    this.grid.addEventListener("pointerleave", () => this.point(null));
    this.grid.addEventListener("dblclick", (event) => this.at(event, FACTOR));
    this.grid.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const type of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
      this.grid.addEventListener(type, (event) => this.touch(event), { passive: false });
    }
  }

  // --- what comes from the server

  async receive(data) {
    if (data.version === this.version) return;
    this.version = data.version;
    const original = await pixels(data.original.url);
    const attacks = await Promise.all(data.attacks.map(async (attack) => {
      const frames = attack.frames.map(async (frame) => ({ ...frame, change: await pixels(frame.url) }));
      return { ...attack, frames: await Promise.all(frames) };
    }));
    if (data.version !== this.version) return; // something newer has come meanwhile
    Object.assign(this, { data, original, attacks });
    if (!this.figures) this.gain.value = toSlider(data.gain);
    this.build();
    this.find(".gallery").hidden = false;
    this.find(".note").textContent = data.note;
    this.draw();
    this.place();
  }

  build() {
    this.figures = [{ name: "Original" }, ...this.attacks].map((attack, i) => this.figure(attack, i === 0));
    const [{ picture, says }] = this.figures;
    paint(picture.canvas, this.original);
    says.textContent = `reads as ${this.data.original.reads}`;
    picture.canvas.setAttribute("aria-label", `Original; ${says.textContent}`);
    this.grid.style.setProperty("--across", Math.max(ACROSS, Math.ceil(this.figures.length / 2)));
    this.grid.replaceChildren(...this.figures.map((each) => each.figure));
  }

  figure({ name }, first) {
    const figure = make("figure");
    const parts = { figure, picture: this.pane(), map: first ? null : this.pane() };
    const caption = make("figcaption");
    [parts.says, parts.where, parts.hit, parts.value] = ["", "", "", "value"].map((kind) => make("span", kind));
    caption.append(Object.assign(make("b"), { textContent: name }), parts.says, parts.where, parts.hit, parts.value);
    figure.append(parts.picture.pane, first ? this.legend() : parts.map.pane, caption);
    return parts;
  }

  pane() {
    const [pane, layer, canvas, mark] = [make("div", "pane"), make("div", "layer"), make("canvas"), make("div", "mark")];
    [canvas.width, canvas.height] = [this.original.width, this.original.height];
    canvas.setAttribute("role", "img");
    mark.hidden = true;
    layer.append(canvas, mark);
    pane.append(layer);
    return { pane, canvas, mark };
  }

  legend() {
    const legend = make("div", "pane legend");
    legend.style.aspectRatio = `${this.original.width} / ${this.original.height}`;
    const ramp = make("div", "ramp");
    ramp.style.background = `linear-gradient(90deg, ${this.data.colours.map((each) => `rgb(${each})`)})`;
    this.scale = make("span");
    legend.append(Object.assign(make("span"), { textContent: "Perturbations: darker, none, brighter" }), ramp, this.scale);
    return legend;
  }

  // --- what it looks like

  seek() {
    this.sought[this.axis.value] = this.scrub.value === this.scrub.max ? Infinity : +this.scrub.value;
    this.draw();
  }

  draw() {
    const axis = this.axis.value;
    const most = this.data.most[axis];
    const place = Math.min(this.sought[axis], most);
    const gain = fromSlider(+this.gain.value);
    const told = `${AXES[axis].told(place)} of ${AXES[axis].told(most)}`;
    Object.assign(this.scrub, { max: most, value: place, ariaLabel: this.axis.selectedOptions[0].text, ariaValueText: told });
    this.find(".scrub output").textContent = told;
    this.find(".gain output").textContent = `× ${gain}`;
    this.scale.textContent = `Full colour at ± ${(255 / gain).toPrecision(2)} of 255, mean of the channels`;
    this.shown = this.attacks.map(({ frames, places }) => frames[upTo(places[axis], place)] ?? null);
    this.figures.slice(1).forEach((parts, i) => {
      const frame = this.shown[i];
      const reads = frame?.reads ?? this.data.original.reads;
      if (parts.frame !== frame || parts.gain !== gain) {
        const { attacked, map } = this.render(frame, gain);
        paint(parts.picture.canvas, attacked);
        paint(parts.map.canvas, map);
        Object.assign(parts, { frame, gain });
      }
      parts.picture.canvas.setAttribute("aria-label", `${this.attacks[i].name}: attacked; reads as ${reads}`);
      parts.map.canvas.setAttribute("aria-label", `${this.attacks[i].name}: perturbation, × ${gain}`);
      parts.says.textContent = `reads as ${reads}`;
      parts.where.textContent = frame ? `L2 ${frame.l2}, ${frame.title}` : AXES[axis].before;
      const hit = upTo(this.attacks[i].nearest, axis === "spent" ? place : frame?.spent ?? 0);
      parts.hit.textContent = hit ? `nearest hit so far: L2 ${hit}` : "no hit so far";
    });
    this.tell();
  }

  render(frame, gain) {
    const { width, height, data } = this.original;
    const [attacked, map] = [new ImageData(width, height), new ImageData(width, height)];
    const [blue, middle, orange] = this.data.colours;
    for (let i = 0; i < data.length; i += 4) {
      let mean = 0;
      for (let c = 0; c < 3; c++) {
        const change = frame ? unpacked(frame, i + c) : 0;
        attacked.data[i + c] = Math.round(data[i + c] + change);
        mean += change / 3;
      }
      const amount = Math.max(-1, Math.min(1, (mean / 255) * gain));
      const end = amount < 0 ? blue : orange;
      for (let c = 0; c < 3; c++) map.data[i + c] = Math.round(middle[c] + Math.abs(amount) * (end[c] - middle[c]));
      attacked.data[i + 3] = map.data[i + 3] = 255;
    }
    return { attacked, map };
  }

  // --- zoom, the same for all

  press(what) {
    if (what === "all") this.zoom(1, 0.5, 0.5);
    else if (what) this.zoom(this.view.k * (what === "in" ? FACTOR : 1 / FACTOR), 0.5, 0.5);
  }

  key(event) {
    const zooms = { "+": "in", "=": "in", "-": "out", 0: "all" };
    const pans = { ArrowLeft: [PART, 0], ArrowRight: [-PART, 0], ArrowUp: [0, PART], ArrowDown: [0, -PART] };
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (zooms[event.key]) this.press(zooms[event.key]);
    else if (pans[event.key] && this.view.k > 1) this.pan(...pans[event.key]);
    else return;
    event.preventDefault();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // scrolls the page
    event.preventDefault();
    this.at(event, 2 ** (-event.deltaY / 100));
  }

  // One finger moves what is zoomed; two zoom it as well, about the point between them.
  touch(event) {
    const [before, now] = [this.grip, gripped(event.touches)];
    this.grip = now;
    if (event.type !== "touchmove" || before?.fingers !== now.fingers) return;
    const spot = this.spot({ target: event.target, clientX: before.x, clientY: before.y });
    if (!spot || (now.fingers === 1 && this.view.k === 1)) return; // scrolls the page
    event.preventDefault();
    this.zoom((this.view.k * now.spread) / before.spread, spot.u, spot.v);
    this.pan((now.x - before.x) / spot.width, (now.y - before.y) / spot.height);
  }

  at(event, factor) {
    const spot = this.spot(event);
    if (spot) this.zoom(this.view.k * factor, spot.u, spot.v);
  }

  zoom(k, u, v) {
    const closest = Math.max(1, Math.max(this.original.width, this.original.height) / NEAREST);
    const next = Math.max(1, Math.min(closest, k));
    const { k: now, x, y } = this.view;
    this.view = { k: next, x: u - ((u - x) / now) * next, y: v - ((v - y) / now) * next };
    this.place();
  }

  pan(across, down) {
    this.view.x += across;
    this.view.y += down;
    this.place();
  }

  place() {
    const { view } = this;
    view.x = Math.max(1 - view.k, Math.min(0, view.x));
    view.y = Math.max(1 - view.k, Math.min(0, view.y));
    for (const name of ["k", "x", "y"]) this.grid.style.setProperty(`--${name}`, view[name]);
    this.grid.classList.toggle("near", view.k > 1);
    this.find(".zoom output").textContent = `× ${view.k.toFixed(view.k < 10 ? 1 : 0)}`;
    this.find("[data-zoom=out]").disabled = this.find("[data-zoom=all]").disabled = view.k === 1;
  }

  // --- values of one pixel

  spot(event) {
    const pane = event.target.closest(".pane:not(.legend)");
    if (!pane) return null;
    const { left, top, width, height } = pane.getBoundingClientRect();
    return { u: (event.clientX - left) / width, v: (event.clientY - top) / height, width, height };
  }

  move(event) {
    const spot = this.spot(event);
    if (spot && event.buttons & 1 && this.view.k > 1 && event.pointerType !== "touch") {
      this.pan(event.movementX / spot.width, event.movementY / spot.height);
    }
    this.point(spot);
  }

  point(spot) {
    const { width, height } = this.original;
    const { k, x, y } = this.view;
    const inside = (part, size) => Math.max(0, Math.min(size - 1, Math.floor(part * size)));
    this.pixel = spot && { x: inside((spot.u - x) / k, width), y: inside((spot.v - y) / k, height) };
    this.tell();
  }

  tell() {
    const { pixel, original } = this;
    const index = pixel && 4 * (pixel.y * original.width + pixel.x);
    this.figures.forEach((parts, i) => {
      for (const part of [parts.picture, parts.map]) if (part) this.markAt(part.mark);
      parts.value.textContent = pixel ? this.valueAt(index, i) : "";
    });
  }

  valueAt(index, i) {
    const before = [0, 1, 2].map((c) => this.original.data[index + c]);
    if (i === 0) return `(${this.pixel.x}, ${this.pixel.y}): ${before.join(" ")}`;
    const frame = this.shown[i - 1];
    const change = [0, 1, 2].map((c) => (frame ? unpacked(frame, index + c) : 0));
    return `${before.map((value, c) => (value + change[c]).toFixed(1)).join(" ")} (${change.map(signed).join(" ")})`;
  }

  markAt(mark) {
    const { pixel } = this;
    mark.hidden = !pixel;
    if (!pixel) return;
    const { width, height } = this.original;
    const percent = (part, of) => `${(100 * part) / of}%`;
    Object.assign(mark.style, {
      left: percent(pixel.x, width), top: percent(pixel.y, height), width: percent(1, width), height: percent(1, height),
    });
  }
}

// What takes over at the last of these places, in order, that is not beyond a place; none before the first.
function upTo(places, place) {
  return places.findLast(([at]) => at <= place)?.[1];
}

// How many fingers there are, their middle, and how far from it they are.
function gripped(touches) {
  const fingers = touches.length;
  const [x, y] = ["clientX", "clientY"].map((side) => [...touches].reduce((sum, each) => sum + each[side], 0) / fingers);
  const away = [...touches].map((each) => Math.hypot(each.clientX - x, each.clientY - y));
  return { fingers, x, y, spread: Math.max(...away, 1) };
}

// A change of a value, in 255ths: 128 - levels to 128 + levels in the picture of changes stand for -scale to scale.
function unpacked(frame, i) {
  return ((frame.change.data[i] - 128) / frame.levels) * frame.scale * 255;
}

// The gain grows by equal factors, from 1 to 1000.
function fromSlider(value) {
  return Math.round(10 ** ((3 * value) / 100));
}

function toSlider(gain) {
  return Math.round((100 * Math.log10(gain)) / 3);
}

function signed(value) {
  const size = Math.abs(value).toFixed(1);
  return (size === "0.0" ? "±" : value < 0 ? "−" : "+") + size;
}

function make(tag, kind = "") {
  return Object.assign(document.createElement(tag), { className: kind });
}

function paint(canvas, picture) {
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

async function pixels(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = Object.assign(make("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
