// One document: its text with the words that were searched for, its way through every node, and its copies beside it.
import { api, four, h, number, percent, table } from "../dom.js";

const OWN = ["node", "kind", "state", "reason", "value", "threshold", "columns"];
const MOST = 12; // copies that are offered
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

export const marked = (text, piece) => {
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

// The ids of its copies: the one that was kept in its place, and those that went for it.
const copiesOf = (steps) => [...new Set(steps.flatMap((step) => [
  step.duplicate_of, ...Object.entries(step.columns ?? {}).filter(([name]) => name.endsWith("duplicate_of")).map(([, value]) => value), ...(step.copies ?? []),
]).filter(Boolean))];

const beside = (found) => h("section", { class: "beside" },
  h("p", { class: "quiet" }, `${percent(found.share)} of the words are the same, in the same order${found.whole ? "" : ", of the first few thousand of each"}. What only one of them has is marked.`),
  h("div", { class: "sides" }, found.parts.map((parts, i) => h("div", { class: "side" }, h("p", { class: "of" }, h("b", {}, found.ids[i]), `${four(found.letters[i])} letters`),
    h("pre", { class: "text whole", dir: "auto", tabindex: 0 }, parts.map(([text, same]) => same ? text : h(i ? "ins" : "del", {}, text)))))));

// `base` is the address of the run, `failed` shows an error.
export const detail = (found, piece, base, signal, failed) => {
  const copies = copiesOf(found.steps), place = h("div", {});
  const show = async (two, button) => {
    const open = button.getAttribute("aria-pressed") === "true";
    for (const one of button.parentNode.children) one.setAttribute("aria-pressed", "false");
    place.replaceChildren();
    if (open) return;
    button.setAttribute("aria-pressed", "true");
    place.replaceChildren(beside(await api(`${base}/pair`, { one: found.id, two }, signal)));
  };
  return [
    h("h2", { tabindex: -1 }, found.id),
    copies.length ? h("div", { class: "copies" }, h("span", { class: "quiet" }, copies.length === 1 ? "Beside its copy:" : `Beside one of its ${four(copies.length)} copies:`),
      h("span", {}, copies.slice(0, MOST).map((two) => h("button", { type: "button", "aria-pressed": "false", onclick: (event) => show(two, event.currentTarget).catch(failed) }, two)))) : "",
    place, ...texts(found, piece),
    table("Its way through the nodes", ["node", "kind", "state", "why"], found.steps.map((step) => [step.node, step.kind,
      h("span", { class: "state " + step.state }, step.state ?? ""), because(step)])),
  ];
};
