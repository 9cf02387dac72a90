// Shows one image at a time. Arrow keys, Home and End turn the pages; the address names the image, so that it can be linked to.
const images = [...document.querySelectorAll("article.sample")];
const links = [...document.querySelectorAll("#list a")];
const tools = document.querySelector(".tools");
let shown = 0;
function show(i, moves) {
  shown = Math.min(Math.max(i, 0), images.length - 1);
  images.forEach((image, k) => { image.hidden = k !== shown; });
  links.forEach((link, k) => { k === shown ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"); });
  tools.querySelector("output").textContent = `${shown + 1} of ${images.length}`;
  if (moves) history.replaceState(null, "", `#${images[shown].id}`);
}
function fromAddress() {
  const i = images.findIndex(image => `#${image.id}` === location.hash);
  show(Math.max(i, 0), false);
  if (i >= 0) tools.scrollIntoView();
}
if (images.length) {
  document.body.classList.add("paged");
  tools.hidden = false;
  tools.addEventListener("click", e => { if (e.target.dataset.step) show(shown + Number(e.target.dataset.step), true); });
  addEventListener("hashchange", fromAddress);
  addEventListener("keydown", e => {
    if (e.altKey || e.ctrlKey || e.metaKey || e.shiftKey) return;
    const to = { ArrowLeft: shown - 1, ArrowRight: shown + 1, Home: 0, End: images.length - 1 }[e.key];
    if (to !== undefined) { e.preventDefault(); show(to, true); }
  });
  fromAddress();
}
