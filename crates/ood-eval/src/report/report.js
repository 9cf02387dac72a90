// The gallery: filters, keys, and a viewer that enlarges a picture and compares it with another of the same sample.
const articles = [...document.querySelectorAll("article.sample")];
const samples = articles.filter(article => article.closest("#gallery"));
const filters = document.getElementById("filters");
const viewer = document.getElementById("viewer");
const [first, second] = viewer.querySelectorAll("figure");
const controls = viewer.querySelector("form").elements;
const split = viewer.querySelector("[name=split]");
let shown = null;

const isVisible = element => !element.closest("[hidden]");
const images = sample => [...sample.querySelectorAll(".zoom img")].filter(isVisible);
const sampleOf = image => image.closest("article");
const kindOf = image => `${image.dataset.kind}\n${image.dataset.of}`;
const nameOf = image => [image.dataset.of, image.dataset.kind].filter(Boolean).join(": ");
const visible = all => all.filter(isVisible);

// --- filters ---

// Whether a run on a sample has the errors and the score that are asked for.
function runMatches(run, errors, least) {
  const { missed, alarms, lost, score } = run.dataset;
  const asked = { "": true, missed: missed > 0, alarms: alarms > 0, lost: lost > 0, none: Number(missed) + Number(alarms) === 0 };
  return asked[errors] && (least === 0 || Number(score ?? -1) >= least);
}
function sampleMatches(sample, of) {
  const { dataset, rank, bands } = sample.dataset;
  const runs = [...sample.querySelectorAll(".of-run")].filter(run => !of("run") || run.dataset.run === of("run"));
  return (!of("dataset") || dataset === of("dataset"))
    && (!of("rank") || rank === of("rank"))
    && (!of("size") || (of("size") === "none" ? bands === "" : bands.split(" ").includes(of("size"))))
    && runs.some(run => runMatches(run, of("errors"), Number(of("score"))));
}
function filter() {
  const of = name => filters.elements[name]?.value ?? "";
  for (const part of document.querySelectorAll("#gallery [data-run]")) part.hidden = Boolean(of("run")) && part.dataset.run !== of("run");
  for (const sample of samples) sample.hidden = !sampleMatches(sample, of);
  for (const group of document.querySelectorAll("#gallery .group")) {
    const inGroup = [...group.querySelectorAll("article")];
    group.hidden = inGroup.length > 0 && inGroup.every(sample => sample.hidden);
  }
  if (filters.elements.least) filters.elements.least.value = of("score");
  filters.elements.count.value = `${visible(samples).length} of ${samples.length} samples`;
}

// --- viewer ---

function fill(figure, image) {
  const picture = figure.querySelector("img");
  picture.src = image.src;
  picture.alt = image.alt;
  figure.querySelector("figcaption").textContent = nameOf(image);
}
// Shows a picture, and beside or over it the other one that is chosen.
function show(image) {
  shown = image;
  fill(first, image);
  viewer.style.setProperty("--ratio", image.getAttribute("width") / image.getAttribute("height"));
  viewer.querySelector("p").textContent = image.alt;
  const chosen = controls.other.value;
  const others = images(sampleOf(image));
  controls.other.replaceChildren(new Option("nothing", ""), ...others.map(other => new Option(nameOf(other), kindOf(other))));
  controls.other.value = others.some(other => kindOf(other) === chosen) ? chosen : "";
  compare();
}
function compare() {
  const other = images(sampleOf(shown)).find(image => kindOf(image) === controls.other.value);
  const isSlider = Boolean(other) && !controls.panes.checked;
  if (other) fill(second, other);
  second.hidden = !other;
  controls.panes.parentElement.hidden = !other;
  split.hidden = !isSlider;
  viewer.classList.toggle("slider", isSlider);
  viewer.classList.toggle("panes", Boolean(other) && !isSlider);
}
function move() {
  viewer.style.setProperty("--split", `${split.value}%`);
}
function openViewer(image, other) {
  show(image);
  if (other) {
    controls.other.value = kindOf(other);
    compare();
  }
  if (!viewer.open) viewer.showModal();
}
// The segments of two runs of a sample: the first and the last one.
function runsOf(sample) {
  const segments = images(sample).filter(image => image.dataset.kind === "segments");
  return [segments[0], segments.at(-1)];
}
function stepPicture(step) {
  const all = visible(articles).flatMap(images);
  show(all[(all.indexOf(shown) + step + all.length) % all.length]);
}
// The same kind of picture in the next sample.
function stepSample(step) {
  const all = visible(articles);
  const next = images(all[(all.indexOf(sampleOf(shown)) + step + all.length) % all.length]);
  show(next.find(image => kindOf(image) === kindOf(shown)) ?? next[0]);
}
function toggleCompare() {
  if (controls.other.value) controls.other.value = "";
  else {
    const others = images(sampleOf(shown)).filter(image => image !== shown);
    const same = others.find(image => image.dataset.kind === shown.dataset.kind);
    const other = same ?? others[0];
    if (other) controls.other.value = kindOf(other);
  }
  compare();
}

// --- keys ---

const inViewer = {
  ArrowLeft: () => stepPicture(-1), ArrowRight: () => stepPicture(1),
  ArrowUp: () => stepSample(-1), ArrowDown: () => stepSample(1),
  k: () => stepSample(-1), j: () => stepSample(1), c: toggleCompare,
};
// Moves the focus to the next sample of the page; from outside of the samples, to the one that is nearest to the top of the window.
function focusSample(step) {
  const all = visible(articles);
  const at = all.indexOf(document.activeElement.closest("article"));
  const below = all.findIndex(sample => sample.getBoundingClientRect().bottom > 0);
  const next = at >= 0 ? at + step : Math.max(below, 0);
  const sample = all[Math.min(Math.max(next, 0), all.length - 1)];
  sample?.focus({ preventScroll: true });
  sample?.scrollIntoView({ block: "start" });
}
addEventListener("keydown", e => {
  if (e.altKey || e.ctrlKey || e.metaKey || e.target.closest?.("select, input")) return;
  const act = viewer.open ? inViewer[e.key] : { j: () => focusSample(1), k: () => focusSample(-1) }[e.key];
  if (act) {
    e.preventDefault();
    act();
  }
});

// --- start ---

for (const sample of articles) {
  for (const image of sample.querySelectorAll(".zoom img")) image.parentElement.addEventListener("click", () => openViewer(image));
  const button = sample.querySelector(".compare");
  const [one, other] = runsOf(sample);
  if (!button || one === other) continue;
  button.hidden = false;
  button.addEventListener("click", () => { const [one, other] = runsOf(sample); openViewer(one, other === one ? undefined : other); });
}
viewer.addEventListener("click", e => {
  if (e.target.dataset.step) stepPicture(Number(e.target.dataset.step));
  else if (e.target === viewer) viewer.close();
});
viewer.querySelector(".compared").addEventListener("pointermove", e => {
  if (!viewer.classList.contains("slider") || (e.pointerType !== "mouse" && !e.buttons)) return;
  const box = first.querySelector("img").getBoundingClientRect();
  split.value = 100 * (e.clientX - box.left) / box.width;
  move();
});
controls.other.addEventListener("change", compare);
controls.panes.addEventListener("change", compare);
split.addEventListener("input", move);
viewer.addEventListener("close", () => shown.parentElement.focus());
move();
if (filters) {
  filters.addEventListener("input", filter);
  filters.addEventListener("reset", () => setTimeout(filter));
  filters.addEventListener("submit", e => e.preventDefault());
  filters.hidden = false;
  filter();
}
