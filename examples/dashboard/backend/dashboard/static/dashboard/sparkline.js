/* A small line chart of the latest values. */

const POINTS = 40;

function shape(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Draws into an empty svg element; `floor` is the least value that the full height stands for. */
export class Sparkline {
  #values = [];

  constructor(svg, { label, unit, floor }) {
    this.svg = svg;
    this.label = label;
    this.unit = unit;
    this.floor = floor;
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  /** Add a value and draw. */
  push(value) {
    this.#values = [...this.#values, value].slice(-POINTS);
    this.#draw();
  }

  /** The median of what is shown. */
  get median() {
    const sorted = this.#values.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  #draw() {
    const values = this.#values;
    const { clientWidth: width, clientHeight: height } = this.svg;
    if (!width || !values.length) return;
    const top = Math.max(this.floor, ...values) * 1.1;
    const step = (width - 4) / (POINTS - 1);
    const points = values.map((value, index) => [
      width - 4 - (values.length - 1 - index) * step,
      height - 1 - (value / top) * (height - 4),
    ]);
    const line = points.map((point) => point.map((number) => number.toFixed(1)).join(",")).join(" ");
    const [first, last] = [points[0], points.at(-1)];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("aria-label", `${this.label}: now ${values.at(-1)} ${this.unit}, highest ${Math.max(...values)}`);
    this.svg.replaceChildren(
      shape("line", { class: "base", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
      shape("polygon", { class: "area", points: `${first[0]},${height} ${line} ${last[0]},${height}` }),
      shape("polyline", { class: "line", points: line }),
      shape("circle", { class: "last", cx: last[0], cy: last[1], r: 3 }),
    );
  }
}
