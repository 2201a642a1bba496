// Elements, requests and small pieces that all views share. Texts become text nodes, never markup.
export const h = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
};

export const query = (params) => {
  const kept = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return kept.length ? "?" + new URLSearchParams(kept) : "";
};

// Whether the server answers; a notice above every view says so while it does not.
const dead = document.getElementById("dead");
export const alive = (answers) => {
  if (dead.hidden !== answers) dead.hidden = answers;
};
const asked = async (path, options) => {
  try {
    const answer = await fetch(path, { cache: "no-store", ...options });
    alive(true);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    alive(false);
    throw new Error("The server does not answer.", { cause: error });
  }
};
export const ping = () => asked("/static/theme.js", { method: "HEAD" }).catch(() => null);

// The answer of the server; its refusals are errors with its own words.
export const api = async (path, params = {}, signal = undefined) => {
  const answer = await asked("/api/" + path + query(params), { signal });
  if (answer.status === 403) throw new Error("The token is no longer good: open the address that siftloom ui printed last.");
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error ?? `the server answered ${answer.status}`);
  return found;
};

export const address = (run, view, params = {}) => `#/run/${encodeURIComponent(run)}/${view}${query(params)}`;
export const part = (text) => encodeURIComponent(text);
export const { four, bytes, percent, withUnit } = siftloomCharts;
export const duration = (seconds) => {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return seconds < 10 ? `${seconds.toFixed(1)}\u00a0s` : `${Math.round(seconds)}\u00a0s`;
  const minutes = Math.round(seconds / 60), hours = Math.floor(minutes / 60);
  return minutes < 60 ? `${minutes}\u00a0min` : hours < 48 ? `${hours}\u00a0h ${minutes % 60}\u00a0min` : `${Math.round(hours / 24)}\u00a0days`;
};
export const day = (time) => time ? new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "";
export const STATES = { finished: "finished", working: "works now", failed: "failed", stopped: "stopped" };
export const state = (name) => h("span", { class: "badge " + name }, STATES[name] ?? name);
export const number = (value) => value === null || value === undefined ? "\u2013" : typeof value === "number" ? four(value) : String(value);

// A table with a caption; numbers stand to the right. A cell is text, a number, or an element.
export const table = (caption, columns, rows, { hidden = false, units = [] } = {}) => {
  const right = columns.map((_, i) => rows.some((row) => typeof row[i] === "number"));
  const shown = (cell, i) => cell instanceof Node ? cell : typeof cell === "number" ? withUnit(cell, units[i]) : number(cell);
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 }, h("table", {},
    h("caption", { class: hidden ? "unseen" : undefined }, caption),
    h("thead", {}, h("tr", {}, columns.map((name, i) => h("th", { scope: "col", class: right[i] ? "number" : undefined }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, i) =>
      h(i ? "td" : "th", { scope: i ? undefined : "row", class: right[i] ? "number" : undefined }, shown(cell, i))))))));
};

// A place for a chart with its name for those who cannot see it; the caller draws when it stands in the page.
export const chart = (figure, colours, after) => {
  const host = h("div", { class: "chart", role: "img", "aria-label": figure.title });
  host.style.height = siftloomCharts.heightOf(figure) + "px";
  siftloomCharts.draw(host, figure, colours, after);
  return host;
};

export const choice = (label, name, options, chosen, change) => h("label", { class: "field" }, h("span", {}, label),
  h("select", { name, onchange: (event) => change?.(event.target.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text))));

export const copied = (text, label = "Copy") => h("button", { type: "button", onclick: async (event) => {
  try { await navigator.clipboard.writeText(text); event.target.textContent = "Copied"; } catch { event.target.textContent = "Not allowed"; }
} }, label);

export const say = (text) => { document.getElementById("news").textContent = text; };

export const later = (milliseconds, act) => {
  let timer;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => act(...given), milliseconds); };
};
