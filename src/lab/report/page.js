// The script of the lab's report: makes pictures of the plots that stand in the page as data (plot.ts). It runs in a browser,
// behind uPlot and the functions of units.ts (time, memory, count, digits).
//
// The scheme may change while one looks (prefers-color-scheme), and so may the width: everything is drawn anew then.

/* global uPlot, time, memory, count, digits */

const HEIGHT = 260;
const cards = JSON.parse(document.getElementById("cards").textContent);
const redraws = new Set();

const units = {
  rate: (value) => `${short(value)}/s`,
  time,
  memory,
  count: short,
  percent: (value) => `${Number(value.toFixed(2))} %`,
  seconds: (value) => `${Number(value.toFixed(2))} s`,
  quantile: (nines) => `${Number((100 - 100 * 10 ** -nines).toFixed(3))} %`,
};

function short(value) {
  if (value >= 1e6) return `${Number((value / 1e6).toFixed(2))} M`;
  if (value >= 1e4) return `${Number((value / 1e3).toFixed(1))} k`;
  return Number.isInteger(value) ? count(value) : digits(value);
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

/** One plot in its box; gives back how to draw it again. */
function draw(box, plot, hidden) {
  const canvasBox = element("div", { className: "plot" });
  const tip = element("div", { className: "tip", hidden: true });
  box.append(
    canvasBox,
    legend(plot, hidden, () => redraw()),
  );
  let made;
  function redraw() {
    made?.destroy();
    canvasBox.replaceChildren();
    const width = Math.max(box.clientWidth, 200);
    const data = [plot.xs, ...plot.series.map(({ ys }) => ys)];
    made = new uPlot(options(plot, width, hidden, tip), data, canvasBox);
    made.over.append(tip);
  }
  redraw();
  return redraw;
}

function options(plot, width, hidden, tip) {
  const ink = style("--soft");
  const line = style("--line");
  const axis = {
    stroke: ink,
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    labelSize: 16,
    labelGap: 0,
  };
  const grid = { stroke: line, width: 1 };
  const ticks = { ...grid, size: 4 };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    // The last label stands half beyond the axis.
    padding: [8, plot.x.unit === "quantile" ? 26 : 16, 0, 0],
    scales: {
      x: { time: false, ...scaleOf(plot.x), range: rangeOfX(plot) },
      y: { ...scaleOf(plot.y), range: rangeOfY(plot, hidden) },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        ticks,
        size: 30,
        label: plot.x.label,
        values: (_, splits) =>
          splits.map((value) => (value === null ? "" : units[plot.x.unit](value))),
        ...(ticksOf(plot, width) ?? {}),
      },
      {
        ...axis,
        grid,
        ticks,
        size: 68,
        label: plot.y.label,
        ...incrementsOf(plot.y),
        values: (_, splits) =>
          splits.map((value) => (value === null ? "" : units[plot.y.unit](value))),
        // As it is for the axis: without it, a logarithm has a label at each power of ten alone, and may have none.
        ...(plot.y.scale === "log"
          ? {
              splits: (_, __, low, high) => logSplits(low, high, plot.y.unit),
              filter: (_, splits) => splits,
            }
          : {}),
      },
    ],
    series: [
      {},
      ...plot.series.map((series, index) => seriesOptions(plot, series, hidden.has(index))),
    ],
    hooks: {
      draw: [(made) => whiskers(made, plot, hidden)],
      setCursor: [(made) => showTip(made, plot, hidden, tip)],
    },
  };
}

function seriesOptions(plot, series, isHidden) {
  const color = style(`--c${series.color}`);
  return {
    show: !isHidden,
    stroke: color,
    width: 2,
    spanGaps: true,
    ...(series.dashed ? { dash: [6, 4] } : {}),
    points: {
      show: plot.points || plot.xs.length < 3,
      size: 6,
      fill: style("--card"),
      stroke: color,
      width: 2,
    },
  };
}

const scaleOf = ({ scale }) => (scale === "log" ? { distr: 3, log: 10 } : {});

function rangeOfX({ x, xs }) {
  const low = Math.min(...xs);
  const high = Math.max(...xs);
  if (x.scale === "log") return () => [low / 1.15, high * 1.15];
  const space = high === low ? 1 : (high - low) * 0.03;
  return () => [low - (x.unit === "quantile" ? 0 : space), high + space];
}

/** Linear axes begin at 0: who is twice as high is twice as much. */
function rangeOfY({ y, series }, hidden) {
  const values = series
    .filter((_, index) => !hidden.has(index))
    .flatMap(({ ys, lows = [], highs = [] }) => [...ys, ...lows, ...highs])
    .filter((value) => value !== null && (y.scale !== "log" || value > 0));
  if (values.length === 0) return () => [1, 10];
  const high = Math.max(...values);
  const low = Math.min(...values);
  if (y.scale !== "log") return () => [0, high > 0 ? high * 1.08 : 1];
  return () => [low / 1.3, Math.max(high * 1.3, low * 3)];
}

/** Steps of a linear axis where those that come by themselves are wrong: memory goes by powers of two, and halves are no count. */
function incrementsOf({ unit }) {
  if (unit === "memory") return { incrs: Array.from({ length: 40 }, (_, power) => 2 ** power) };
  if (unit !== "count") return {};
  return {
    incrs: Array.from({ length: 24 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3)),
  };
}

const LEAST_SPLITS = 4;
/** Within a decade, from the coarsest on. */
const DECADE_STEPS = [
  [1],
  [1, 3],
  [1, 2, 5],
  [1, 1.5, 2, 3, 5, 7],
  [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8],
];
/** Within a doubling, for memory. */
const DOUBLING_STEPS = [[1], [1, 1.5], [1, 1.25, 1.5, 1.75]];

