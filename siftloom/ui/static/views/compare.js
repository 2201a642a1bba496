// Two runs side by side: what only one of them keeps, why, and the results that differ.
import { address, api, choice, four, h, number, table } from "../dom.js";

const examples = (list, run) => list.map((one) => h("blockquote", { dir: "auto" },
  h("p", { class: "of" }, h("a", { href: address(run, "documents", { id: one.id }) }, one.id),
    one.value === null || one.value === undefined ? "" : h("span", {}, `measured ${four(one.value)}${one.threshold === null ? "" : ", threshold " + four(one.threshold)}`)),
  h("span", {}, one.text.slice(0, 500))));

const side = (title, entries, keeps) => [h("h2", {}, title), ...(entries.length ? entries.map((entry) => h("details", {},
  h("summary", {}, h("code", {}, entry.node ? `${entry.node}, ${entry.reason}` : entry.reason), ` ${four(entry.documents)} ${entry.documents === 1 ? "document" : "documents"}`),
  examples(entry.examples, keeps))) : [h("p", { class: "quiet" }, "None.")])];

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
  answer.replaceChildren(
    h("p", { class: "headline" }, `After ${found.node}: ${found.one} keeps ${four(found.kept[0])} documents, ${found.two} ${four(found.kept[1])}.`),
    found.fields.length ? table("Fields that differ", ["node", "field", found.one, found.two],
      found.fields.map((one) => [one.node, one.field, ...one.values.map((value) => h("span", { class: "field-value" }, JSON.stringify(value) ?? ""))])) : "",
    found.results.length ? table("Results that differ", ["result", "", found.one, found.two],
      found.results.map((one) => [one.row, one.column, ...one.values.map((value) => typeof value === "number" ? value : number(value))])) : "",
    ...side(`Only ${found.one} keeps`, found.gone, found.one), ...side(`Only ${found.two} keeps`, found.new, found.two));
};
