/* Keeps the figures of a page fresh and filters meters as one types. Every page is whole without it. */
"use strict";
(() => {
  const lang = document.body.dataset.lang;
  const zh = lang === "zh";
  const byId = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll("#meters tbody tr")];
  const ages = [...document.querySelectorAll("td[data-seen]")];
  document.documentElement.classList.add("scripted");

  const age = (seconds) => {
    for (const [size, one, two] of [[86400, "天", "d"], [3600, "小时", "h"], [60, "分", "min"]])
      if (seconds >= size) return `${Math.floor(seconds / size)} ${zh ? one : two}`;
    return `${Math.max(0, seconds)} ${zh ? "秒" : "s"}`;
  };
  const set = (node, text) => { if (node && node.textContent !== text) { node.textContent = text; return true; } return false; };

  /* search: the address keeps what was typed, so that a reload and a bookmark find it again */
  const q = byId("q"), only = byId("only");
  const filter = () => {
    const wanted = q.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const well = ["ok", "waiting", "manual"].includes(row.dataset.state);
      const fits = row.dataset.text.includes(wanted) && !(only.checked && well);
      if (row.hidden === fits) row.hidden = !fits;
      shown += fits;
    }
    set(byId("count"), String(shown));
    byId("none").hidden = shown > 0;
    const url = new URL(location.href);
    wanted ? url.searchParams.set("q", wanted) : url.searchParams.delete("q");
    only.checked ? url.searchParams.set("only", "bad") : url.searchParams.delete("only");
    history.replaceState(null, "", url);
  };
  if (q) {
    const all = !new URL(location.href).search.match(/[?&](q|only)=[^&]/);
    const whole = () => { const url = new URL(location.href); url.search = ""; return url; };
    if (all) {
      q.addEventListener("input", filter);
      only.addEventListener("change", filter);
      q.form.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
    } else {  /* the server left rows out: ask it again */
      only.addEventListener("change", () => q.form.requestSubmit());
      q.addEventListener("search", () => q.value ? q.form.requestSubmit() : location.assign(whole()));
    }
  }

  const show = (told) => {
    const time = new Date((told.now + told.offset) * 1000).toISOString();
    set(byId("now"), `${time.slice(0, 10)} ${time.slice(11, 16)}`);
    for (const [id, [state, text, value, kw, quality, seen, path]] of Object.entries(told.meters || {})) {
      const row = byId(`m-${id}`);
      if (!row) continue;
      if (row.dataset.state !== state) row.dataset.state = state;
      const cell = (name) => row.querySelector(`td.${name}`);
      set(cell("state"), text); set(cell("quality"), quality);
      if ([set(cell("value"), value), set(cell("kw"), kw)].some(Boolean)) {
        row.classList.remove("fresh"); void row.offsetWidth; row.classList.add("fresh");
      }
      if (seen !== null) {
        if (!cell("age").dataset.seen) ages.push(cell("age"));
        cell("age").dataset.seen = seen;
      }
      const line = row.querySelector("path");
      if (line.getAttribute("d") !== path) line.setAttribute("d", path);
    }
    for (const [id, [bad, state, answering, sweep, airtime]] of Object.entries(told.lines || {})) {
      const line = byId(`line-${id}`);
      if (!line) continue;
      line.dataset.bad = bad;
      set(line.querySelector(".state"), state); set(line.querySelector(".answering"), answering);
      set(line.querySelector(".sweep"), sweep); line.querySelector("meter").value = airtime;
    }
    for (const node of ages) set(node, age(told.now - node.dataset.seen));
    if (told.summary === undefined) return;
    set(byId("summary"), told.summary);
    byId("summary").dataset.bad = told.bad;
    for (const name of ["waiting", "size", "delivered"])
      if (told[name] !== null) set(byId(name), String(told[name]));
    if (only && only.checked && q.form && rows.length) rows.some((row) => row.hidden) && filter();
  };

  let source = null, signs = document.body.dataset.signs;
  const listen = () => {
    source = new EventSource(`/live?lang=${lang}&signs=${signs}`);
    source.onmessage = (event) => { signs = event.lastEventId || signs; show(JSON.parse(event.data)); };
  };
  /* a page that nobody looks at asks nothing of the gateway */
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) { source.close(); source = null; }
    else if (!document.hidden && !source) listen();
  });
  listen();
})();
