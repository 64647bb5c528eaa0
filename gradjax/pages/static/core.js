// What all scripts of a report share: its data, elements, panels and axes.
"use strict";
const report = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  const unpacked = new Map();
  const unpack = (text) => {
    if (!unpacked.has(text)) {
      const binary = atob(text);
      const bytes = new Uint8Array(binary.length);
      for (let k = 0; k < binary.length; k++) bytes[k] = binary.charCodeAt(k);
      unpacked.set(text, new Float32Array(bytes.buffer));
    }
    return unpacked.get(text);
  };

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const note = (text) => element("p", { class: "note" }, text);
  const words = (name) => name.replaceAll("_", " ");
  const shown = (value) => typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
  const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

  // Panels are drawn in the order of the page, one at a time, so that it shows early.
  // A panel draws again when a control changes or its width does.
  const panels = [];
  let numDrawn = 0;
  const input = (control) => {
    const { kind, value, options } = control;
    if (kind === "select")
      return element("select", {}, ...options.map((one) => element("option", { value: one }, one)));
    const made = element("input", { type: "checkbox" });
    made.checked = value;
    return made;
  };
  const panel = (place, heading, controls, draw) => {
    const area = element("div", { class: "area" });
    const bar = element("div", { class: "controls" });
    const root = element("section", { class: "panel" }, element("h3", {}, heading), bar, area);
    root.setAttribute("aria-label", heading);
    const state = Object.fromEntries(controls.map((one) => [one.name, one.value]));
    const inputs = {};
    const redraw = () => area.replaceChildren(...draw(state, Math.max(280, root.clientWidth - 26)));
    const set = (name, value) => {
      state[name] = value;
      inputs[name][inputs[name].type === "checkbox" ? "checked" : "value"] = value;
    };
    for (const control of controls) {
      const made = inputs[control.name] = input(control);
      made.addEventListener("change", () => {
        state[control.name] = made.type === "checkbox" ? made.checked : made.value;
        redraw();
      });
      const label = element("label", {}, made.type === "checkbox" ? made : `${control.label} `);
      label.append(made.type === "checkbox" ? ` ${control.label}` : made);
      bar.append(label);
      if (control.kind === "select") set(control.name, control.value);
    }
    place.append(root);
    const one = { root, redraw, set, inputs, bar };
    panels.push(one);
    return one;
  };
  const drawUpTo = (count) => { while (numDrawn < count) panels[numDrawn++].redraw(); };
  const drawInTurn = (done) => {
    if (numDrawn >= panels.length) return done();
    drawUpTo(numDrawn + 1);
    setTimeout(() => drawInTurn(done), 0);
  };
  const drawAll = () => drawUpTo(panels.length);
  const redrawAll = () => panels.slice(0, numDrawn).forEach((one) => one.redraw());

  const check = (name, label, value = false) => ({ name, label, value, kind: "check" });
  const select = (name, label, options, value = options[0]) => ({ name, label, options, value, kind: "select" });

  // Whether positive values span so much that only a logarithmic axis shows them.
  const spans = (values, factor = 100) => {
    const seen = values.filter((value) => Number.isFinite(value));
    const [low, high] = d3.extent(seen);
    return low > 0 && high / low > factor;
  };

  const shared = (heading, optimizers, width) => ({
    width, height: Math.round(Math.min(Math.max(260, width * 0.55), 440)), marginLeft: 60, marginRight: 18, marginBottom: 42,
    ariaLabel: heading, style: { fontSize: "12px" },
    color: { domain: optimizers, legend: true, scheme: "Observable10" },
  });
  // An axis; where it is logarithmic and spans decades, its labels are powers of ten.
  const axis = (logarithmic, values) => {
    const seen = values.filter((value) => Number.isFinite(value));
    const [low, high] = d3.extent(seen);
    if (!logarithmic || !(low > 0)) return { type: "linear", grid: true };
    const decades = Math.log10(high) - Math.log10(low);
    if (decades < 1) return { type: "log", grid: true };
    const every = Math.ceil(decades / 6);
    const powers = d3.range(Math.ceil(Math.log10(low)), Math.floor(Math.log10(high)) + 1).filter((k) => k % every === 0);
    return { type: "log", grid: true, ticks: powers.map((k) => 10 ** k), tickFormat: (value) => `1e${Math.round(Math.log10(value))}` };
  };

  // A number with the words "k of n" of each optimizer that diverged.
  const divergedOf = (trials) => d3.groups(trials, (trial) => trial.optimizer)
    .map(([optimizer, own]) => [optimizer, own.filter((trial) => trial.divergedStep > 0), own.length])
    .filter(([, lost]) => lost.length);

  return { data, unpack, element, note, words, shown, isDark, panel, drawAll, drawInTurn, redrawAll,
    check, select, spans, shared, axis, divergedOf };
})();
