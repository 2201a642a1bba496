// A browser of documents: what a node saw, filtered; beside it one document, its way through every node, and its text.
import { address, api, choice, four, h, part, query, say } from "../dom.js";
import { detail, marked } from "./document.js";


export const show = async (place, at, signal) => {
  const base = `runs/${part(at.name)}`, opened = await api(base, {}, signal), asked = { ...at.params };
  const usable = opened.nodes.filter((node) => node.scores).map((node) => node.node);
  asked.node = usable.includes(asked.node) ? asked.node : usable.at(-1) ?? "";
  const info = asked.node ? await api(`${base}/nodes/${part(asked.node)}`, {}, signal).catch(() => null) : null;
  const go = (changes) => { location.hash = address(at.name, "documents", { ...asked, id: "", ...changes }); };
  const all = (counts) => [["", "all"], ...Object.entries(counts ?? {}).map(([value, count]) => [value, `${value} (${four(count)})`])];
  const seed = () => Math.floor(Math.random() * 1e6);
  const orders = [["", "as read"], ...(asked.column ? [["high", `highest ${asked.column} first`], ["low", `lowest ${asked.column} first`]] : []), ["random", "random sample"]];
  if (!orders.some(([order]) => order === asked.order)) asked.order = "";
  const typed = (label, name, type = "text") => h("label", { class: "field" }, h("span", {}, label),
    h("input", { type, step: "any", name, value: asked[name] ?? "", onchange: (event) => go({ [name]: event.target.value }) }));
  place.append(h("h1", {}, "Documents"), h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
    usable.length ? choice("node", "node", usable.map((one) => [one, one]), asked.node, (node) => go({ node, reason: "", column: "", low: "", high: "" })) : "",
    choice("state", "state", [["", "all"], ["kept", "kept"], ["removed", "removed"]], asked.state ?? "", (state) => go({ state })),
    info ? choice("reason", "reason", all(info.reasons), asked.reason ?? "", (reason) => go({ reason })) : "",
    info?.groups.lang ? choice("language", "lang", all(info.groups.lang), asked.lang ?? "", (lang) => go({ lang })) : "",
    info?.groups.source ? choice("source", "source", all(info.groups.source), asked.source ?? "", (source) => go({ source })) : "",
    info?.columns.length ? [choice("score", "column", [["", "none"], ...info.columns.map((one) => [one, one])], asked.column ?? "", (column) => go({ column, order: column && !asked.order ? "high" : asked.order })),
      asked.column ? [typed("at least", "low", "number"), typed("at most", "high", "number")] : ""] : "",
    choice("order", "order", orders, asked.order ?? "", (order) => go({ order, seed: order === "random" ? seed() : "" })),
    typed("words in the text", "text", "search")));
  const list = h("ol", { class: "list" }), count = h("p", { class: "quiet" }), more = h("button", { type: "button", hidden: true }, "More");
  const pane = h("article", { class: "pane", "aria-label": "Document" }, h("p", { class: "quiet" }, "Choose a document to see its text and why it was kept or removed."));
  const tools = h("p", { class: "tools" }, h("a", { class: "button", download: "", href: `/api/${base}/documents.jsonl` + query({ ...asked, id: "" }) }, "Export as JSON lines"),
    asked.order === "random" ? h("button", { type: "button", onclick: () => go({ seed: seed() }) }, "Another sample") : "");
  place.append(h("div", { class: "browse" }, h("section", { "aria-label": "Documents" }, count, tools, list, more), pane));
  const open = async (id) => {
    for (const one of list.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one.dataset.id === id));
    const found = await api(`${base}/document`, { id }, signal);
    pane.replaceChildren(...detail(found, asked.text, base, signal, failed));
    pane.querySelector("mark")?.scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", address(at.name, "documents", { ...asked, id }));
    say(`document ${id}`);
    if (matchMedia("(max-width: 60rem)").matches) pane.querySelector("h2").focus();
  };
  const failed = (error) => { if (!signal.aborted) pane.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message)); };
  const fill = async (after) => {
    const found = await api(`${base}/documents`, { ...asked, id: "", after }, signal);
    list.append(...found.rows.map((row) => h("li", {}, h("button", { type: "button", "data-id": row.id, "aria-pressed": "false", onclick: () => open(row.id).catch(failed) },
      h("span", { class: "of" }, h("b", {}, row.id), h("span", {}, row.lang ?? ""), h("span", {}, row.value === null ? "" : `${asked.column} ${four(row.value)}`), row.reason ? h("code", {}, row.reason) : h("span", { class: "state kept" }, "kept")),
      h("span", { class: "start", dir: "auto" }, marked(row.text, asked.text) || "(empty)")))));
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
