// Uses the gallery of a report of the toy runs as a reader does, and complains on the console about everything that is not as expected.
addEventListener("load", () => {
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];
  const check = (what, found, expected) => {
    if (String(found) !== String(expected)) console.warn(`${what}: ${found}, expected ${expected}`);
  };
  const press = key => (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const visible = all => all.filter(e => !e.closest("[hidden]") && e.getClientRects().length > 0);
  const name = sample => sample?.querySelector("h4").textContent.match(/lost_\d+/)[0].slice(-1);
  const samples = () => visible(find("#gallery article")).map(name);
  const form = document.getElementById("filters");
  const choose = (control, value) => {
    form.elements[control].value = value;
    form.elements[control].dispatchEvent(new Event("input", { bubbles: true }));
  };

  // from worst to best: the last run makes no errors, and sample 3 has no objects
  check("samples", samples(), "3,2,1");
  for (const [key, expected] of [["j", "3"], ["j", "2"], ["j", "1"], ["j", "1"], ["k", "2"]]) {
    press(key);
    check(`focus after ${key}`, name(document.activeElement.closest("article")), expected);
  }

  const filtered = (settings, expected) => {
    for (const [control, value] of Object.entries(settings)) choose(control, value);
    check(`samples with ${JSON.stringify(settings)}`, samples(), expected);
    check("count", form.elements.count.value, `${samples().length} of 3 samples`);
    for (const control of Object.keys(settings)) choose(control, control === "score" ? "0" : "");
  };
  filtered({ rank: "worst" }, "3");
  filtered({ rank: "best" }, "1");
  filtered({ size: "1" }, "2,1");
  filtered({ size: "0" }, "");
  filtered({ size: "none" }, "3");
  filtered({ errors: "missed", run: "0" }, "2,1");
  filtered({ errors: "missed", run: "2" }, "");
  filtered({ errors: "alarms" }, "3,2,1");
  filtered({ errors: "none", run: "2" }, "3,2,1");
  filtered({ score: "0.9", run: "2" }, "2,1");
  filtered({ score: "0.95" }, "1");
  choose("run", "1");
  check("runs", new Set(visible(find("#gallery figure.picture")).map(f => f.closest(".of-run")?.dataset.run ?? "all")).size, 2);
  choose("run", "");

  const viewer = document.getElementById("viewer");
  const pictures = () => visible(find("figure", viewer));
  const captions = () => pictures().map(f => f.querySelector("figcaption").textContent).join(" | ");
  const sample3 = find("#gallery article")[0];
  find(".zoom", sample3)[0].click();
  check("opened", viewer.open, true);
  check("first picture", captions(), "image");
  press("ArrowRight");
  check("next picture", captions(), "ground truth");
  press("ArrowLeft");
  press("ArrowLeft");
  check("the last picture of the last sample", captions().endsWith(": segments") && viewer.querySelector("p").textContent.includes("lost_000001"), true);
  press("ArrowDown");
  check("the same picture of the next sample", captions().endsWith(": segments") && viewer.querySelector("p").textContent.includes("lost_000003"), true);
  press("k");
  check("back", viewer.querySelector("p").textContent.includes("lost_000001"), true);
  press("c");
  check("compared", pictures().length, 2);
  const [left, right] = pictures().map(f => f.querySelector("img").getBoundingClientRect());
  check("one over the other", [right.left - left.left, right.top - left.top, right.width - left.width].map(Math.round), "0,0,0");
  const panes = viewer.querySelector("[name=panes]");
  panes.click();
  const [one, other] = pictures().map(f => f.querySelector("img").getBoundingClientRect());
  check("beside or below each other", other.left >= one.right || other.top >= one.bottom, true);
  check("inside of the window", other.right <= innerWidth && one.left >= 0, true);
  panes.click();
  press("c");
  check("not compared", pictures().length, 1);
  viewer.close();
  find(".compare", sample3)[0].click();
  check("runs beside each other", captions().split(" | ").map(c => c.endsWith(": segments")), "true,true");
  check("of two runs", new Set(captions().split(" | ")).size, 2);
  viewer.close();

  // the name of a run is text
  const bold = "<b>bold</b>";
  check("names", find("#gallery h5")[0].textContent, bold);
  check("markup from names", find("b").length, 0);
});
