// What another threshold would keep: counts, the changed line and its command, documents on both sides, groups, reasons.
import { address, bytes, copied, four, h, percent, table } from "../dom.js";

const examples = (title, list, run, name) => h("section", { class: "side" }, h("h3", {}, title), list.length ? list.map((one) =>
  h("blockquote", { dir: "auto" }, h("p", { class: "of" }, h("a", { href: address(run, "documents", { id: one.id }) }, one.id),
    one.value === undefined ? "" : h("span", {}, `${name} ${four(one.value)}`), one.reason ? h("code", {}, one.reason) : ""),
  h("span", {}, one.text))) : h("p", { class: "quiet" }, "None."));
const two = (left, right) => left || right ? h("div", { class: "sides" }, left, right) : "";
const change = (now, then) => then === now ? "" : ` (${then > now ? "+" : "\u2212"}${four(Math.abs(then - now))})`;
const line = (text, label) => h("div", { class: "copy" }, h("code", {}, text), copied(text, label));

export const answered = (found, run) => {
  const { documents, kept, by, sides, near, reasons } = found, [now, then] = kept.documents;
  const sizes = kept.bytes, back = sides["kept then"], away = sides["removed then"];
  const tile = (label, value, note) => h("div", {}, h("dt", {}, label), h("dd", {}, h("b", {}, value), h("small", {}, note)));
  return [
    h("dl", { class: "highlights" },
      tile("documents kept", percent(documents ? then / documents : 0), `${four(then)} of ${four(documents)}${change(now, then)}`),
      tile("text kept", sizes ? bytes(sizes[1]) : "\u2026", sizes ? (sizes[1] === sizes[0] ? "as now" : `${sizes[1] > sizes[0] ? "+" : "\u2212"}${bytes(Math.abs(sizes[1] - sizes[0]))}`) : "reading the texts"),
      tile("would come back", four(back.documents), "removed now, kept then"),
      tile("would go", four(away.documents), "kept now, removed then")),
    line(found.line, "Copy line"),
    found.command ? line(found.command, "Copy command")
      : h("p", { class: "quiet" }, "No recipe file of this run is on this machine: change the line where the run was started."),
    near && (near.below.length || near.above.length)
      ? two(examples("Just below", near.below, run, found.histogram.x), examples("Just above", near.above, run, found.histogram.x)) : "",
    back.documents || away.documents ? two(examples("Would come back", back.examples, run, ""), examples("Would go", away.examples, run, "")) : "",
    ...Object.entries(by).map(([name, group]) => [name, Object.entries(group).filter(([, counts]) => counts.documents.some(Boolean))])
      .filter(([, rows]) => rows.length).map(([name, rows]) =>
        table(`Kept by ${name}`, [name, "documents now", "then", "text now", "text then"], rows
          .sort((a, b) => b[1].documents[0] - a[1].documents[0]).slice(0, 40)
          .map(([value, counts]) => [value, ...counts.documents, ...(counts.bytes ?? [null, null])]), { units: [null, null, null, "bytes", "bytes"] })),
    table("Removed, by reason", ["reason", "now", "then"], Object.entries(reasons).map(([name, counts]) => [name, ...counts])),
  ];
};
