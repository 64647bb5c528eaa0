// The trials of each search: scatter, parallel coordinates, basins and the best of k.
"use strict";
report.searchPanels = (() => {
  const { element, note, words, shown, isDark, panel, check, select, spans, shared, axis, divergedOf } = report;

  const valuesOf = (trials, name) => trials.map((trial) => trial.setting[name]).filter((value) => value !== undefined && value !== null);
  const tipOf = (trial) => [`${trial.optimizer}: ${trial.value === null ? (trial.failure || `diverged at step ${trial.divergedStep}`) : trial.value.toPrecision(4)}`,
    ...Object.entries(trial.setting).map(([name, value]) => `${words(name)} ${shown(value)}`), trial.source].join("\n");
  const bestOf = (problem, points, value) => problem.direction === "min" ? d3.least(points, value) : d3.greatest(points, value);
  const worstOf = (problem, values) => problem.direction === "min" ? d3.max(values) : d3.min(values);
  const finite = (trials) => trials.filter((trial) => trial.value !== null);

  // A scale from the values of one hyperparameter to [0, 1]; texts are put in order.
  const scaleOf = (name, values) => {
    const isNumber = values.every((value) => typeof value === "number");
    if (!isNumber) {
      const names = [...new Set(values.map(String))].sort();
      const last = Math.max(names.length - 1, 1);
      return { name, place: (value) => names.indexOf(String(value)) / last, at: (t) => names[Math.round(t * (names.length - 1))] };
    }
    let [low, high] = d3.extent(values);
    const isLog = spans(values, 20);
    if (isLog) [low, high] = [Math.log(low), Math.log(high)];
    const width = high - low || 1;
    return { name, place: (value) => ((isLog ? Math.log(value) : value) - low) / width,
      at: (t) => (isLog ? Math.exp(low + t * width) : low + t * width) };
  };

  // Which trials a filter lets pass; the ranges are given in the scales of the axes.
  const makeFilter = (tried) => {
    const scales = new Map();
    for (const [optimizer, own] of d3.groups(tried, (trial) => trial.optimizer)) {
      const names = [...new Set(own.flatMap((trial) => Object.keys(trial.setting)))]
        .filter((name) => new Set(valuesOf(own, name)).size > 1);
      scales.set(optimizer, names.map((name) => ({ ...scaleOf(name, valuesOf(own, name)), range: [0, 1] })));
    }
    const passes = (trial) => scales.get(trial.optimizer).every(({ name, place, range }) => {
      const value = trial.setting[name];
      if (value === undefined || value === null) return true;
      const at = place(value);
      return at >= range[0] - 1e-9 && at <= range[1] + 1e-9;
    });
    return { scales, passes, listeners: [] };
  };

  const scatter = (problem, place, tried, filter) => {
    const names = [...new Set(tried.flatMap((trial) => Object.entries(trial.setting)
      .filter(([, value]) => typeof value === "number").map(([name]) => name)))];
    if (!names.length) return;
    const heading = "Trials of the search";
    const controls = [select("name", "number", names), check("linear", "linear axis"),
      check("logY", "logarithmic values", spans(finite(tried).map((trial) => trial.value)))];
    const made = panel(place, heading, controls, (state, width) => {
      const points = tried.filter((trial) => typeof trial.setting[state.name] === "number")
        .map((trial) => ({ ...trial, x: trial.setting[state.name], passes: filter.passes(trial) }));
      const seen = finite(points);
      const worst = worstOf(problem, seen.map((d) => d.value));
      const settings = d3.groups(points, (d) => d.optimizer, (d) => JSON.stringify(d.setting));
      const best = settings.map(([optimizer, own]) => {
        const means = own.map(([, seeds]) => ({ optimizer, x: seeds[0].x,
          value: seeds.some((d) => d.value === null) ? null : d3.mean(seeds, (d) => d.value) })).filter((d) => d.value !== null);
        return bestOf(problem, means, (d) => d.value);
      }).filter((d) => d !== undefined);
      const opacity = (d) => (d.passes ? 1 : 0.12);
      const without = problem.optimizers.filter((name) => !points.some((d) => d.optimizer === name));
      const lost = divergedOf(points).map(([optimizer, gone, total]) => `${optimizer} diverged in ${gone.length} of ${total}.`);
      return [Plot.plot({
        ...shared(heading, problem.optimizers, width),
        x: { label: words(state.name), ...axis(!state.linear, points.map((d) => d.x)) },
        y: { label: problem.chosenBy, ...axis(state.logY, seen.map((d) => d.value)) },
        marks: [
          Plot.dot(seen, { x: "x", y: "value", stroke: "optimizer", r: 3, strokeOpacity: opacity }),
          Plot.dot(best, { x: "x", y: "value", fill: "optimizer", r: 6, symbol: "star" }),
          Plot.dot(points.filter((d) => d.value === null), { x: "x", y: () => worst, stroke: "optimizer", symbol: "times", strokeOpacity: opacity }),
          Plot.tip(seen, Plot.pointer({ maxRadius: 200, x: "x", y: "value", title: tipOf })),
        ],
      }), note(`The star is the best setting of each optimizer by its mean over seeds; a cross is a trial that diverged or has no result. ${lost.join(" ")}` +
        (without.length ? ` No trial of ${without.join(", ")} has this number.` : ""))];
    });
    filter.listeners.push(made.redraw);
  };

  // Parallel coordinates: a line a trial, from number to number, and to its value.
  const sliders = (filter, optimizer, changed) => {
    const labels = labelsOf(filter.scales.get(optimizer));
    const fields = filter.scales.get(optimizer).map((scale, index) => {
      const output = element("output");
      const say = () => { output.textContent = `${shown(scale.at(scale.range[0]))} to ${shown(scale.at(scale.range[1]))}`; };
      const ends = ["smallest", "largest"].map((end, k) => {
        const input = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: scale.range[k],
          "aria-label": `${end} ${labels[index]}`, "data-name": scale.name, "data-end": end });
        input.value = scale.range[k];
        input.addEventListener("input", () => {
          const value = Number(input.value);
          scale.range[k] = k ? Math.max(value, scale.range[0]) : Math.min(value, scale.range[1]);
          input.value = scale.range[k];
          input.setAttribute("aria-valuetext", shown(scale.at(scale.range[k])));
          say();
          changed();
        });
        return input;
      });
      say();
      return element("fieldset", {}, element("legend", {}, labels[index]), ...ends, output);
    });
    const reset = element("button", { type: "button" }, "all trials");
    reset.addEventListener("click", () => {
      for (const scale of filter.scales.get(optimizer)) scale.range = [0, 1];
      changed(true);
    });
    return [...fields, reset];
  };

  // The names of axes: the last part of a path such as adamw.weight_decay, if it is unique.
  const labelsOf = (scales) => {
    const ends = scales.map((scale) => scale.name.split(".").pop());
    return scales.map((scale, k) => words(ends.filter((end) => end === ends[k]).length > 1 ? scale.name : ends[k]));
  };

  const lineOf = (trial, scales, valueScale) => {
    const points = scales.map((scale) => ({ trial, axis: scale.label, y: scale.place(trial.setting[scale.name]) }));
    const end = trial.value === null ? -0.12 : valueScale.place(trial.value);
    return [...points, { trial, axis: valueScale.label, y: end }].filter((d) => Number.isFinite(d.y));
  };

  const parallel = (problem, place, tried, filter) => {
    const optimizers = [...filter.scales.keys()].filter((name) => filter.scales.get(name).length);
    if (!optimizers.length) return;
    const heading = "Parallel coordinates of the trials";
    const bar = element("div", { class: "sliders" });
    const status = element("p", { class: "note", role: "status" });
    let shownOf;
    const made = panel(place, heading, [select("of", "optimizer", optimizers)], (state, width) => {
      const own = tried.filter((trial) => trial.optimizer === state.of);
      const labelled = labelsOf(filter.scales.get(state.of));
      const scales = filter.scales.get(state.of).map((scale, k) => ({ ...scale, label: labelled[k] }));
      const seen = finite(own);
      const valueScale = { ...scaleOf("value", seen.map((trial) => trial.value)), label: problem.chosenBy };
      const all = [...scales, valueScale];
      if (shownOf !== state.of) {
        shownOf = state.of;
        const changed = (isReset) => {
          filter.listeners.forEach((redraw) => redraw());
          made.redraw();
          if (isReset === true) bar.replaceChildren(...sliders(filter, state.of, changed));
        };
        bar.replaceChildren(...sliders(filter, state.of, changed));
      }
      const kept = own.filter(filter.passes);
      const best = bestOf(problem, finite(kept), (trial) => trial.value);
      status.textContent = `${kept.length} of ${own.length} trials pass; ${kept.length - finite(kept).length} of them diverged; ` +
        (best ? `the best has ${shown(best.value)}.` : "none of them ended.");
      const goodness = (trial) => {
        const at = valueScale.place(trial.value);
        return problem.direction === "min" ? 1 - at : at;
      };
      const color = (trial) => trial.value === null ? "var(--bad)"
        : d3.interpolatePlasma(isDark() ? 0.25 + 0.7 * goodness(trial) : 0.85 - 0.8 * goodness(trial));
      const drawn = own.sort((a, b) => (a.value === null ? -1 : goodness(a)) - (b.value === null ? -1 : goodness(b)))
        .flatMap((trial) => lineOf(trial, scales, valueScale));
      const labels = (seen.length ? all : all.slice(0, -1)).flatMap((scale) => [0, 0.25, 0.5, 0.75, 1].map((t) => ({ axis: scale.label, y: t, text: shown(Number.isFinite(scale.at(t)) ? Number(scale.at(t).toPrecision(2)) : scale.at(t)) }))
        .filter((d, k, list) => k === 0 || d.text !== list[k - 1].text));
      const line = (isOn, isLost) => Plot.line(drawn.filter((d) => filter.passes(d.trial) === isOn && (d.trial.value === null) === isLost), {
        x: "axis", y: "y", z: (d) => own.indexOf(d.trial), stroke: (d) => color(d.trial), curve: "bump-x",
        strokeWidth: isOn ? 1.6 : 1, strokeOpacity: isOn ? 0.85 : 0.08, strokeDasharray: isLost ? "4,3" : null });
      const pointed = drawn.filter((d) => filter.passes(d.trial));
      return [Plot.plot({
        ...shared(heading, problem.optimizers, width), color: { type: "identity" }, marginLeft: 70, marginRight: 70, marginTop: 14, marginBottom: 64,
        x: { type: "point", domain: all.map((scale) => scale.label), label: null, padding: 0 },
        y: { axis: null, domain: [-0.15, 1.02] },
        marks: [
          Plot.axisX({ anchor: "bottom", lineWidth: Math.max(4, Math.min(12, width / all.length / 13)), tickSize: 0 }),
          Plot.ruleX(all.map((scale) => scale.label), { y1: 0, y2: 1, stroke: "currentColor", strokeOpacity: 0.5 }),
          line(false, false), line(false, true), line(true, true), line(true, false),
          Plot.text(labels, { x: "axis", y: "y", text: "text", dx: -4, textAnchor: "end", fill: "currentColor", stroke: "var(--panel)", strokeWidth: 4 }),
          !own.some((trial) => trial.value === null) ? null : Plot.text([{ axis: valueScale.label, y: -0.12 }], { x: "axis", y: "y", text: () => "diverged", dx: 4, textAnchor: "start", fill: "var(--bad)" }),
          Plot.tip(pointed, Plot.pointer({ maxRadius: 200, x: "axis", y: "y", title: (d) => tipOf(d.trial) })),
        ],
      }), note(`A line is a trial; ${isDark() ? "bright" : "dark"} lines have the best values, and dashed lines diverged. Move the ends of a range to filter the trials, here and in the chart of the trials of the search.`)];
    });
    made.bar.after(bar);
    made.root.append(status);
  };

  const basins = (problem, place, tried) => {
    const own = tried.filter((trial) => trial.setting.learning_rate > 0);
    if (new Set(own.map((trial) => trial.setting.learning_rate)).size < 2) return;
    const heading = "Basins of the learning rate";
    const controls = [check("logY", "logarithmic values", spans(finite(own).map((trial) => trial.value)))];
    panel(place, heading, controls, (state, width) => {
      const settings = d3.groups(own, (d) => d.optimizer, (d) => d.setting.learning_rate).flatMap(([optimizer, rates]) =>
        rates.map(([rate, trials]) => ({ optimizer, rate, num: trials.length, lost: trials.some((trial) => trial.value === null),
          value: bestOf(problem, finite(trials), (trial) => trial.value)?.value ?? NaN })));
      const points = d3.sort(settings, (d) => d.rate);
      const seen = points.filter((d) => Number.isFinite(d.value));
      const worst = worstOf(problem, seen.map((d) => d.value));
      return [Plot.plot({
        ...shared(heading, problem.optimizers, width),
        x: { label: "learning rate", ...axis(true, points.map((d) => d.rate)) },
        y: { label: problem.chosenBy, ...axis(state.logY, seen.map((d) => d.value)) },
        marks: [
          Plot.rect(problem.basins, { x1: "low", x2: "high", fill: "optimizer", fillOpacity: 0.06 }),
          Plot.lineY(points, { x: "rate", y: "value", stroke: "optimizer" }),
          Plot.dot(seen, { x: "rate", y: "value", stroke: "optimizer", r: 3 }),
          Plot.dot(points.filter((d) => !Number.isFinite(d.value)), { x: "rate", y: () => worst, stroke: "optimizer", symbol: "times" }),
          Plot.link(problem.basins, { x1: "low", x2: "high", y1: "value", y2: "value", stroke: "optimizer", strokeWidth: 6, strokeOpacity: 0.6, strokeLinecap: "round" }),
          Plot.dot(problem.basins, { x: "best", y: "value", fill: "optimizer", symbol: "star", r: 6 }),
          Plot.tip(seen, Plot.pointer({ maxRadius: 200, x: "rate", y: "value", title: (d) => `${d.optimizer}\nlearning rate ${shown(d.rate)}: ${d.value.toPrecision(4)}` })),
        ],
      }), note("A point is the best trial at a rate, and a cross is a rate at which every trial diverged. The thick line is the basin: the rates whose value is within one standard error, over the fresh seeds, of the best value. Where other numbers vary too, a tuned basin may be wider."),
      element("ul", { class: "note" }, ...[...problem.basins, ...problem.sensitivities].map((one) => element("li", {}, one.text))),
      note("The sensitivity is the mean, over the logarithm of the rates that were tried, of what a rate loses against the best one. A loss is bounded by the value before training, for which the first evaluation at the smallest rate stands.")];
    });
  };

  const bestOfK = (problem, place) => {
    const points = problem.bestOf.flatMap(({ optimizer, median, low, high }) =>
      median.map((value, k) => ({ optimizer, trials: k + 1, value, low: low ? low[k] : null, high: high ? high[k] : null, hasBand: low !== null })));
    if (!points.length) return;
    const heading = "The best of k trials";
    const hasBand = points.some((d) => d.hasBand);
    const seen = points.filter((d) => d.value !== null);
    const controls = [check("logY", "logarithmic values", spans(seen.map((d) => d.value), 1000)),
      ...(hasBand ? [check("band", "bands", true)] : [])];
    panel(place, heading, controls, (state, width) => {
      const values = seen.map((d) => d.value);
      const inside = state.band ? points.filter((d) => d.hasBand) : [];
      const bounds = inside.flatMap((d) => [d.low, d.high]).filter((value) => value !== null);
      const [least, most] = d3.extent(problem.direction === "min" ? [...values, ...inside.map((d) => d.low).filter((v) => v !== null), ...bounds.filter((v) => v <= 4 * d3.max(values))] : [...values, ...bounds]);
      const clip = (value, end) => (value === null ? end : Math.min(Math.max(value, least), most));
      const rough = problem.bestOf.filter(({ low }) => low === null).map(({ optimizer, method }) => `${optimizer} (${method || "unknown"} search)`);
      return [Plot.plot({
        ...shared(heading, problem.optimizers, width),
        x: { label: "number of trials", grid: true, ticks: Math.min(10, d3.max(points, (d) => d.trials) - 1), tickFormat: (k) => (Number.isInteger(k) ? String(k) : "") },
        y: { label: `median best ${problem.chosenBy}`, ...axis(state.logY, [...values, least, most]), domain: least === most ? undefined : [least, most] },
        marks: [
          Plot.areaY(inside, { x: "trials", y1: (d) => clip(d.low, least), y2: (d) => clip(d.high, most), fill: "optimizer", fillOpacity: 0.12, curve: "step-after" }),
          Plot.ruleX(problem.overtakings, { x: "trials", stroke: "first", strokeDasharray: "2,3" }),
          Plot.lineY(seen, { x: "trials", y: "value", stroke: "optimizer", curve: "step-after", strokeWidth: 2 }),
          Plot.tip(seen, Plot.pointer({ maxRadius: 200, x: "trials", y: "value", title: (d) => `${d.optimizer}, best of ${d.trials}\n${d.value.toPrecision(4)}` +
            (d.hasBand ? `\nband ${d.low === null ? "no bound" : d.low.toPrecision(4)} to ${d.high === null ? "no bound" : d.high.toPrecision(4)}` : "") })),
        ],
      }), note("What a search of k trials would have found in half of the cases." +
        (hasBand ? " A band holds for all k at once with 95 %; where it reaches the edge of the chart there is no nearer bound." : "")),
      ...problem.overtakings.map(({ first, second, trials }) => note(`${first} is ahead of ${second} from ${trials} trials on.`)),
      ...problem.withoutBestOf.map(note),
      ...(rough.length ? [note(`Approximate and without a band, because the settings were not drawn independently: ${rough.join(", ")}.`)] : [])];
    });
  };

  return (problem, place) => {
    const tried = problem.trials.filter((trial) => trial.role === "search");
    if (tried.length) {
      const filter = makeFilter(tried);
      scatter(problem, place, tried, filter);
      parallel(problem, place, tried, filter);
      basins(problem, place, tried);
    }
    bestOfK(problem, place);
  };
})();
