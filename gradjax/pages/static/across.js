// Performance profiles over all problems.
"use strict";
report.profiles = (() => {
  const { note, panel, select, shared } = report;

  // The steps of a profile: the share of problems with a ratio of at most each factor.
  const stepsOf = ({ optimizer, ratios }, most) => {
    const finite = ratios.filter((ratio) => ratio !== null).sort(d3.ascending);
    const at = [1, ...finite.filter((ratio) => ratio > 1 && ratio <= most), most];
    return at.map((factor) => ({ optimizer, factor,
      share: finite.filter((ratio) => ratio <= factor).length / ratios.length }));
  };

  return (across, place) => {
    if (!across.profiles.length) return null;
    const heading = "Performance profiles";
    const names = across.profiles.map((one) => one.name);
    return panel(place, heading, [select("of", "times of", names)], (state, width) => {
      const chosen = across.profiles.find((one) => one.name === state.of).ratios;
      const most = Math.max(1.2 * across.maxRatio, 1.1 * (d3.max(chosen, (one) => d3.max(one.ratios)) ?? 1));
      const points = chosen.flatMap((one) => stepsOf(one, most));
      return [Plot.plot({
        ...shared(heading, across.optimizers, width),
        x: { label: "factor of the shortest time", type: "log", domain: [1, most], ticks: [1, 1.5, 2, 3, 4, 6, 10, 20, 50, 100].filter((tick) => tick <= most), tickFormat: (tick) => String(tick), grid: true },
        y: { label: "share of problems", domain: [0, 1], ticks: 5, grid: true },
        marks: [
          Plot.ruleX([across.maxRatio], { stroke: "currentColor", strokeDasharray: "3,3" }),
          Plot.lineY(points, { x: "factor", y: "share", stroke: "optimizer", curve: "step-after", strokeWidth: 2 }),
          Plot.tip(points, Plot.pointer({ maxRadius: 200, x: "factor", y: "share",
            title: (d) => `${d.optimizer}\nwithin ${d.factor.toPrecision(3)} of the shortest time\non ${Math.round(100 * d.share)} % of the problems` })),
        ],
      }), note(`The profile of an optimizer is the share of the problems on which it takes at most so many times the shortest time to target. The dashed line is the factor ${across.maxRatio}, up to which the integral is taken.`)];
    });
  };
})();
