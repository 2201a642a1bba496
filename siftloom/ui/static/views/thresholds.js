// A node's scores: drag a threshold over their histogram and read what it would keep, exactly; nothing is run or written.
import { address, api, bytes, choice, copied, four, h, later, part, percent, say, table } from "../dom.js";

const palette = siftloomCharts.palette([]);
const rounded = (value, step) => Number((Math.round(value / step) * step).toPrecision(10));

const examples = (title, list, run, name) => h("section", { class: "side" }, h("h3", {}, title), list.length ? list.map((one) =>
  h("blockquote", { dir: "auto" }, h("p", { class: "of" }, h("a", { href: address(run, "documents", { id: one.id }) }, one.id),
    one.value === undefined ? "" : h("span", {}, `${name} ${four(one.value)}`), one.reason ? h("code", {}, one.reason) : ""),
  h("span", {}, one.text))) : h("p", { class: "quiet" }, "None."));

const change = (now, then) => then === now ? "" : ` (${then > now ? "+" : "\u2212"}${four(Math.abs(then - now))})`;

const answered = (found, run) => {
  const { documents, kept, by, sides, near, reasons } = found, [now, then] = kept.documents;
  const sizes = kept.bytes;
  const tile = (label, value, note) => h("div", {}, h("dt", {}, label), h("dd", {}, h("b", {}, value), h("small", {}, note)));
  return [
    h("dl", { class: "highlights" },
      tile("documents kept", percent(documents ? then / documents : 0), `${four(then)} of ${four(documents)}${change(now, then)}`),
      tile("text kept", sizes ? bytes(sizes[1]) : "\u2026", sizes ? (sizes[1] === sizes[0] ? "as now" : `${sizes[1] > sizes[0] ? "+" : "\u2212"}${bytes(Math.abs(sizes[1] - sizes[0]))}`) : "reading the texts"),
      tile("would come back", four(sides["kept then"].documents), "removed now, kept then"),
      tile("would go", four(sides["removed then"].documents), "kept now, removed then")),
    h("div", { class: "copy" }, h("code", {}, found.line), copied(found.line, "Copy line")),
    h("div", { class: "copy" }, h("code", {}, found.command), copied(found.command, "Copy command")),
    near ? h("div", { class: "sides" }, examples("Just below", near.below, run, found.histogram.x), examples("Just above", near.above, run, found.histogram.x)) : "",
    h("div", { class: "sides" }, examples("Would come back", sides["kept then"].examples, run, ""), examples("Would go", sides["removed then"].examples, run, "")),
    ...Object.entries(by).filter(([, group]) => Object.keys(group).length).map(([name, group]) =>
      table(`Kept by ${name}`, [name, "documents now", "then", "text now", "text then"], Object.entries(group)
        .sort((a, b) => b[1].documents[0] - a[1].documents[0]).slice(0, 40)
        .map(([value, counts]) => [value, ...counts.documents, ...(counts.bytes ?? [null, null])]), { units: [null, null, null, "bytes", "bytes"] })),
    table("Removed, by reason", ["reason", "now", "then"], Object.entries(reasons).map(([name, counts]) => [name, ...counts])),
  ];
};

// The handle on a chart: a slider for the pointer and for the keyboard, at the place of the threshold.
const handle = (field, state) => {
  const made = h("div", { class: "handle", role: "slider", tabindex: 0, "aria-label": field.name });
  const move = (value, done) => {
    const { low, high, step } = state.range();
    state.set(field, rounded(Math.min(high, Math.max(low, value)), step), done);
  };
  made.addEventListener("keydown", (event) => {
    const { low, high, step } = state.range(), wide = Math.max(step, (high - low) / 20);
    const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -wide, PageUp: wide }[event.key];
    const to = event.key === "Home" ? low : event.key === "End" ? high : by === undefined ? undefined : state.values.get(field.name) + by;
    if (to === undefined) return;
    event.preventDefault();
    move(to, true);
  });
  made.addEventListener("pointerdown", (event) => { made.setPointerCapture(event.pointerId); made.focus(); event.preventDefault(); });
  made.addEventListener("pointermove", (event) => {
    if (!made.hasPointerCapture(event.pointerId)) return;
    const box = state.host.getBoundingClientRect();
    move(siftloomCharts.chartOf(state.host).convertFromPixel({ xAxisIndex: 0 }, event.clientX - box.left), false);
  });
  return made;
};

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
  state.range = () => {
    const edges = state.figure.edges, low = edges[0], high = edges.at(-1), whole = fields.some((field) => field.column === column && Number.isInteger(field.value) && high > 2);
    return { low, high, step: whole ? 1 : (high - low) / 1000 };
  };
  const put = () => {
    const made = siftloomCharts.chartOf(state.host);
    if (!made) return;
    const { low, high } = state.range(), area = made.getModel().getComponent("grid").coordinateSystem.getRect();
    for (const [field, one] of handles) {
      const value = state.values.get(field.name);
      one.style.left = made.convertToPixel({ xAxisIndex: 0 }, Math.min(high, Math.max(low, value))) + "px";
      one.style.top = area.y + "px";
      one.style.height = area.height + "px";
      for (const [key, shown] of [["valuemin", low], ["valuemax", high], ["valuenow", value]]) one.setAttribute("aria-" + key, String(shown));
      one.setAttribute("aria-valuetext", `${field.name} ${four(value)}`);
    }
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
  state.set = (field, value) => {
    for (const other of fields) if (other !== field) state.values.set(other.name, other.value);
    state.values.set(field.name, value);
    for (const [each, input] of inputs) if (document.activeElement !== input) input.value = state.values.get(each.name) ?? "";
    put();
    soon(field);
  };
  const typed = (field) => {
    const words = field.number ? undefined : JSON.stringify(field.value);
    const input = h("input", { type: field.number ? "number" : "text", step: "any", name: field.name, value: words ?? field.value ?? "",
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
  const first = fields.find((field) => field.column === column && field.value !== null) ?? fields.find((field) => field.value !== null);
  if (first) await ask(first); else answer.append(h("p", { class: "quiet" }, info.cannot ?? "This node has no threshold; the histogram shows what it measured."));
  signal.addEventListener("abort", () => request.abort());
};
