// Pictures that are zoomed, moved and read together. pixels.py says what is sent of them; it goes before the component's own script.

const NEAREST = 6; // pixels of the picture across a pane at the closest zoom
const FACTOR = 2; // of one step of zooming
const PART = 1 / 8; // of what is seen, that an arrow key moves
const SMALL = 128; // pictures with shorter sides, in pixels, show their pixels at any zoom
const HOW =
  "Zoom with the buttons, + and −, a double click, two fingers, or Ctrl and the wheel; drag, or use the arrow keys, to move.";
const SHADES = 255; // of a perturbation, an odd number: the middle one is no change
const WAYS = {
  mean: { of: (r, g, b) => (r + g + b) / 3, told: "blue darker, orange brighter" },
  sign: { of: (r, g, b) => SHADES * Math.sign(r + g + b), told: "blue darker, orange brighter, however little" },
  size: { of: (r, g, b) => Math.sqrt((r * r + g * g + b * b) / 3), told: "orange where it changes" },
  red: { of: (r) => r, told: "blue less red, orange more" },
  green: { of: (r, g) => g, told: "blue less green, orange more" },
  blue: { of: (r, g, b) => b, told: "blue less blue, orange more" },
};

// One zoom, one place and one marked pixel for all panes within a box, which has the keyboard.
class Lens {
  constructor(box, zoom, tell) {
    Object.assign(this, { box, tell, zoomed: zoom.querySelector("output") });
    this.buttons = Object.fromEntries([...zoom.querySelectorAll("button")].map((each) => [each.dataset.zoom, each]));
    this.view = { k: 1, x: 0, y: 0 };
    this.pixel = null;
    this.grip = null; // of the fingers on the box
    this.taken = () => false; // whether a drag from an element means something else
    zoom.addEventListener("click", (event) => this.press(event.target.dataset.zoom));
    box.addEventListener("keydown", (event) => this.key(event));
    for (const type of ["pointerdown", "pointermove"]) box.addEventListener(type, (event) => this.move(event));
    box.addEventListener("pointerleave", (event) => event.pointerType === "touch" || this.mark(null));
    box.addEventListener("blur", () => this.mark(null));
    box.addEventListener("dblclick", (event) => this.at(event, FACTOR));
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const type of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
      box.addEventListener(type, (event) => this.touch(event), { passive: false });
    }
  }

  // Look at pictures of a width and height.
  fit([width, height]) {
    if (this.width !== width || this.height !== height) {
      Object.assign(this, { pixel: null, view: { k: 1, x: 0, y: 0 } });
      this.grain([width, height]);
    }
    this.mark(this.pixel);
    this.place();
  }

  // What is looked at has so many pixels now, finer or coarser ones.
  grain([width, height]) {
    if (this.width === width && this.height === height) return;
    const { x, y } = this.pixel ?? {};
    const [u, v] = [(x + 0.5) / this.width, (y + 0.5) / this.height];
    Object.assign(this, { width, height });
    this.box.style.setProperty("--width", width);
    this.box.style.setProperty("--height", height);
    this.mark(this.pixel && this.pixelAt(u, v));
  }

  get near() {
    return this.view.k > 1;
  }

  press(what) {
    const [u, v] = this.pixel ? this.seen(this.pixel) : [0.5, 0.5];
    if (what === "all") this.zoom(1, 0.5, 0.5);
    else if (what) this.zoom(this.view.k * (what === "in" ? FACTOR : 1 / FACTOR), u, v);
  }

  key(event) {
    const zooms = { "+": "in", "=": "in", "-": "out", 0: "all" };
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (zooms[event.key]) this.press(zooms[event.key]);
    else if (ways[event.key] && this.near) this.walk(...ways[event.key]);
    else return;
    event.preventDefault();
  }

  // To another pixel, which comes to the middle: from the one in the middle, or the one that was marked.
  walk(across, down) {
    const { k, x, y } = this.view;
    const far = Math.max(1, Math.round((PART * Math.max(this.width, this.height)) / k));
    const from = this.pixel ?? this.pixelAt((0.5 - x) / k, (0.5 - y) / k);
    const to = this.pixelAt((from.x + across * far + 0.5) / this.width, (from.y + down * far + 0.5) / this.height);
    this.mark(to);
    const [u, v] = this.seen(to);
    this.pan(0.5 - u, 0.5 - v);
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
    if (!spot || (now.fingers === 1 && (!this.near || this.taken(event.target)))) return; // scrolls the page
    if (event.cancelable) event.preventDefault(); // else it scrolls already
    this.zoom((this.view.k * now.spread) / before.spread, spot.u, spot.v);
    this.pan((now.x - before.x) / spot.width, (now.y - before.y) / spot.height);
  }

  at(event, factor) {
    const spot = this.spot(event);
    if (spot) this.zoom(this.view.k * factor, spot.u, spot.v);
  }

  zoom(k, u, v) {
    const closest = Math.max(1, Math.max(this.width, this.height) / NEAREST);
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

  // Move what is seen, if a place in the picture, from 0 to 1, is not in it.
  reveal(u, v) {
    const { k, x, y } = this.view;
    const [across, down] = [x + k * u, y + k * v];
    if (Math.min(across, down) < 0 || Math.max(across, down) > 1) this.pan(0.5 - across, 0.5 - down);
  }

  place() {
    const { view } = this;
    view.x = Math.max(1 - view.k, Math.min(0, view.x));
    view.y = Math.max(1 - view.k, Math.min(0, view.y));
    for (const name of ["k", "x", "y"]) this.box.style.setProperty(`--${name}`, view[name]);
    this.box.classList.toggle("near", this.near);
    this.box.classList.toggle("crisp", this.near || Math.max(this.width, this.height) <= SMALL);
    this.zoomed.textContent = `× ${view.k.toFixed(view.k < 10 ? 1 : 0)}`;
    this.buttons.out.disabled = this.buttons.all.disabled = !this.near;
    this.tell();
  }

  // Where in a pane an event is, from 0 to 1, and how large the pane is.
  spot(event) {
    const pane = event.target.closest(".pane");
    if (!pane) return null;
    const { left, top, width, height } = pane.getBoundingClientRect();
    return { u: (event.clientX - left) / width, v: (event.clientY - top) / height, width, height };
  }

  move(event) {
    const spot = this.spot(event);
    const drags = event.buttons & 1 && this.near && event.pointerType !== "touch" && !this.taken(event.target);
    if (spot && drags && event.type === "pointermove") {
      this.pan(event.movementX / spot.width, event.movementY / spot.height);
    }
    const { k, x, y } = this.view;
    this.mark(spot && this.pixelAt((spot.u - x) / k, (spot.v - y) / k));
  }

  // The pixel at a part of the picture's width and height, from 0 to 1.
  pixelAt(u, v) {
    const inside = (part, size) => Math.max(0, Math.min(size - 1, Math.floor(part * size)));
    return { x: inside(u, this.width), y: inside(v, this.height) };
  }

  // Where in a pane the middle of a pixel is, from 0 to 1.
  seen(pixel) {
    const { k, x, y } = this.view;
    return [x + (k * (pixel.x + 0.5)) / this.width, y + (k * (pixel.y + 0.5)) / this.height];
  }

  mark(pixel) {
    this.pixel = pixel;
    this.box.classList.toggle("pointed", Boolean(pixel));
    if (pixel) {
      this.box.style.setProperty("--column", pixel.x);
      this.box.style.setProperty("--row", pixel.y);
    }
    this.tell();
  }

  // Of the marked pixel, its number in the data of a picture.
  get index() {
    return 4 * (this.pixel.y * this.width + this.pixel.x);
  }
}

