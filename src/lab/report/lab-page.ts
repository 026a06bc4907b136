// The lab's result as one HTML file: for each experiment what was asked, what is seen, the plots; and the raw data. No network:
// the plotter is inside.

import { experimentNamed } from "../experiments/choose-experiment.ts";
import { embeddedJson, escapeHtml, htmlPage } from "../html-page.ts";
import type { ExperimentResult, LabResult, OwnStatistics } from "../lab-result.ts";
import { count, digits, memory, time } from "../units.ts";
import { readPageParts } from "./page-parts.ts";
import { paletteOf, picture } from "./picture.ts";
import type { Card } from "./plot.ts";

export function labPage(result: LabResult): string {
  const parts = readPageParts();
  const shown = result.experiments.map((experiment) => ({
    experiment,
    cards: experimentNamed(experiment.name).cards(experiment),
  }));
  const cards: Card[] = [];
  const sections = shown.map(({ experiment, cards: own }) => {
    const from = cards.push(...own) - own.length;
    return section(experiment, own, from);
  });
  // A function's text is what runs: the page writes figures as the command line does.
  const writers = [time, memory, count, digits].map(String).join("\n");
  const body = [
    `<style>${parts.plotterStyle}\n${parts.style}</style>`,
    header(result),
    ...sections,
    `<script type="application/json" id="data">${embeddedJson(result)}</script>`,
    `<script type="application/json" id="cards">${embeddedJson(cards.map(({ views }) => ({ views })))}</script>`,
    `<script>/*\n${parts.plotterLicense}*/\n${parts.plotter}</script>`,
    `<script>${writers}\n${parts.script}</script>`,
  ];
  return htmlPage(title(result), body.join("\n"));
}

/** The first plot of the first experiment, as SVG; undefined when there is none. */
export function firstPicture({ experiments }: LabResult): string | undefined {
  const [experiment] = experiments;
  if (experiment === undefined) return undefined;
  const [card] = experimentNamed(experiment.name).cards(experiment);
  const plot = card?.views[0]?.plots[0];
  if (card === undefined || plot === undefined) return undefined;
  return picture(card.title, plot, paletteOf(readPageParts().style));
}

function title({ experiments }: LabResult): string {
  return `Sluice lab: ${experiments.map(({ name }) => name).join(", ")}`;
}

function header(result: LabResult): string {
  const { machine, sluice, startedAt, seconds, interrupted } = result;
  const loads = result.experiments.reduce((sum, { runs }) => sum + runs.length, 0);
  const about = [
    startedAt.slice(0, 16).replace("T", " "),
    `${loads} runs in ${count(seconds)} s`,
    `${machine.cores} cores, ${machine.cpu}`,
    `${memory(machine.memoryBytes)} of memory`,
    `${machine.platform}, kernel ${machine.kernel}`,
    `Node ${machine.node}`,
    `sluice ${sluice}`,
  ].join(" · ");
  const links = result.experiments.map(({ name }) => `<a href="#${name}">${name}</a>`);
  return `<header><h1>${escapeHtml(title(result))}</h1>
<p class="soft">${escapeHtml(about)}</p>
<p class="soft"><code>sluice lab ${escapeHtml(result.arguments.join(" "))}</code></p>
${interrupted ? '<p class="bad">Interrupted: this is what there was by then.</p>' : ""}
<p class="soft">Load and servers share this machine: ratios between servers hold, absolute figures less so. Points are medians over the rounds; whiskers hold every round and the 99 % interval of the median over slices of time. Touch or hover a plot for its values, a name to hide it.</p>
<nav>${links.join("")}<button type="button" id="raw">Raw data (JSON)</button></nav></header>`;
}

function section(experiment: ExperimentResult, cards: readonly Card[], from: number): string {
  const { question, method } = experimentNamed(experiment.name);
  return `<section id="${experiment.name}"><h2>${escapeHtml(experiment.name)}</h2>
<p>${escapeHtml(question)}</p>
<p class="soft">${escapeHtml(method)}</p>
${missing(experiment)}
<div class="cards">${cards.map((card, index) => cardHtml(card, from + index)).join("")}</div>
${contenders(experiment)}</section>`;
}

function cardHtml({ title: name, text, wide }: Card, index: number): string {
  const paragraphs = text.map((sentence) => `<p>${escapeHtml(sentence)}</p>`).join("");
  return `<article class="card${wide === true ? " wide" : ""}" data-card="${index}"><h3>${escapeHtml(name)}</h3>${paragraphs}</article>`;
}

function missing({ missing: all }: ExperimentResult): string {
  if (all.length === 0) return "";
  const items = all.map(({ contender, part, x, reason }) => {
    const where = x === null ? "" : ` (${part}: ${count(x)})`;
    return `<li>${escapeHtml(`${contender}${where}: ${reason}`)}</li>`;
  });
  return `<details><summary>Left out: ${all.length}</summary><ul>${items.join("")}</ul></details>`;
}

function contenders({ contenders: all, ownStatistics }: ExperimentResult): string {
  const items = all.map(({ name, command, version }) => {
    const said = version === "" ? "" : `, ${escapeHtml(version)}`;
    const started = command === "" ? "" : `: <code>${escapeHtml(command)}</code>`;
    const own = ownStatistics.findLast(({ contender }) => contender === name);
    const counted =
      own === undefined ? "" : `<br><span class="soft">${escapeHtml(ownWords(own))}</span>`;
    return `<li>${escapeHtml(name)}${said}${started}${counted}</li>`;
  });
  return `<details><summary>Who took part, how each was started, and what it said of itself</summary><ul>${items.join("")}</ul></details>`;
}

/** The raw data has those of every round; what is 0 says nothing here. */
function ownWords({ round, statistics }: OwnStatistics): string {
  const words = Object.entries(statistics)
    .filter(([, value]) => value !== 0)
    .map(([name, value]) => `${name} ${count(value)}`);
  return `in round ${round}: ${words.join(" · ")}`;
}
