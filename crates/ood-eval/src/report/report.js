// Shows an enlarged picture. Arrow keys go to the previous and the next picture; Escape closes, as in every dialog.
const viewer = document.getElementById("viewer");
const pictures = [...document.querySelectorAll(".zoom img")];
let shown = 0;
function show(i) {
  shown = (i + pictures.length) % pictures.length;
  const image = viewer.querySelector("img");
  image.src = pictures[shown].src;
  image.alt = viewer.querySelector("p").textContent = pictures[shown].alt;
}
pictures.forEach((p, i) => p.parentElement.addEventListener("click", () => { show(i); viewer.showModal(); }));
viewer.addEventListener("click", e => {
  if (e.target.dataset.step) show(shown + Number(e.target.dataset.step));
  else if (e.target === viewer) viewer.close();
});
viewer.addEventListener("keydown", e => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (step) { e.preventDefault(); show(shown + step); }
});
viewer.addEventListener("close", () => pictures[shown].parentElement.focus());
