// Learning curves of the fresh seeds.
"use strict";
report.learningCurves = (() => {
  const { unpack, note, shown, panel, check, select, spans, shared, axis, divergedOf } = report;
  const EVERY = "all optimizers";
  const MOST_POINTS = 20000; // that the pointer looks through while the mouse moves

  // The factor from steps to the unit of the axis; null: it is not known.
  const factorOf = (trial, unit) =>
    unit === "steps" ? 1 : unit === "gradients" ? trial.gradientsPerStep : trial.secondsPerStep;
  const units = (fresh) => {
    const ran = fresh.filter((trial) => trial.values);
    const known = ["steps", "gradients", "seconds"].filter((unit) => ran.every((trial) => factorOf(trial, unit) !== null));
    const areAlike = ran.every((trial) => trial.gradientsPerStep === 1);
    return areAlike ? known.filter((unit) => unit !== "steps") : known;
  };

  const pointsOf = (problem, trials, unit) => trials.flatMap((trial, index) => {
    const values = unpack(trial.values);
    const factor = factorOf(trial, unit);
    return Array.from(unpack(problem.axes[trial.axis]), (step, k) => ({
      step, x: step * factor, value: Number.isFinite(values[k]) ? values[k] : NaN,
      optimizer: trial.optimizer, seed: trial.seed, trial: index,
    }));
  });

  // The finite values at each step, in the order of the steps.
  const valuesAt = (problem, trials) => {
    const columns = new Map();
    for (const trial of trials) {
      const [steps, values] = [unpack(problem.axes[trial.axis]), unpack(trial.values)];
      for (let k = 0; k < steps.length; k++) {
        let column = columns.get(steps[k]);
        if (column === undefined) columns.set(steps[k], column = []);
        if (Number.isFinite(values[k])) column.push(values[k]);
      }
    }
    return [...columns].sort(([a], [b]) => a - b);
  };

  // The last step of a seed with a finite value.
  const lastOf = (problem, trial) => {
    const values = unpack(trial.values);
    for (let k = values.length - 1; k >= 0; k--) if (Number.isFinite(values[k])) return unpack(problem.axes[trial.axis])[k];
    return -Infinity;
  };

  // The median and the range at each step. A seed that diverged or has no result counts
  // as the worst value after its last point, so the median ends where half of the seeds
  // are lost. A step at which another seed has no value has no median.
  const bandOf = (problem, optimizer, trials, unit) => {
    const factor = d3.mean(trials, (trial) => factorOf(trial, unit) ?? undefined) ?? 1;
    const isLow = problem.direction === "min";
    const lost = trials.filter((trial) => trial.value === null).map((trial) => lastOf(problem, trial));
    const band = [];
    for (const [step, column] of valuesAt(problem, trials)) {
      if (!column.length) continue;
      const count = column.length;
      const values = Float64Array.from(column).sort();
      const diverged = d3.sum(lost, (end) => end < step);
      if (count + diverged < trials.length) continue;
      // The worst values lie after the others in order if small ones are better.
      const rank = (k) => values[isLow ? k : k - diverged] ?? NaN;
      const half = (count + diverged - 1) / 2;
      band.push({ optimizer, step, x: step * factor, count, diverged, low: values[0], high: values[count - 1],
        median: (rank(Math.floor(half)) + rank(Math.ceil(half))) / 2 });
    }
    return band;
  };

  // The last finite point of each seed that diverged.
  const endsOf = (points, trials, unit) => trials.flatMap((trial, index) => {
    if (!(trial.divergedStep > 0)) return [];
    const own = points.filter((d) => d.trial === index && Number.isFinite(d.value));
    const last = own[own.length - 1];
    return [{ optimizer: trial.optimizer, seed: trial.seed, step: trial.divergedStep,
      x: trial.divergedStep * factorOf(trial, unit), value: last?.value }];
  });

  const told = (d, unit) => {
    const at = unit === "steps" ? `step ${d.step}` : `${shown(d.x)} ${unit}`;
    if ("seed" in d) return `${d.optimizer}, seed ${d.seed}\n${at}: ${d.value.toPrecision(4)}`;
    const lost = d.diverged ? `, ${d.diverged} lost` : "";
    const median = Number.isFinite(d.median) ? d.median.toPrecision(4) : "half of the seeds are lost";
    return `${d.optimizer}, ${d.count} seeds${lost}\n${at}: ${median}\nfrom ${d.low.toPrecision(4)} to ${d.high.toPrecision(4)}`;
  };

  report.bandOf = bandOf;
  report.pointsOf = pointsOf;
  return (problem, place) => {
    const fresh = problem.trials.filter((trial) => trial.role === "fresh" && (trial.values || trial.value === null));
    if (!fresh.some((trial) => trial.values)) return null;
    const without = problem.optimizers.filter((name) => !fresh.some((trial) => trial.optimizer === name && trial.values));
    const heading = "Learning curves of the fresh seeds";
    const optimizers = problem.optimizers;
    const extents = fresh.flatMap((trial) => d3.extent(unpack(trial.values))).filter(Number.isFinite);
    const controls = [
      select("unit", "axis", units(fresh), units(fresh).includes("gradients") ? "gradients" : units(fresh)[0]),
      select("of", "show", [EVERY, ...optimizers]),
      check("logY", "logarithmic values", spans(extents, 30)),
      check("logX", "logarithmic axis"),
      check("all", "every seed"),
    ];
    return panel(place, heading, controls, (state, width) => {
      const own = state.of === EVERY ? fresh : fresh.filter((trial) => trial.optimizer === state.of);
      const median = d3.groups(own, (trial) => trial.optimizer)
        .flatMap(([optimizer, trials]) => bandOf(problem, optimizer, trials, state.unit));
      const lost = own.filter((trial) => trial.divergedStep > 0);
      const points = state.all ? pointsOf(problem, own, state.unit) : [];
      const marked = endsOf(pointsOf(problem, lost, state.unit), lost, state.unit);
      const seen = points.filter((d) => Number.isFinite(d.value));
      const every = Math.ceil(seen.length / MOST_POINTS);
      const values = median.flatMap((d) => [d.low, d.high]);
      const pointed = state.all ? seen.filter((_, k) => k % every === 0) : median;
      const lines = state.all
        ? [Plot.lineY(points, { x: "x", y: "value", z: "trial", stroke: "optimizer", strokeWidth: 1, strokeOpacity: 0.7 })]
        : [Plot.areaY(median, { x: "x", y1: "low", y2: "high", fill: "optimizer", fillOpacity: 0.15 }),
           Plot.lineY(median, { x: "x", y: "median", stroke: "optimizer", strokeWidth: 2 })];
      const counts = divergedOf(own).map(([optimizer, gone, total]) => {
        const at = gone.map((trial) => trial.divergedStep * factorOf(trial, state.unit)).sort(d3.ascending);
        return `${optimizer} diverged in ${gone.length} of ${total}, after ${at.slice(0, 8).map(shown).join(", ")}${at.length > 8 ? ", ..." : ""} ${state.unit}.`;
      });
      return [Plot.plot({
        ...shared(heading, optimizers, width),
        x: { label: state.unit, ...axis(state.logX, median.map((d) => d.x)) },
        y: { label: problem.chosenBy, ...axis(state.logY, values) },
        marks: [
          ...lines,
          Plot.ruleX(marked, { x: "x", stroke: "optimizer", strokeDasharray: "3,3", strokeOpacity: 0.6 }),
          Plot.dot(marked.filter((d) => d.value !== undefined), { x: "x", y: "value", stroke: "optimizer", symbol: "times", r: 5, strokeWidth: 2 }),
          problem.target && Plot.ruleY([problem.target.value], { stroke: "currentColor", strokeDasharray: "1,4" }),
          Plot.tip(pointed, Plot.pointer({ maxRadius: 200, x: "x", y: state.all ? "value" : (d) => Number.isFinite(d.median) ? d.median : d.low,
            title: (d) => told(d, state.unit) })),
        ],
      }), note((state.all ? "A line is one seed." : "A line is the median over all seeds, and its band is the range; both end where a seed ends. Seeds with steps of their own are interpolated between their points.") +
        (without.length ? ` No curves are known of ${without.join(", ")}.` : "") +
        (problem.target ? " The dotted line is the target." : "") +
        (counts.length ? ` A cross and a dashed line mark where a seed diverged. From there on it counts as the worst value. ${counts.join(" ")}` : "") +
        (state.unit === "steps" ? "" : ` The ${state.unit} of a run are spread equally over its steps.`))];
    });
  };
})();
