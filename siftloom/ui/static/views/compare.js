// Two runs side by side: what only one of them keeps, why, the results and loss curves, and the fields that differ.
import { address, api, chart, choice, four, h, number, table } from "../dom.js";

const SHORT = 4, NAMED = 8; // values of a list that stand in a cell; of a long one that are named

const examples = (list, run) => list.map((one) => h("blockquote", { dir: "auto" },
  h("p", { class: "of" }, h("a", { href: address(run, "documents", { id: one.id }) }, one.id),
    one.value === null || one.value === undefined ? "" : h("span", {}, `measured ${four(one.value)}${one.threshold === null ? "" : ", threshold " + four(one.threshold)}`)),
  h("span", {}, one.text.slice(0, 500))));

const side = (title, entries, keeps) => h("section", { class: "side" }, h("h2", {}, title), entries.length ? entries.map((entry) => h("details", {},
  h("summary", {}, h("code", {}, entry.node ? `${entry.node}, ${entry.reason}` : entry.reason), ` ${four(entry.documents)} ${entry.documents === 1 ? "document" : "documents"}`),
  examples(entry.examples, keeps))) : h("p", { class: "quiet" }, "None."));

// A long list says how long it is, and folds away what only this run has in it.
const field = (value, other) => {
  const lists = Array.isArray(value) && Array.isArray(other) && Math.max(value.length, other.length) > SHORT;
  if (!lists) return h("span", { class: "field-value" }, JSON.stringify(value) ?? "");
  const known = new Set(other.map((one) => JSON.stringify(one)));
  const own = value.map((one) => JSON.stringify(one)).filter((one) => !known.has(one));
  return h("span", { class: "field-value" }, `${four(value.length)} values`, own.length ? h("details", {},
    h("summary", {}, `${four(own.length)} only here`), own.slice(0, NAMED).join(", ") + (own.length > NAMED ? " \u2026" : "")) : "");
};

export const show = async (place, at, signal) => {
  const { runs } = await api("runs", {}, signal), names = runs.map((run) => run.run);
  const chosen = { one: at.params.one ?? names[1] ?? names[0] ?? "", two: at.params.two ?? names[0] ?? "" };
  if (chosen.one === chosen.two) chosen.one = names.find((name) => name !== chosen.two) ?? chosen.one;
  const go = (change) => { location.hash = "#/compare?" + new URLSearchParams({ ...chosen, ...change }); };
  const answer = h("div", {}), options = names.map((name) => [name, name]);
  place.append(h("h1", {}, "Compare two runs"), h("form", { class: "filters" },
    choice("first", "one", options, chosen.one, (one) => go({ one })), choice("second", "two", options, chosen.two, (two) => go({ two }))), answer);
  if (names.length < 2) { answer.append(h("p", {}, "This store has one run only. Run the recipe with `-s node.field=value` for a second one.")); return; }
  answer.append(h("p", { class: "quiet" }, "Reading both runs\u2026"));
  const found = await api("compare", chosen, signal).catch((error) => { answer.replaceChildren(); throw error; });
  const only = (list) => list.reduce((sum, entry) => sum + entry.documents, 0);
  const same = !found.gone.length && !found.new.length;
  answer.replaceChildren(
    h("p", { class: "headline" }, `After ${found.node}: ${found.one} keeps ${four(found.kept[0])} documents, ${found.two} ${four(found.kept[1])}. `,
      h("span", { class: "quiet" }, same ? "They are the same documents." : `${four(only(found.gone))} only in ${found.one}, ${four(only(found.new))} only in ${found.two}.`)),
    same ? "" : h("div", { class: "sides" }, side(`Only ${found.one} keeps`, found.gone, found.one), side(`Only ${found.two} keeps`, found.new, found.two)),
    found.results.length ? table("Results that differ", ["result", "", found.one, found.two],
      found.results.map((one) => [one.row, one.column, ...one.values.map((value) => typeof value === "number" ? value : number(value))])) : "",
    ...found.curves.map((figure) => h("section", {}, h("h2", {}, `${figure.title} of both runs`), chart(figure, siftloomCharts.palette(found.curves)))),
    found.fields.length ? h("section", { class: "fields" }, table("Fields that differ", ["node", "field", found.one, found.two],
      found.fields.map((one) => [one.node, one.field, field(one.values[0], one.values[1]), field(one.values[1], one.values[0])]))) : "");
};