// The gain and the way in which perturbations are shown; the former is the server's until somebody moves it.
class Ink {
  constructor(root, draw) {
    [this.slider, this.told, this.select] = [".gain input", ".gain output", ".way"].map((each) => root.querySelector(each));
    this.slider.addEventListener("input", () => this.take());
    for (const input of [this.slider, this.select]) input.addEventListener("input", draw);
  }

  propose(gain) {
    if (!this.mine) this.slider.value = Math.round((100 * Math.log10(gain)) / 3);
    this.tell();
  }

  take() {
    this.mine = true;
    this.tell();
  }

  tell() {
    this.told.textContent = `× ${this.gain}`;
  }

  // From 1 to 1000, by equal factors.
  get gain() {
    return Math.round(10 ** ((3 * this.slider.value) / 100));
  }

  get way() {
    return WAYS[this.select.value];
  }

  // In words: all that a picture of a change depends on, beside the change.
  get words() {
    return `× ${this.gain}, ${this.way.told}`;
  }
}

// What has changed in an original, and the colours of darker, none and brighter, as a picture of the attacked and one of the change.
function attackedOf(original, change) {
  if (!change) return original;
  const step = stepOf(change);
  const made = new ImageData(original.width, original.height);
  for (let i = 0; i < made.data.length; i++) {
    made.data[i] = i % 4 === 3 ? 255 : original.data[i] + step * (change.pixels.data[i] - 128); // rounds, from 0 to 255
  }
  return made;
}

