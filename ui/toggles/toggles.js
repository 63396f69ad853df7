// Labels of three states. toggles.py says what it is sent.

const STATES = { 1: ["true", "on"], 0: ["false", ""], "-1": ["mixed", "either"] };
const MOVES = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

const boards = new WeakMap(); // by the element that holds them

export default function mount({ data: [data], parentElement, setStateValue }) {
  const board = boards.get(parentElement) ?? new Board(parentElement);
  boards.set(parentElement, board);
  board.tell = () => setStateValue("asked", { number: board.number, asked: board.asked });
  board.receive(data);
}

class Board {
  constructor(root) {
    this.bar = root.querySelector(".toggles");
    this.number = 0;
    this.bar.addEventListener("click", (event) => this.click(this.buttons.indexOf(event.target.closest("button"))));
    this.bar.addEventListener("keydown", (event) => this.key(event));
  }

  receive(data) {
    if (data.number < this.number) return; // an answer to an earlier click
    const fresh = JSON.stringify([this.labels, this.there]) !== JSON.stringify([data.labels, data.there]);
    Object.assign(this, data);
    this.bar.setAttribute("aria-label", data.name);
    if (fresh) this.build();
    this.draw();
  }

  build() {
    this.buttons = this.labels.map((label, i) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: label, tabIndex: i ? -1 : 0 });
      if (this.there[i]) {
        button.prepend(Object.assign(document.createElement("i"), { textContent: "●", ariaHidden: "true" }));
        button.setAttribute("aria-description", "read now");
      }
      return button;
    });
    this.bar.replaceChildren(...this.buttons);
  }

  draw() {
    this.buttons.forEach((button, i) => {
      const [pressed, kind] = STATES[this.asked[i]];
      button.setAttribute("aria-pressed", pressed);
      button.className = kind;
    });
  }

  // A label that is read goes off first, one that is not comes on first; then either, then as it is.
  click(i) {
    if (i < 0) return;
    const round = this.there[i] ? [1, 0, -1] : [0, 1, -1];
    this.asked = this.asked.with(i, round[(round.indexOf(this.asked[i]) + 1) % 3]);
    this.number += 1;
    this.focus(i);
    this.draw();
    this.tell();
  }

  key(event) {
    const move = MOVES[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const many = this.buttons.length;
    this.focus((this.buttons.indexOf(event.target) + move + many) % many);
  }

  focus(i) {
    this.buttons.forEach((button, j) => (button.tabIndex = j === i ? 0 : -1));
    this.buttons[i].focus();
  }
}
