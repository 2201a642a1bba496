// A browser of documents: what a node saw, filtered; beside it one document, its way through every node, and its text.
import { address, api, choice, four, h, number, part, say, table } from "../dom.js";

const OWN = ["node", "kind", "state", "reason", "value", "threshold", "columns"];
const because = (step) => {
  const parts = [];
  if (step.reason) parts.push(step.reason + (step.value === null || step.value === undefined ? "" : `: ${four(step.value)}${step.threshold === null ? "" : " against " + four(step.threshold)}`));
  for (const [key, value] of Object.entries(step.columns ?? {})) if (value !== null) parts.push(`${key} ${number(value)}`);
  for (const [key, value] of Object.entries(step)) {
    if (OWN.includes(key) || value === null || (Array.isArray(value) && !value.length)) continue;
    const list = Array.isArray(value) ? value : [value];
    parts.push(`${key} ${list.slice(0, 8).map((one) => typeof one === "object" ? JSON.stringify(one) : one).join(", ")}${list.length > 8 ? " \u2026" : ""}`);
  }
  return parts.join(", ");
};

const marked = (text, piece) => {
  if (!piece) return text;
  const found = [], small = text.toLowerCase(), wanted = piece.toLowerCase();
  let from = 0;
  for (let to = small.indexOf(wanted); to >= 0 && found.length < 400; to = small.indexOf(wanted, from)) {
    found.push(text.slice(from, to), h("mark", {}, text.slice(to, to + piece.length)));
    from = to + piece.length;
  }
  return [...found, text.slice(from)];
};

const texts = (found, piece) => [
  h("h3", {}, `Text as it was read, ${four(found.letters)} letters`),
  h("pre", { class: "text whole", dir: "auto", tabindex: 0 }, marked(found.text, piece)),
  ...(found.changed === null ? [] : [h("h3", {}, "Text as the last node saw it"), h("pre", { class: "text whole", dir: "auto", tabindex: 0 }, marked(found.changed, piece))]),
];

const detail = (found, piece) => [
  h("h2", { tabindex: -1 }, found.id),
  ...texts(found, piece),
  table("Its way through the nodes", ["node", "kind", "state", "why"], found.steps.map((step) => [step.node, step.kind,
    h("span", { class: "state " + step.state }, step.state ?? ""), because(step)])),
];

export const show = async (place, at, signal) => {
  const base = `runs/${part(at.name)}`, opened = await api(base, {}, signal), asked = { ...at.params };
  const usable = opened.nodes.filter((node) => node.scores).map((node) => node.node);
  asked.node = usable.includes(asked.node) ? asked.node : usable.at(-1) ?? "";
  const info = asked.node ? await api(`${base}/nodes/${part(asked.node)}`, {}, signal).catch(() => null) : null;
  const go = (changes) => { location.hash = address(at.name, "documents", { ...asked, id: "", ...changes }); };
  const all = (counts) => [["", "all"], ...Object.entries(counts ?? {}).map(([value, count]) => [value, `${value} (${four(count)})`])];
  const typed = (label, name, type = "text") => h("label", { class: "field" }, h("span", {}, label),
    h("input", { type, step: "any", name, value: asked[name] ?? "", onchange: (event) => go({ [name]: event.target.value }) }));
  place.append(h("h1", {}, "Documents"), h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
    usable.length ? choice("node", "node", usable.map((one) => [one, one]), asked.node, (node) => go({ node, reason: "", column: "", low: "", high: "" })) : "",
    choice("state", "state", [["", "all"], ["kept", "kept"], ["removed", "removed"]], asked.state ?? "", (state) => go({ state })),
    info ? choice("reason", "reason", all(info.reasons), asked.reason ?? "", (reason) => go({ reason })) : "",
    info?.groups.lang ? choice("language", "lang", all(info.groups.lang), asked.lang ?? "", (lang) => go({ lang })) : "",
    info?.groups.source ? choice("source", "source", all(info.groups.source), asked.source ?? "", (source) => go({ source })) : "",
    info?.columns.length ? [choice("score", "column", [["", "none"], ...info.columns.map((one) => [one, one])], asked.column ?? "", (column) => go({ column })),
      asked.column ? [typed("at least", "low", "number"), typed("at most", "high", "number")] : ""] : "",
    typed("words in the text", "text", "search")));
  const list = h("ol", { class: "list" }), count = h("p", { class: "quiet" }), more = h("button", { type: "button", hidden: true }, "More");
  const pane = h("article", { class: "pane", "aria-label": "Document" }, h("p", { class: "quiet" }, "Choose a document to see its text and why it was kept or removed."));
  place.append(h("div", { class: "browse" }, h("section", { "aria-label": "Documents" }, count, list, more), pane));
  const open = async (id) => {
    for (const one of list.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one.dataset.id === id));
    const found = await api(`${base}/document`, { id }, signal);
    pane.replaceChildren(...detail(found, asked.text));
    history.replaceState(null, "", address(at.name, "documents", { ...asked, id }));
    say(`document ${id}`);
    if (matchMedia("(max-width: 60rem)").matches) pane.querySelector("h2").focus();
  };
  const failed = (error) => { if (!signal.aborted) pane.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message)); };
  const fill = async (after) => {
    const found = await api(`${base}/documents`, { ...asked, id: "", after }, signal);
    list.append(...found.rows.map((row) => h("li", {}, h("button", { type: "button", "data-id": row.id, "aria-pressed": "false", onclick: () => open(row.id).catch(failed) },
      h("span", { class: "of" }, h("b", {}, row.id), row.lang ?? "", row.value === null ? "" : `${asked.column} ${four(row.value)}`, row.reason ? h("code", {}, row.reason) : h("span", { class: "state kept" }, "kept")),
      h("span", { class: "start", dir: "auto" }, row.text || "(empty)")))));
    const shown = list.children.length;
    count.textContent = asked.text ? `${four(shown)} found so far; looked through ${four(found.looked)} of ${four(found.fit)} documents`
      : `${four(shown)} of ${four(found.fit)} documents that fit; ${found.node} saw ${four(found.seen)}`;
    more.hidden = found.next === null;
    more.textContent = asked.text && !found.rows.length ? "Search on" : "More";
    more.onclick = () => fill(found.next).catch(failed);
    return found;
  };
  await fill("");
  if (asked.id) await open(asked.id).catch(failed);
};
