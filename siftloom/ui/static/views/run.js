// One run: its graph beside its nodes, what is left after each step, and what happened; again every two seconds while it works.
import { address, api, bytes, day, duration, four, h, percent, state, table } from "../dom.js";

const AGAIN = 2000;
const STATES = { done: "finished", failed: "failed", "not done": "not finished" };

const progressOf = (node) => {
  if (node.finished) return node.rows ? `${four(node.rows[1])} of ${four(node.rows[0])} kept` : "finished";
  const { state, done, total, step, steps, loss } = node.live;
  if (node.state === "failed") return "failed";
  if (step !== undefined) return `step ${four(step)}${steps ? " of " + four(steps) : ""}${typeof loss === "number" ? ", loss " + loss.toFixed(3) : ""}`;
  if (state === "running") return total ? `${four(done)} of ${four(total)} tasks` : "running";
  return STATES[node.state];
};

const bar = (part) => {
  const inner = h("i", { class: "left" });
  inner.style.width = 100 * part + "%";
  return h("span", { class: "track", "aria-hidden": "true" }, inner);
};

const nodesOf = (found) => {
  const lanes = h("div", { class: "lanes", role: "img", "aria-label": `Graph of ${found.nodes.length} nodes` });
  const body = h("tbody", {}, found.nodes.map((node) => h("tr", {},
    h("th", { scope: "row" },
      node.scores ? h("a", { href: address(found.run, "thresholds", { node: node.node }) }, node.node) : h("span", {}, node.node),
      h("span", { class: "kind" }, node.kind)),
    h("td", { class: "rows" }, h("span", { class: "two" }, progressOf(node))),
    h("td", { class: "shares" }, node.rows?.[0] ? [bar(node.rows[1] / node.rows[0]), h("span", { class: "share" }, percent(node.rows[1] / node.rows[0]))] : ""),
    h("td", { class: "took" }, duration(node.seconds)),
    h("td", { class: "more" }, node.scores ? h("a", { href: address(found.run, "documents", { node: node.node }) }, "documents") : ""),
  )));
  const made = h("table", {}, h("caption", { class: "unseen" }, "Nodes of the run, in order"), h("thead", {}, h("tr", {},
    h("th", { scope: "col" }, "node"), h("th", { scope: "col" }, "state"), h("th", { scope: "col", class: "shares" }, "share kept"),
    h("th", { scope: "col", class: "took" }, "took"), h("th", { scope: "col", class: "more" }, "look"))), body);
  const host = h("div", { class: "graph" }, lanes, made);
  host.style.setProperty("--gutter", found.graph.width + "px");
  new ResizeObserver(() => {
    lanes.style.width = found.graph.width + "px";
    lanes.style.height = made.offsetHeight + "px";
    if (siftloomCharts.chartOf(lanes)) siftloomCharts.redraw(lanes);
  }).observe(made);
  siftloomCharts.draw(lanes, () => ({ ...found.graph,
    rows: [...body.rows].map((row) => row.offsetTop + row.offsetHeight / 2), height: made.offsetHeight }));
  return host;
};

const drawn = (found) => [
  h("h1", {}, found.run),
  found.note ? h("p", { class: "intro" }, found.note) : "",
  h("p", { class: "headline" }, state(found.state), found.finished ? "" : ` ${found.nodes.filter((node) => node.finished).length} of ${found.nodes.length} nodes are finished.`,
    h("span", { class: "quiet" }, [found.began && ` Began ${day(found.began)}`, found.seconds && `worked ${duration(found.seconds)}`].filter(Boolean).join(", "))),
  ...(found.notices.length ? [h("details", { class: "notices", open: found.notices.length < 4 }, h("summary", {}, found.notices.length === 1 ? "1 note" : `${four(found.notices.length)} notes`),
    h("ul", {}, found.notices.map((text) => h("li", {}, text))))] : []),
  ...found.failed.map((one) => h("p", { class: "problem", role: "alert" }, `${one.node} failed in ${one.shard}: ${one.cause}`)),
  h("h2", {}, "Graph"),
  h("ul", { class: "legend" }, [["run", "finished"], ["resume", "running"], ["reuse", "waiting"]].map(([sign, text]) =>
    h("li", {}, h("i", { class: "sign " + sign, "aria-hidden": "true" }), text))),
  nodesOf(found),
  ...(found.funnel.length ? [h("h2", {}, "What is left"), table("Documents, text and tokens after each step",
    ["after", "documents", "text", "tokens"], found.funnel.map((step) => [step.node, step.documents,
      step.bytes === null ? null : h("span", {}, bytes(step.bytes)), step.tokens]), { hidden: true })] : []),
  ...(found.events.length ? [h("h2", {}, "Events"), table("The last events", ["time", "event", "what"], found.events.slice().reverse().map((one) =>
    [one.time.slice(0, 19).replace("T", " ") + " UTC", one.event === "driver" ? "began" : one.event, one.host ? `process ${one.pid} of ${one.host}` : one.node ? `${one.node}: ${one.cause ?? ""}` : ""]), { hidden: true })] : []),
  ...(found.recipe ? [h("details", { class: "recipe" }, h("summary", {}, "Recipe"), h("pre", { class: "text", tabindex: 0 }, found.recipe))] : []),
];

export const show = async (place, at, signal) => {
  let before = "";
  const refresh = async () => {
    const found = await api("runs/" + encodeURIComponent(at.name), {}, signal);
    const now = JSON.stringify(found);
    if (now !== before) {
      before = now;
      const open = place.querySelector("details.recipe")?.open;
      for (const host of place.querySelectorAll(".lanes")) siftloomCharts.forget(host);
      place.replaceChildren(...drawn(found));
      if (open) place.querySelector("details.recipe").open = true;
    }
    if (!found.finished) again();
  };
  const again = () => setTimeout(() => { if (!signal.aborted) refresh().catch(again); }, AGAIN);
  await refresh();
};
