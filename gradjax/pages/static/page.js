// The script of a report: sorts its tables and draws its charts from the data within it.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  const unpack = (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  };

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // Tables. A cell without a number sorts last in both directions.
  const key = (row, column) => {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent;
    return cell.dataset.value === "None" ? null : Number(cell.dataset.value);
  };
  const sortBy = (table, column, head) => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" ? x - y : x.localeCompare(y);
      return ascending ? order : -order;
    });
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable"))
    [...table.tHead.rows[0].cells].forEach((head, column) =>
      head.querySelector("button").addEventListener("click", () => sortBy(table, column, head)));

  // Charts. A panel draws again when a control changes or its width does.
  const panel = (heading, controls, draw) => {
    const area = element("div", { class: "area" });
    const bar = element("div", { class: "controls" });
    const made = element("div", { class: "panel" }, element("h3", {}, heading), bar, area);
    const state = {};
    const redraw = () => {
      const width = Math.max(280, made.clientWidth - 26);
      area.replaceChildren(...draw(state, width));
    };
    for (const [name, label, options] of controls) {
      let input;
      if (options === undefined) {
        input = element("input", { type: "checkbox" });
        state[name] = false;
        input.addEventListener("change", () => { state[name] = input.checked; redraw(); });
      } else {
        input = element("select", {}, ...options.map((o) => element("option", { value: o }, o)));
        state[name] = options[0];
        input.addEventListener("change", () => { state[name] = input.value; redraw(); });
      }
      bar.append(element("label", {}, input, ` ${label}`));
    }
    return [made, redraw];
  };

  const isPositive = (points, name) => points.every((point) => !(point[name] <= 0));
  const note = (text) => element("p", { class: "note" }, text);

  const curvePoints = (problem, trials) => trials.flatMap((trial, index) => {
    const values = unpack(trial.values);
    return Array.from(unpack(problem.axes[trial.axis]), (step, k) => ({
      step, value: Number.isFinite(values[k]) ? values[k] : NaN,
      optimizer: trial.optimizer, seed: trial.seed, trial: index,
    }));
  });

  const bands = (points) => d3.groups(points, (d) => d.optimizer, (d) => d.step)
    .flatMap(([optimizer, steps]) => steps.map(([step, group]) => {
      const values = group.map((d) => d.value).filter(Number.isFinite).sort(d3.ascending);
      return { optimizer, step, median: d3.median(values), count: values.length,
        low: values[0], high: values[values.length - 1] };
    })).filter((d) => d.count > 0);

  const shared = (problem, width) => ({
    width, height: Math.round(Math.max(240, width * 0.55)), marginLeft: 56, marginRight: 16,
    color: { domain: problem.rows.map((row) => row.optimizer), legend: true, scheme: "Observable10" },
  });
  // An axis; where it is logarithmic and spans decades, its labels are powers of ten.
  const axis = (logarithmic, points, name) => {
    if (!logarithmic || !points.length || !isPositive(points, name)) return { type: "linear" };
    const [low, high] = d3.extent(points, (point) => point[name]).map(Math.log10);
    if (high - low < 1) return { type: "log" };
    const every = Math.ceil((high - low) / 6);
    const powers = d3.range(Math.ceil(low), Math.floor(high) + 1).filter((k) => k % every === 0);
    return { type: "log", ticks: powers.map((k) => 10 ** k), tickFormat: (value) => `1e${Math.round(Math.log10(value))}` };
  };

  const learningCurves = (problem) => {
    const fresh = problem.trials.filter((trial) => trial.role === "fresh");
    const points = curvePoints(problem, fresh);
    if (!points.length) return null;
    const [seen, median] = [points.filter((d) => Number.isFinite(d.value)), bands(points)];
    const ends = fresh.filter((trial) => trial.divergedStep > 0);
    return panel("Learning curves of the fresh seeds",
      [["logY", "logarithmic values"], ["logX", "logarithmic steps"], ["all", "every seed"]],
      (state, width) => [Plot.plot({
        ...shared(problem, width),
        x: { label: "step", ...axis(state.logX, seen, "step"), grid: true },
        y: { label: problem.chosenBy, ...axis(state.logY, seen, "value"), grid: true },
        marks: [
          state.all
            ? Plot.lineY(points, { x: "step", y: "value", z: "trial", stroke: "optimizer", strokeWidth: 1 })
            : [Plot.areaY(median, { x: "step", y1: "low", y2: "high", fill: "optimizer", fillOpacity: 0.15 }),
               Plot.lineY(median, { x: "step", y: "median", stroke: "optimizer", strokeWidth: 2 })],
          Plot.ruleX(ends, { x: "divergedStep", stroke: "optimizer", strokeDasharray: "3,3" }),
          Plot.tip(state.all ? seen : median, Plot.pointer({ x: "step", y: state.all ? "value" : "median",
            title: (d) => state.all ? `${d.optimizer}, seed ${d.seed}\nstep ${d.step}: ${d.value.toPrecision(4)}`
              : `${d.optimizer}, ${d.count} seeds\nstep ${d.step}: ${d.median.toPrecision(4)}\nfrom ${d.low.toPrecision(4)} to ${d.high.toPrecision(4)}` })),
        ],
      }), note("The line is the median and the band the range over seeds." +
        (ends.length ? ` A dashed line marks where a seed diverged (${ends.length} in all).` : ""))]);
  };

  const hyperparameters = (problem) => {
    const tried = problem.trials.filter((trial) => trial.role === "search");
    const names = [...new Set(tried.flatMap((trial) => Object.entries(trial.setting)
      .filter(([, value]) => typeof value === "number").map(([name]) => name)))];
    if (!names.length) return null;
    return panel("Trials of the search", [["name", "", names], ["logX", "linear axis"], ["logY", "logarithmic values"]],
      (state, width) => {
        const points = tried.filter((trial) => typeof trial.setting[state.name] === "number")
          .map((trial) => ({ ...trial, x: trial.setting[state.name] }));
        const seen = points.filter((d) => d.value !== null);
        const worst = problem.direction === "min" ? d3.max(seen, (d) => d.value) : d3.min(seen, (d) => d.value);
        const settings = d3.groups(points, (d) => d.optimizer, (d) => JSON.stringify(d.setting));
        const best = settings.map(([optimizer, own]) => {
          const means = own.map(([, seeds]) => ({ optimizer, x: seeds[0].x,
            value: seeds.some((d) => d.value === null) ? null : d3.mean(seeds, (d) => d.value) }))
            .filter((d) => d.value !== null);
          return problem.direction === "min" ? d3.least(means, (d) => d.value) : d3.greatest(means, (d) => d.value);
        }).filter((d) => d !== undefined);
        return [Plot.plot({
          ...shared(problem, width),
          x: { label: state.name.replaceAll("_", " "), grid: true, ...axis(!state.logX, points, "x") },
          y: { label: problem.chosenBy, ...axis(state.logY, seen, "value"), grid: true },
          marks: [
            Plot.dot(seen, { x: "x", y: "value", stroke: "optimizer", r: 3 }),
            Plot.dot(best, { x: "x", y: "value", fill: "optimizer", r: 6, symbol: "star" }),
            Plot.dot(points.filter((d) => d.value === null), { x: "x", y: () => worst, stroke: "optimizer", symbol: "times" }),
            Plot.tip(seen, Plot.pointer({ x: "x", y: "value", title: (d) => [`${d.optimizer}: ${d.value.toPrecision(4)}`,
              ...Object.entries(d.setting).map(([name, value]) => `${name.replaceAll("_", " ")} ${typeof value === "number" ? value.toPrecision(4) : value}`), d.source].join("\n") })),
          ],
        }), note("The star is the best setting of each optimizer by its mean over seeds; a cross is a trial that diverged.")];
      });
  };

  const bestOf = (problem) => {
    const points = problem.bestOf.flatMap(({ optimizer, median }) =>
      median.map((value, k) => ({ optimizer, trials: k + 1, value })));
    if (!points.length) return null;
    return panel("The best of k trials", [["logY", "logarithmic values"]], (state, width) => {
      const seen = points.filter((d) => d.value !== null);
      return [Plot.plot({
        ...shared(problem, width),
        x: { label: "number of trials", grid: true },
        y: { label: `median best ${problem.chosenBy}`, ...axis(state.logY, seen, "value"), grid: true },
        marks: [
          Plot.lineY(seen, { x: "trials", y: "value", stroke: "optimizer", curve: "step-after", strokeWidth: 2 }),
          Plot.tip(seen, Plot.pointer({ x: "trials", y: "value", title: (d) => `${d.optimizer}, best of ${d.trials}\n${d.value.toPrecision(4)}` })),
        ],
      }), note("What a search of k trials would have found in half of the cases.")];
    });
  };

  const redraws = [];
  for (const section of document.querySelectorAll("section[data-problem]")) {
    const problem = data.problems[Number(section.dataset.problem)];
    for (const chart of [learningCurves, hyperparameters, bestOf]) {
      const made = chart(problem);
      if (made === null) continue;
      section.querySelector(".charts").append(made[0]);
      redraws.push(made[1]);
    }
  }
  const redrawAll = () => redraws.forEach((redraw) => redraw());
  redrawAll();
  let pending;
  addEventListener("resize", () => { clearTimeout(pending); pending = setTimeout(redrawAll, 150); });
  document.documentElement.dataset.ready = "yes";
})();
