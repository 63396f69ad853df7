// The pictures of the page Compare: all are zoomed, panned and read together. gallery.py says what it is sent.

const ACROSS = 4; // pictures in a row; of nine 5, so that two rows hold them
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
    this.lens = new Lens(this.grid, this.find(".zoom"), () => this.tell());
    this.ink = new Ink(this.find(".tools"), () => this.draw());
    [this.axis, this.scrub] = [".scrub select", ".scrub input"].map(this.find);
    this.sought = { spent: Infinity, distance: Infinity }; // the end, wherever that will be
    this.axis.addEventListener("input", () => this.draw());
    this.scrub.addEventListener("input", () => this.seek());
  }

  // --- what comes from the server

  async receive(data) {
    if (data.version === this.version) return;
    this.version = data.version;
    const original = await pixelsOf(data.original.url);
    const attacks = await Promise.all(data.attacks.map(async (attack) => {
      const frames = attack.frames.map(async (frame) => ({ ...frame, pixels: await pixelsOf(frame.url) }));
      return { ...attack, frames: await Promise.all(frames) };
    }));
    if (data.version !== this.version) return; // something newer has come meanwhile
    Object.assign(this, { data, original, attacks });
    this.ink.propose(data.gain);
    this.build();
    this.find(".gallery").hidden = false;
    this.find(".note").textContent = `${data.note} ${HOW}`;
    this.lens.fit(data.original.size);
    this.draw();
  }

  build() {
    this.figures = [{ name: "Original" }, ...this.attacks].map((attack, i) => this.figure(attack, i === 0));
    const [{ picture, says }] = this.figures;
    paint(picture, this.original);
    says.textContent = `reads as ${this.data.original.reads}`;
    picture.setAttribute("aria-label", `Original; ${says.textContent}`);
    this.grid.style.setProperty("--across", Math.max(ACROSS, Math.ceil(this.figures.length / 2)));
    this.grid.replaceChildren(...this.figures.map((each) => each.figure));
  }

  figure({ name }, first) {
    const [figure, caption, picture, map] = [make("figure"), make("figcaption"), this.pane(), this.pane()];
    const parts = { figure, picture: picture.canvas, map: map.canvas };
    [parts.says, parts.where, parts.hit, parts.value] = ["", "", "", "value"].map((kind) => make("span", kind));
    caption.append(Object.assign(make("b"), { textContent: name }), parts.says, parts.where, parts.hit, parts.value);
    figure.append(picture.pane, first ? this.legend() : map.pane, caption);
    return parts;
  }

  pane() {
    const [pane, { layer, canvas }] = [make("div", "pane"), makeLayer()];
    [canvas.width, canvas.height] = this.data.original.size;
    pane.append(layer, make("div", "mark"));
    return { pane, canvas };
  }

  legend() {
    const legend = make("div", "legend");
    legend.style.aspectRatio = this.data.original.size.join(" / ");
    const ramp = make("div", "ramp");
    ramp.style.background = `linear-gradient(90deg, ${this.data.colours.map((each) => `rgb(${each})`)})`;
    [this.words, this.scale] = [make("span"), make("span")];
    legend.append(this.words, ramp, this.scale);
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
    const { gain, words } = this.ink;
    const told = `${AXES[axis].told(place)} of ${AXES[axis].told(most)}`;
    Object.assign(this.scrub, { max: most, value: place, ariaLabel: this.axis.selectedOptions[0].text, ariaValueText: told });
    this.find(".scrub output").textContent = told;
    this.words.textContent = `Perturbations: ${words}`;
    this.scale.textContent = `Full colour at ± ${(255 / gain).toPrecision(2)} of 255`;
    this.shown = this.attacks.map(({ frames, places }) => frames[upTo(places[axis], place)] ?? null);
    this.figures.slice(1).forEach((parts, i) => {
      const frame = this.shown[i];
      const reads = frame?.reads ?? this.data.original.reads;
      if (parts.frame !== frame) paint(parts.picture, attackedOf(this.original, frame));
      if (parts.frame !== frame || parts.words !== words) {
        paint(parts.map, mapOf(this.original, frame, this.ink, this.data.colours));
      }
      Object.assign(parts, { frame, words });
      parts.picture.setAttribute("aria-label", `${this.attacks[i].name}: attacked; reads as ${reads}`);
      parts.map.setAttribute("aria-label", `${this.attacks[i].name}: perturbation, ${words}`);
      parts.says.textContent = `reads as ${reads}`;
      parts.where.textContent = frame ? `L2 ${frame.l2}, ${frame.title}` : AXES[axis].before;
      const hit = upTo(this.attacks[i].nearest, axis === "spent" ? place : frame?.spent ?? 0);
      parts.hit.textContent = hit ? `nearest hit so far: L2 ${hit}` : "no hit so far";
    });
    this.tell();
  }

  tell() {
    const { pixel } = this.lens;
    this.figures?.forEach((parts, i) => {
      parts.value.textContent = pixel ? this.valueAt(pixel, i) : "";
    });
  }

  valueAt({ x, y }, i) {
    const { before, added } = valuesAt(this.original, this.shown?.[i - 1], this.lens.index);
    if (i === 0) return `(${x}, ${y}): ${before.join(" ")}`;
    return `${before.map((value, c) => (value + added[c]).toFixed(1)).join(" ")} (${added.map(signed).join(" ")})`;
  }
}

// What takes over at the last of these places, in order, that is not beyond a place; none before the first.
function upTo(places, place) {
  return places.findLast(([at]) => at <= place)?.[1];
}
