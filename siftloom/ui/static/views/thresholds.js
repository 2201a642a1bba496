// A node's scores: drag a threshold over their histogram and read what it would keep, exactly; nothing is run or written.
import { address, api, choice, four, h, later, part, say } from "../dom.js";
import { answered } from "./answer.js";
import { handle } from "./handle.js";

const palette = siftloomCharts.palette([]);
export const show = async (place, at, signal) => {
  const base = `runs/${part(at.name)}`, opened = await api(base, {}, signal);
  const names = opened.nodes.filter((node) => node.scores).map((node) => node.node);
  if (!names.length) { place.append(h("h1", {}, "Thresholds"), h("p", {}, "No finished node of this run decides on documents yet.")); return; }
  const name = names.includes(at.params.node) ? at.params.node : names[0];
  const go = (params) => { location.hash = address(at.name, "thresholds", { node: name, ...params }); };
  place.append(h("h1", {}, "Thresholds"), h("p", { class: "intro" }, "Drag a threshold, or move it with the arrow keys. The counts come from stored scores: nothing runs and nothing is written. One threshold changes at a time."));
  const info = await api(`${base}/nodes/${part(name)}`, {}, signal);
  const fields = info.cannot ? [] : info.fields.filter((field) => field.value !== null || field.number);
  const column = info.columns.includes(at.params.column) ? at.params.column
    : fields.find((field) => field.column && field.number && field.value !== null)?.column ?? info.columns[0] ?? "";
  place.append(h("form", { class: "filters" }, choice("node", "node", names.map((one) => [one, one]), name, (node) => go({ node, column: "" })),
    info.columns.length ? choice("column", "column", info.columns.map((one) => [one, one]), column, (one) => go({ column: one })) : ""));
  const answer = h("div", { class: "answer", "aria-live": "off" }), board = h("div", { class: "board" });
  const inputs = new Map(), handles = new Map();
  const state = { values: new Map(fields.map((field) => [field.name, field.value])), host: null, figure: null };
  const tried = fields.find((field) => field.name === at.params.field);
  if (tried) try { state.values.set(tried.name, JSON.parse(at.params.value)); } catch { /* the run's own value stands */ }
  state.range = () => {
    const edges = state.figure.edges, low = edges[0], high = edges.at(-1), whole = fields.some((field) => field.column === column && Number.isInteger(field.value) && high > 2);
    return { low, high, step: whole ? 1 : (high - low) / 1000 };
  };
  const put = () => {
    const made = siftloomCharts.chartOf(state.host);
    if (made) for (const one of handles.values()) one.put(made);
  };
  const draw = (figure) => {
    state.figure = figure;
    const shown = { ...figure, marks: [], still: true };
    if (!state.host) {
      state.host = h("div", { class: "chart", role: "img", "aria-label": `Histogram of ${column}` });
      state.host.style.height = "320px";
      const ground = h("div", { class: "ground" }, state.host);
      for (const field of fields) if (field.column === column && typeof field.value === "number") {
        const one = handle(field, state);
        handles.set(field, one);
        ground.append(one);
      }
      board.prepend(ground);
    }
    siftloomCharts.draw(state.host, shown, palette, put);
    requestAnimationFrame(put);
  };
  let request = new AbortController();
  const ask = async (field) => {
    request.abort();
    request = new AbortController();
    const mine = request, value = state.values.get(field.name);
    try {
      const found = await api(`${base}/nodes/${part(name)}/whatif`, { field: field.name, value: JSON.stringify(value), column }, mine.signal);
      if (mine.signal.aborted || signal.aborted) return;
      if (found.histogram) draw(found.histogram);
      answer.replaceChildren(...answered(found, at.name));
      say(`${field.name} ${value}: ${four(found.kept.documents[1])} of ${four(found.documents)} documents kept`);
      if (!found.kept.bytes) setTimeout(() => { if (!mine.signal.aborted && !signal.aborted) ask(field); }, 800);
    } catch (error) {
      if (mine.signal.aborted || signal.aborted) return;
      answer.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  };
  const soon = later(90, ask);
  const written = (field) => {
    const value = state.values.get(field.name);
    return field.number ? value ?? "" : JSON.stringify(value);
  };
  // The address holds what was tried, so that it can be sent to somebody, or opened again.
  const remember = (field) => history.replaceState(null, "", address(at.name, "thresholds",
    { node: name, column, field: field.name, value: JSON.stringify(state.values.get(field.name)) }));
  state.set = (field, value) => {
    for (const other of fields) if (other !== field) state.values.set(other.name, other.value);
    state.values.set(field.name, value);
    for (const [each, input] of inputs) if (document.activeElement !== input) input.value = written(each);
    put();
    remember(field);
    soon(field);
  };
  const typed = (field) => {
    const input = h("input", { type: field.number ? "number" : "text", step: "any", name: field.name, value: written(field),
      onchange: () => {
        if (input.value === "") return;
        try { state.set(field, field.number ? Number(input.value) : JSON.parse(input.value)); }
        catch { answer.replaceChildren(h("p", { class: "problem", role: "alert" }, `${field.name}: ${input.value} is no value; lists look like ["en", "de"]`)); }
      } });
    inputs.set(field, input);
    return h("label", { class: "field" }, h("span", {}, field.name), input);
  };
  board.append(h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, fields.map(typed)));
  place.append(board, answer);
  if (column) draw(await api(`${base}/nodes/${part(name)}/column`, { column }, signal));
  const first = tried ?? fields.find((field) => field.column === column && field.value !== null) ?? fields.find((field) => field.value !== null);
  if (first) await ask(first); else answer.append(h("p", { class: "quiet" }, info.cannot ?? "This node has no threshold; the histogram shows what it measured."));
  signal.addEventListener("abort", () => request.abort());
};
