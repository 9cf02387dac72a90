// Measures the page that contains this script, and sends the findings to the frame around it.
function channels(color) {
  const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
  return { rgb: [r, g, b], a };
}
function over(top, a, below) {
  return top.map((c, i) => a * c + (1 - a) * below[i]);
}
// The color behind the text of an element.
function ground(element) {
  if (!element) return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  const { rgb, a } = channels(getComputedStyle(element).backgroundColor);
  return a === 1 ? rgb : over(rgb, a, ground(element.parentElement));
}
// Relative luminance and contrast as WCAG 2.2 defines them.
function luminance(rgb) {
  const [r, g, b] = rgb.map(c => c / 255).map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(element) {
  const style = getComputedStyle(element);
  const behind = ground(element);
  const { rgb, a } = channels(element.closest("svg") ? style.fill : style.color);
  const [low, high] = [luminance(over(rgb, a, behind)), luminance(behind)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}
// Height of an element's letters on the screen.
function textSize(element) {
  const size = parseFloat(getComputedStyle(element).fontSize);
  return element.getScreenCTM ? size * Math.hypot(element.getScreenCTM().a, element.getScreenCTM().b) : size;
}
function named(element) {
  return `${element.tagName} ${element.textContent.trim().slice(0, 40)}`;
}
function least(elements, value) {
  const all = elements.map(e => ({ value: value(e), what: named(e) }));
  return all.reduce((a, b) => (b.value < a.value ? b : a), { value: 1000, what: "" });
}
addEventListener("load", () => {
  const page = document.documentElement;
  const isText = node => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
  const isShown = e => e.getClientRects().length > 0 && !e.closest("script, style, title");
  const texts = [...document.body.querySelectorAll("*")].filter(e => [...e.childNodes].some(isText) && isShown(e));
  const scrolls = e => e.closest(".scroll, pre");
  const wide = [...document.body.querySelectorAll("*")].filter(e => isShown(e) && !scrolls(e) && e.getBoundingClientRect().right > innerWidth + 0.5);
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  const targets = [...document.querySelectorAll("a[href]")].map(a => a.getAttribute("href").slice(1));
  const viewer = document.getElementById("viewer");
  document.querySelector(".zoom")?.click();
  const isOpen = Boolean(viewer?.open && viewer.querySelector("img").naturalWidth > 0);
  viewer?.close?.();
  const findings = {
    inner_width: innerWidth,
    scroll_width: page.scrollWidth,
    sticks_out: wide.map(named),
    is_dark: matchMedia("(prefers-color-scheme: dark)").matches,
    ground: ground(document.body),
    contrast: least(texts, contrast),
    text_size: least(texts, textSize),
    viewer_opens: isOpen,
    viewer_closes: Boolean(viewer && !viewer.open),
    loaded: performance.getEntriesByType("resource").map(r => r.name).filter(name => !name.startsWith("data:")),
    dead_links: targets.filter(target => !ids.includes(target)),
    double_ids: ids.filter((id, i) => ids.indexOf(id) !== i),
    n_links: targets.length,
  };
  parent.postMessage(btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(findings)))), "*");
});