/** Labels of a logarithmic axis: the coarsest steps that give enough of them. */
function logSplits(low, high, unit) {
  const [base, choices] = unit === "memory" ? [2, DOUBLING_STEPS] : [10, DECADE_STEPS];
  const first = Math.floor(Math.log(low) / Math.log(base));
  const last = Math.ceil(Math.log(high) / Math.log(base));
  let splits = [];
  for (const steps of choices) {
    splits = [];
    for (let power = first; power <= last; power++) {
      for (const step of steps) splits.push(step * base ** power);
    }
    splits = splits.filter(
      (value) => value >= low && value <= high && (unit !== "count" || Number.isInteger(value)),
    );
    if (splits.length >= LEAST_SPLITS) break;
  }
  // Of many doublings, every so manieth.
  const every = Math.ceil(splits.length / (LEAST_SPLITS * 2));
  return splits.filter((_, index) => index % every === 0);
}

/** A tick for each point where points are few; whole nines where they are quantiles. */
function ticksOf({ x, xs, points }, width) {
  if (x.unit === "quantile")
    return {
      splits: () => [0.30103, 1, 2, 3, 4].filter((at) => at <= xs.at(-1)),
      filter: (_, splits) => splits,
    };
  if (!points) return undefined;
  const every = Math.ceil((xs.length * 46) / width);
  const shown = xs.filter((_, index) => (xs.length - 1 - index) % every === 0);
  return { splits: () => shown, filter: (_, splits) => splits };
}

function whiskers(made, plot, hidden) {
  const { ctx } = made;
  const half = 4 * devicePixelRatio;
  ctx.save();
  plot.series.forEach(({ lows, highs, color }, index) => {
    if (lows === undefined || highs === undefined || hidden.has(index)) return;
    ctx.strokeStyle = style(`--c${color}`);
    ctx.lineWidth = 1.2 * devicePixelRatio;
    ctx.globalAlpha = 0.7;
    plot.xs.forEach((x, at) => {
      const low = lows[at];
      const high = highs[at];
      if (low === null || high === null || low === high) return;
      const left = made.valToPos(x, "x", true);
      const from = made.valToPos(low, "y", true);
      const to = made.valToPos(high, "y", true);
      ctx.beginPath();
      ctx.moveTo(left, from);
      ctx.lineTo(left, to);
      for (const end of [from, to]) {
        ctx.moveTo(left - half, end);
        ctx.lineTo(left + half, end);
      }
      ctx.stroke();
    });
  });
  ctx.restore();
}

/** All values at the point under the pointer, the greatest first. */
function showTip(made, plot, hidden, tip) {
  const { idx, left } = made.cursor;
  tip.hidden = idx === null || idx === undefined || left < 0;
  if (tip.hidden) return;
  const rows = plot.series
    .map((series, index) => ({ series, value: hidden.has(index) ? null : series.ys[idx] }))
    .filter(({ value }) => value !== null && value !== undefined)
    .sort((a, b) => b.value - a.value)
    .map(({ series, value }) => {
      const mark = element("i");
      mark.style.setProperty("--color", `var(--c${series.color})`);
      return element("span", {}, mark, `${series.name}: ${units[plot.y.unit](value)}`);
    });
  const { label, unit } = plot.x;
  tip.replaceChildren(element("b", {}, `${label}: ${units[unit](plot.xs[idx])}`), ...rows);
  const room = made.over.clientWidth;
  tip.style.top = "0";
  tip.style.left = `${left > room / 2 ? Math.max(left - tip.offsetWidth - 12, 0) : Math.min(left + 12, Math.max(room - tip.offsetWidth, 0))}px`;
}

function legend(plot, hidden, changed) {
  const buttons = plot.series.map((series, index) => {
    const button = element("button", { type: "button", textContent: series.name });
    button.style.setProperty("--color", `var(--c${series.color})`);
    if (series.dashed) button.style.setProperty("--dash", "dashed");
    button.setAttribute("aria-pressed", String(!hidden.has(index)));
    button.addEventListener("click", () => {
      if (!hidden.delete(index)) hidden.add(index);
      button.setAttribute("aria-pressed", String(!hidden.has(index)));
      changed();
    });
    return button;
  });
  return element("div", { className: "legend" }, ...buttons);
}

/** A card's plots, and the list to choose what they show. */
function fill(card, { views }) {
  const stage = element("div");
  let drawn = [];
  const show = (view) => {
    for (const redraw of drawn) redraws.delete(redraw);
    stage.replaceChildren(...view.text.map((sentence) => element("p", {}, sentence)));
    drawn = view.plots.map((plot) => draw(stage, plot, new Set()));
    for (const redraw of drawn) redraws.add(redraw);
  };
  if (views.length > 1) {
    const select = element("select", {}, ...views.map(({ name }) => new Option(name)));
    select.setAttribute("aria-label", card.querySelector("h3").textContent);
    select.addEventListener("change", () => show(views[select.selectedIndex]));
    card.append(select);
  }
  card.append(stage);
  if (views.length > 0) show(views[0]);
}

function redrawAll() {
  for (const redraw of redraws) redraw();
}

document.querySelectorAll("[data-card]").forEach((card) => {
  fill(card, cards[Number(card.dataset.card)]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
let width = innerWidth;
addEventListener("resize", () => {
  // Phones also resize when a bar slides away: only the width matters.
  if (innerWidth === width) return;
  width = innerWidth;
  redrawAll();
});
document.getElementById("raw").addEventListener("click", () => {
  const text = document.getElementById("data").textContent;
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  element("a", { href: url, download: "sluice-lab.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
document.documentElement.dataset.drawn = "yes";
