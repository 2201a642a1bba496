// Every run of the store.
import { address, api, h, table } from "../dom.js";

export const show = async (place, at, signal) => {
  const found = await api("runs", {}, signal);
  place.append(h("h1", {}, "Runs"), h("p", { class: "intro" }, found.store));
  if (!found.runs.length) {
    place.append(h("p", {}, "This store has no run yet. Start one with `siftloom run RECIPE`; it appears here while it works."));
    return;
  }
  place.append(table("Runs, the newest first", ["run", "nodes finished", "last started"], found.runs.map((run) => [
    h("a", { href: address(run.run, "overview") }, run.run), `${run.finished} of ${run.nodes}`, run.started,
  ]), { hidden: true }));
};