function mapOf({ width, height }, change, ink, colours) {
  const made = new ImageData(width, height);
  const middle = (SHADES - 1) / 2;
  const palette = Uint32Array.from({ length: SHADES }, (_, i) => shade((i - middle) / middle, colours));
  const pixels = new Uint32Array(made.data.buffer).fill(palette[middle]);
  if (!change) return made;
  const { data } = change.pixels;
  const [of, most] = [ink.way.of, (ink.gain * stepOf(change) * middle) / 255];
  for (let i = 0; i < pixels.length; i++) {
    const amount = most * of(data[4 * i] - 128, data[4 * i + 1] - 128, data[4 * i + 2] - 128);
    pixels[i] = palette[Math.round(Math.max(-middle, Math.min(middle, amount))) + middle];
  }
  return made;
}

// A colour, as the bytes of a picture, for an amount from -1 to 1.
function shade(amount, [blue, none, orange]) {
  const end = amount < 0 ? blue : orange;
  const [r, g, b] = none.map((value, c) => Math.round(value + Math.abs(amount) * (end[c] - value)));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0; // little-endian, as all browsers' machines are
}

// What one step of a picture of changes stands for, in 255ths.
function stepOf(change) {
  return (change.scale / change.levels) * 255;
}

// The values of a pixel in an original, and what a change adds to them; both in 255ths.
function valuesAt(original, change, index) {
  const channels = [0, 1, 2];
  return {
    before: channels.map((c) => original.data[index + c]),
    added: channels.map((c) => (change ? stepOf(change) * (change.pixels.data[index + c] - 128) : 0)),
  };
}

function signed(value) {
  const size = Math.abs(value).toFixed(1);
  return (size === "0.0" ? "±" : value < 0 ? "−" : "+") + size;
}

// How many fingers there are, their middle, and how far from it they are.
function gripped(touches) {
  const fingers = touches.length;
  const [x, y] = ["clientX", "clientY"].map((side) => [...touches].reduce((sum, each) => sum + each[side], 0) / fingers);
  const away = [...touches].map((each) => Math.hypot(each.clientX - x, each.clientY - y));
  return { fingers, x, y, spread: Math.max(...away, 1) };
}

function make(tag, kind = "") {
  return Object.assign(document.createElement(tag), { className: kind });
}

// A layer that is zoomed, with a picture on it.
function makeLayer() {
  const [layer, canvas] = [make("div", "layer"), make("canvas")];
  canvas.setAttribute("role", "img");
  layer.append(canvas);
  return { layer, canvas };
}

function paint(canvas, picture) {
  const { width, height } = picture;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

async function pixelsOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = Object.assign(make("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
