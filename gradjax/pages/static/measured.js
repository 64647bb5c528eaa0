// Diagnostics of the fresh seeds: what was measured between their steps.
"use strict";
report.measuredCurves = (() => {
  const { unpack, note, words, panel, check, select, spans, shared, axis, bandOf, pointsOf } = report;
  const told = (d) => "seed" in d
    ? `${d.optimizer}, seed ${d.seed}\nstep ${d.step}: ${d.value.toPrecision(4)}`
    : `${d.optimizer}, ${d.count} seeds\nstep ${d.step}: ${d.median.toPrecision(4)}\nfrom ${d.low.toPrecision(4)} to ${d.high.toPrecision(4)}`;

  // The seeds with the curve of a diagnostic in place of their own. None counts as lost,
  // because no value of a diagnostic is the worst one.
  const withCurve = (problem, name) => problem.trials
    .filter((trial) => trial.measured && name in trial.measured)
    .map((trial) => ({ ...trial, ...trial.measured[name], value: 0 }));

  return (problem, place) => {
    const names = problem.measured;
    if (!names.length) return null;
    const heading = "Diagnostics of the fresh seeds";
    const first = names.includes("sharpness") ? "sharpness" : names[0];
    const controls = [
      select("name", "show", names, first),
      check("logY", "logarithmic values"),
      check("all", "every seed"),
    ];
    return panel(place, heading, controls, (state, width) => {
      const own = withCurve(problem, state.name);
      const seen = problem.optimizers.filter((name) => own.some((trial) => trial.optimizer === name));
      const without = problem.optimizers.filter((name) => !seen.includes(name));
      const median = d3.groups(own, (trial) => trial.optimizer)
        .flatMap(([optimizer, trials]) => bandOf(problem, optimizer, trials, "steps"));
      const points = state.all ? pointsOf(problem, own, "steps") : [];
      const values = own.flatMap((trial) => d3.extent(unpack(trial.values).filter(Number.isFinite)));
      const canLog = spans(values, 1);
      const lines = state.all
        ? [Plot.lineY(points, { x: "x", y: "value", z: "trial", stroke: "optimizer", strokeWidth: 1, strokeOpacity: 0.7 })]
        : [Plot.areaY(median, { x: "x", y1: "low", y2: "high", fill: "optimizer", fillOpacity: 0.15 }),
           Plot.lineY(median, { x: "x", y: "median", stroke: "optimizer", strokeWidth: 2 })];
      const pointed = state.all ? points.filter((d) => Number.isFinite(d.value)) : median;
      return [Plot.plot({
        ...shared(`${heading}: ${words(state.name)}`, problem.optimizers, width),
        x: { label: "steps", grid: true },
        y: { label: words(state.name), ...axis(state.logY && canLog, values) },
        marks: [
          ...lines,
          Plot.tip(pointed, Plot.pointer({ maxRadius: 200, x: "x", y: state.all ? "value" : "median", title: told })),
        ],
      }), note((state.all ? "A line is one seed." : "A line is the median over all seeds, and its band is the range; both end where a seed ends.") +
        (state.logY && !canLog ? " Some values are not positive, so the axis is linear." : "") +
        (without.length ? ` It was not measured for ${without.join(", ")}.` : ""))];
    });
  };
})();
