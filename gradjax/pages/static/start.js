// Draws all charts, and opens the curves of a row.
"use strict";
(() => {
  const { data, learningCurves, measuredCurves, searchPanels, profiles, drawInTurn, drawAll, redrawAll } = report;
  if (data.across) profiles(data.across, document.querySelector("#across .charts"));
  for (const section of document.querySelectorAll("section[data-problem]")) {
    const problem = data.problems[Number(section.dataset.problem)];
    const place = section.querySelector(".charts");
    const curves = learningCurves(problem, place);
    measuredCurves(problem, place);
    searchPanels(problem, place);
    for (const button of section.querySelectorAll("button.open")) {
      button.hidden = curves === null;
      button.addEventListener("click", () => {
        curves.set("of", button.dataset.optimizer);
        curves.set("all", true);
        curves.redraw();
        curves.root.scrollIntoView({ block: "nearest" });
        curves.inputs.of.focus({ preventScroll: true });
      });
    }
  }
  drawInTurn(() => {
    document.documentElement.dataset.loadMs = Math.round(performance.now());
    document.documentElement.dataset.ready = "yes";
  });
  let pending;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone hides its address bar
    width = innerWidth;
    clearTimeout(pending);
    pending = setTimeout(redrawAll, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  addEventListener("beforeprint", drawAll);
})();
