/* Draws a meter's day with uPlot in place of the SVG, so that one can read single steps off. */
"use strict";
addEventListener("DOMContentLoaded", async () => {
  const figure = document.getElementById("day");
  if (!figure || typeof uPlot === "undefined") return;
  const answer = await fetch(figure.dataset.url);
  if (!answer.ok) return;
  const day = await answer.json();
  const zh = document.body.dataset.lang === "zh";
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const rounded = (_, value) => value === null || value === undefined ? "–" : value.toFixed(2);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 } };
  const steps = uPlot.paths.stepped({ align: 1 });
  const size = () => ({ width: figure.clientWidth - 20, height: Math.max(200, Math.min(300, figure.clientWidth / 3)) });
  const plot = new uPlot({
    ...size(),
    tzDate: (at) => uPlot.tzDate(new Date((at + day.offset_s) * 1e3), "Etc/UTC"),
    scales: { x: { range: [day.at[0], day.at[0] + 86400] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [{ ...axis, values: (_, at) => at.map((s) => new Date((s + day.offset_s) * 1e3).toISOString().slice(11, 16)),
      splits: () => figure.clientWidth < 560 ? [0, 6, 12, 18, 24].map((h) => day.at[0] + h * 3600) : Array.from({ length: 9 }, (_, n) => day.at[0] + n * 10800) }, { ...axis, size: 56 }],
    series: [
      { label: zh ? "时刻" : "time", value: (_, at) => at == null ? "–" : new Date((at + day.offset_s) * 1e3).toISOString().slice(11, 16) },
      { label: zh ? "本表 kW" : "this meter kW", stroke: colour("--own"), width: 1.8, paths: steps, value: rounded, points: { show: false } },
      { label: zh ? "邻表形状 kW" : "neighbours' shape kW", stroke: colour("--like"), width: 1.5, dash: [6, 4], paths: steps, value: rounded, points: { show: false } },
    ],
  }, [day.at, day.own, day.like], (_, init) => { figure.replaceChildren(_.root); init(); });
  new ResizeObserver(() => plot.setSize(size())).observe(figure);
});
